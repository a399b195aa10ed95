//! Quantization: numbers as narrow integers or floats times a scale, per tensor, per slice of an axis, or per block
//! along one.

use super::expect::first_results;
use super::{Assumption, InferError, Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Fact, Shape};

/// Operands: data, scale, zero point. The element type of the result is that of the zero point, or the attribute's, or
/// `u8`.
pub(crate) fn quantize(
    x: &Operands<'_>,
    axis: &i64,
    block_size: &i64,
    output_dtype: &Option<ElementType>,
    _precision: &Option<ElementType>,
    _saturate: &bool,
) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a float type or i32", |element| element.is_float() || element == ElementType::I32)?;
    let element = match (x.fact(2), x.element(2)?, output_dtype) {
        (_, Some(zero), Some(attribute)) if zero != *attribute => {
            return Err(x.fail(format!("`output_dtype` is {attribute}, but the zero point is {zero}")));
        }
        (_, zero, Some(attribute)) => Some(zero.unwrap_or(*attribute)),
        (Some(_), zero, None) => zero,
        (None, _, None) => Some(ElementType::U8),
    };
    if let Some(element) = element.filter(|element| !is_narrow(*element)) {
        return Err(x.fail(format!("its result cannot be {element}")));
    }
    let assumed = granularity(x, *axis, *block_size)?;
    Ok(Inferred { assumed, ..x.shaped(element) })
}

/// Whether it is a type that numbers are quantized to.
fn is_narrow(element: ElementType) -> bool {
    (element.is_integer() && element.bits() <= 16) || (element.is_float() && element.bits() <= 8)
}

/// Operands: quantized data, scale, zero point. The element type of the result is the attribute's, or that of the
/// scale.
pub(crate) fn dequantize(
    x: &Operands<'_>,
    axis: &i64,
    block_size: &i64,
    output_dtype: &Option<ElementType>,
) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a narrow type or i32", |element| is_narrow(element) || element == ElementType::I32)?;
    x.common_element([0, 2])?;
    x.expect_element(1, "a float type", ElementType::is_float)?;
    let element = output_dtype.or(x.element(1)?);
    if element == Some(ElementType::F8E8M0) {
        let mut error = x.fail("its result cannot be f8e8m0, which can hold only powers of two");
        error.help = Some("set `output_dtype` to a float type".to_owned());
        return Err(error);
    }
    let assumed = granularity(x, *axis, *block_size)?;
    Ok(Inferred { assumed, ..x.shaped(element) })
}

/// Checks that the scale is one number, a vector for an axis, or per block along it, and that the zero point has its
/// shape.
fn granularity(x: &Operands<'_>, axis: i64, block_size: i64) -> Result<Vec<Assumption>, InferError> {
    let mut assumed = vec![];
    if block_size < 0 {
        return Err(x.fail(format!("the block size {block_size} is negative")));
    }
    let Some(scale) = x.shape(1) else { return Ok(assumed) };
    // A vector of one element counts as a scalar.
    let single = |shape: &Shape| matches!(**shape, [] | [Dim::Known(1)]);
    if let Some(zero) = x.shape(2).filter(|zero| !(single(zero) && single(scale))) {
        let what = format!("the sizes of the scale {scale} and the zero point {zero}");
        x.expect_same_shape(scale, zero, &what, &mut assumed)?;
    }
    let Some(data) = x.shape(0) else { return Ok(assumed) };
    if block_size > 0 {
        let axis = x.axis(axis, data.len())?;
        let mut blocks = data.clone();
        let size = Dim::Known(block_size);
        // Rounded up: the last block may be smaller.
        blocks.dims_mut()[axis] = data[axis].plus(&size).minus(&Dim::Known(1)).floor_div(&size);
        let what = format!("the sizes of the scale {scale} and of blocks of {block_size} along axis {axis} of {data}");
        x.expect_same_shape(scale, &blocks, &what, &mut assumed)?;
        return Ok(assumed);
    }
    match &**scale {
        _ if single(scale) => {}
        [size] => {
            let axis = x.axis(axis, data.len())?;
            let what = format_args!("the sizes of the scale {scale} and of axis {axis} of {data}");
            x.expect_same(size, &data[axis], what, &mut assumed)?;
        }
        _ => {
            let mut error = x.fail(format!("the scale {scale} must be one number or a vector for an axis"));
            error.help = Some("set `block_size` if the scale is per block".to_owned());
            return Err(error);
        }
    }
    Ok(assumed)
}

/// Results: the quantized tensor, its scale, its zero point.
pub(crate) fn dynamic_quantize(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=3)?;
    x.expect_element(0, "f32", |element| element == ElementType::F32)?;
    let scalar = |element| Fact::tensor(element, Shape::default());
    let quantized = tensor(Some(ElementType::U8), x.shape(0).cloned());
    Ok(first_results(x, [quantized, scalar(ElementType::F32), scalar(ElementType::U8)], vec![]))
}
