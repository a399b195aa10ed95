//! Fourier transforms and windows of signals. The last axis of a signal holds a real number, or a real and an imaginary
//! one.

use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Fact, Shape};
use smallvec::smallvec;

/// Operands: the signal, the length of the transform (default: the signal's), the axis (default: the last but one).
pub(crate) fn dft(x: &Operands<'_>, inverse: &bool, onesided: &bool) -> Outcome {
    x.arity(1..=3, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_index(1)?;
    x.expect_element(2, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let given = x.fact(1).map(|_| x.scalar_size(1)).transpose()?;
    let axis = x.fact(2).map_or(Ok(Dim::Known(-2)), |_| x.scalar(2))?;
    let Some(shape) = x.shape_of_least_rank(0, 2)? else { return Ok(tensor(element, None).into()) };
    let mut assumed = vec![];
    let last = shape.len() - 1;
    let parts = match (onesided, inverse) {
        (true, false) => Some(1),
        (true, true) => Some(2),
        (false, _) => None,
    };
    match parts {
        Some(parts) => {
            let what = format_args!("the last size of {shape} and {parts}");
            x.expect_same(&shape[last], &Dim::Known(parts), what, &mut assumed)?;
        }
        None => real_or_complex(x, shape)?,
    }
    let mut result = shape.clone();
    let dims = result.dims_mut();
    match axis.known() {
        Some(axis) => {
            let axis = x.axis(axis, shape.len())?;
            if axis == last {
                return Err(x.fail(format!("the axis {axis} of {shape} holds the real and imaginary parts")));
            }
            let length = given.unwrap_or_else(|| match parts {
                Some(2) => shape[axis].minus(&Dim::Known(1)).times(&Dim::Known(2)),
                _ => shape[axis].clone(),
            });
            dims[axis] = match length {
                Dim::Known(length @ ..0) => return Err(x.fail(format!("the length would be {length}"))),
                length if parts == Some(1) => unique(&length),
                length => length,
            };
        }
        // Whichever axis it is, its size stays.
        None if given.is_none() && parts.is_none() => {}
        None => dims[..last].fill(Dim::Unknown),
    }
    dims[last] = Dim::Known(if parts == Some(2) { 1 } else { 2 });
    Ok(Inferred { facts: smallvec![tensor(element, Some(result))], assumed })
}

/// Returns the number of nonredundant frequencies of a real signal of this length.
fn unique(length: &Dim) -> Dim {
    length.floor_div(&Dim::Known(2)).plus(&Dim::Known(1))
}

fn real_or_complex(x: &Operands<'_>, shape: &Shape) -> Result<(), InferError> {
    match shape.last() {
        Some(Dim::Known(last)) if !(1..=2).contains(last) => {
            Err(x.fail(format!("the last size of {shape} must be 1 or 2, but is {last}")))
        }
        _ => Ok(()),
    }
}

/// Operands: signals `[batch, length, 1 or 2]`, the step of the frames, a window, the length of a frame (default: the
/// window's, without one the signal's). Signals may also be `[batch, length]`, as PyTorch writes them and ONNX Runtime
/// accepts.
pub(crate) fn stft(x: &Operands<'_>, onesided: &bool) -> Outcome {
    x.arity(2..=4, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element([0, 2])?;
    x.expect_index(1)?;
    x.expect_index(3)?;
    let [batch, length] = match x.shape(0) {
        Some(shape) if shape.len() == 2 => x.sizes_of(0)?,
        shape => {
            let [batch, length, _] = x.sizes_of(0)?;
            shape.map_or(Ok(()), |shape| real_or_complex(x, shape))?;
            [batch, length]
        }
    };
    let step = x.scalar_size(1)?;
    if step == Dim::Known(0) {
        return Err(x.fail("the step of the frames must not be 0"));
    }
    let [window] = x.sizes_of(2)?;
    let mut assumed = vec![];
    let frame = match (x.fact(2), x.fact(3)) {
        (_, Some(_)) => {
            let frame = x.scalar_size(3)?;
            x.expect_same(&frame, &window, "the lengths of the frame and the window", &mut assumed)?;
            frame.and(&window).clone()
        }
        (Some(_), None) => window,
        (None, None) => length.clone(),
    };
    let rest = length.minus(&frame);
    if matches!(rest, Dim::Known(..0)) {
        return Err(x.fail(format!("the frame length {frame} is longer than the signal length {length}")));
    }
    let frames = rest.floor_div(&step).plus(&Dim::Known(1));
    let bins = if *onesided { unique(&frame) } else { frame };
    let shape = Shape::from_iter([batch, frames, bins, Dim::Known(2)]);
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// A window of the size given by the operand.
pub(crate) fn window(x: &Operands<'_>, _periodic: &bool, output_datatype: &ElementType) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_index(0)?;
    Ok(Fact::tensor(expect_number(x, *output_datatype)?, Shape::from_iter([x.scalar_size(0)?])).into())
}

/// Operands: the number of mel bands, the length of the transform, the sample rate, the lowest and the highest
/// frequency.
pub(crate) fn mel_weight_matrix(x: &Operands<'_>, output_datatype: &ElementType) -> Outcome {
    x.arity(5..=5, 1..=1)?;
    for at in 0..3 {
        x.expect_index(at)?;
    }
    for at in 3..5 {
        x.expect_element(at, "a float type", ElementType::is_float)?;
    }
    let shape = Shape::from_iter([unique(&x.scalar_size(1)?), x.scalar_size(0)?]);
    Ok(Fact::tensor(expect_number(x, *output_datatype)?, shape).into())
}

fn expect_number(x: &Operands<'_>, element: ElementType) -> Result<ElementType, InferError> {
    if element.is_number() { Ok(element) } else { Err(x.fail(format!("its result cannot be {element}"))) }
}
