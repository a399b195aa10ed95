//! Operators with random results.

use super::expect::first_results;
use super::{Operands, Outcome, tensor};
use crate::{Dim, ElementType, Fact, Shape};

/// Operands: data, the dropout ratio, and whether it is training. Results: the elements, and the mask of kept ones.
pub(crate) fn dropout(x: &Operands<'_>, _seed: &Option<i64>) -> Outcome {
    x.arity(1..=3, 1..=2)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_element(1, "a float type", ElementType::is_float)?;
    x.expect_element(2, "bool", |element| element == ElementType::Bool)?;
    x.scalar(1)?;
    x.scalar(2)?;
    let shape = x.shape(0).cloned();
    let results = [tensor(x.element(0)?, shape.clone()), tensor(Some(ElementType::Bool), shape)];
    Ok(first_results(x, results, vec![]))
}

/// 0 or 1, with the probability given by the operand.
pub(crate) fn bernoulli(x: &Operands<'_>, dtype: &Option<ElementType>, _seed: &Option<f32>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    Ok(x.shaped(dtype.or(x.element(0)?)))
}

/// Random numbers in a shape given by an attribute.
pub(crate) fn random(
    x: &Operands<'_>,
    shape: &[i64],
    dtype: &ElementType,
    _first: &f32,
    _second: &f32,
    _seed: &Option<f32>,
) -> Outcome {
    x.arity(0..=0, 1..=1)?;
    if let Some(negative) = shape.iter().find(|size| **size < 0) {
        return Err(x.fail(format!("the size {negative} is negative")));
    }
    if !dtype.is_float() {
        return Err(x.fail(format!("its result must be a float type, but is {dtype}")));
    }
    let shape: Shape = shape.iter().copied().map(Dim::Known).collect();
    if shape.count() == Dim::Unknown {
        return Err(x.fail(format!("the shape {shape} is larger than any tensor")));
    }
    Ok(Fact::tensor(*dtype, shape).into())
}

/// Random numbers in the operand's shape, and of its element type unless an attribute gives another.
pub(crate) fn random_like(
    x: &Operands<'_>,
    dtype: &Option<ElementType>,
    _first: &f32,
    _second: &f32,
    _seed: &Option<f32>,
) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    match dtype.or(x.element(0)?) {
        Some(element) if !element.is_float() => {
            let mut error = x.fail(format!("its result must be a float type, but is {element}"));
            error.help = Some("set `dtype` to a float type".to_owned());
            Err(error)
        }
        element => Ok(x.shaped(element)),
    }
}

/// Samples of classes for each row.
pub(crate) fn multinomial(x: &Operands<'_>, sample_size: &i64, dtype: &ElementType, _seed: &Option<f32>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if *sample_size < 0 {
        return Err(x.fail(format!("the sample size {sample_size} is negative")));
    }
    if !matches!(dtype, ElementType::I32 | ElementType::I64) {
        return Err(x.fail(format!("its result must be i32 or i64, but is {dtype}")));
    }
    let [batch, _classes] = x.sizes_of(0)?;
    Ok(Fact::tensor(*dtype, Shape::from_iter([batch, Dim::Known(*sample_size)])).into())
}
