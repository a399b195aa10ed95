//! Matrix products.

use super::{Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Shape};
use smallvec::smallvec;

/// `[.., m, k] × [.., k, n]`; an operand of rank 1 is a row on the left and a column on the right.
pub(crate) fn matmul(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    product(x, 0, 1, x.common_element(0..2)?)
}

/// The product of 8-bit integers in `i32`. Operands: both factors, and their zero points.
pub(crate) fn matmul_integer(x: &Operands<'_>) -> Outcome {
    x.arity(2..=4, 1..=1)?;
    for at in 0..2 {
        x.expect_element(at, "i8 or u8", |element| matches!(element, ElementType::I8 | ElementType::U8))?;
        x.common_element([at, at + 2])?;
    }
    product(x, 0, 1, Some(ElementType::I32))
}

/// The product of quantized tensors. Operands: each factor with its scale and zero point, and the scale and zero point
/// of the result.
pub(crate) fn qlinear_matmul(x: &Operands<'_>) -> Outcome {
    x.arity(8..=8, 1..=1)?;
    x.common_element([0, 2])?;
    x.common_element([3, 5])?;
    for at in [0, 3, 7] {
        x.expect_element(at, "an 8-bit type", |element| element.bits() == 8 && element.is_number())?;
    }
    x.common_element([1, 4, 6])?;
    x.expect_element(1, "a float type", ElementType::is_float)?;
    product(x, 0, 3, x.element(7)?)
}

/// Infers the matrix product of two of the operands.
fn product(x: &Operands<'_>, left: usize, right: usize, element: Option<ElementType>) -> Outcome {
    let (Some(a), Some(b)) = (x.shape(left), x.shape(right)) else { return Ok(tensor(element, None).into()) };
    let (Some(left), Some(right)) = (a.last(), if b.len() == 1 { b.first() } else { b.iter().rev().nth(1) }) else {
        return Err(x.fail(format!("the operands must not have rank 0: {a} × {b}")));
    };
    let mut assumed = vec![];
    x.expect_same(left, right, format_args!("the inner dims of {a} × {b}"), &mut assumed).map_err(|mut error| {
        let turned = b.len() >= 2 && b.last().is_some_and(|last| left.same(last) == Some(true));
        error.help = turned.then(|| "transpose the second operand on its last two axes".to_owned());
        error
    })?;
    let batch = |shape: &Shape| Shape::from_iter(shape[..shape.len().saturating_sub(2)].iter().cloned());
    let (batch_a, batch_b) = (batch(a), batch(b));
    let outer = x.broadcast([Some(&batch_a), Some(&batch_b)], &mut assumed)?.unwrap_or_default();
    let rows = (a.len() >= 2).then(|| a[a.len() - 2].clone());
    let columns = (b.len() >= 2).then(|| b[b.len() - 1].clone());
    let shape = outer.iter().cloned().chain(rows).chain(columns).collect();
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// `[m, k] × [k, n] + [m, n]`, either factor possibly transposed; the addend is broadcast and may be absent.
pub(crate) fn gemm(x: &Operands<'_>, _alpha: &f32, _beta: &f32, trans_a: &bool, trans_b: &bool) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..3)?;
    let sides = |at: usize, transposed: bool| -> Result<Option<(Dim, Dim)>, _> {
        match x.shape(at).map(|shape| &**shape) {
            Some([rows, columns]) if transposed => Ok(Some((columns.clone(), rows.clone()))),
            Some([rows, columns]) => Ok(Some((rows.clone(), columns.clone()))),
            Some(other) => Err(x.fail(format!("operand {at} must be a matrix, but has rank {}", other.len()))),
            None => Ok(None),
        }
    };
    let (Some((m, k)), Some((inner, n))) = (sides(0, *trans_a)?, sides(1, *trans_b)?) else {
        return Ok(tensor(element, None).into());
    };
    let mut assumed = vec![];
    x.expect_same(&k, &inner, "the inner dims", &mut assumed)?;
    let shape = Shape::from_iter([m, n]);
    if let Some(addend) = x.shape(2) {
        let broadcast = x.broadcast([Some(&shape), Some(addend)], &mut assumed)?;
        if broadcast.is_some_and(|broadcast| broadcast.len() != 2) {
            return Err(x.fail(format!("the addend {addend} must broadcast to {shape}")));
        }
    }
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// The determinants of the square matrices of the last two axes.
pub(crate) fn determinant(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape_of_least_rank(0, 2)? else { return Ok(tensor(element, None).into()) };
    let (batch, matrix) = shape.split_at(shape.len() - 2);
    let mut assumed = vec![];
    x.expect_same(&matrix[0], &matrix[1], format_args!("the last two sizes of {shape}"), &mut assumed)?;
    Ok(Inferred { facts: smallvec![tensor(element, Some(batch.iter().cloned().collect()))], assumed })
}
