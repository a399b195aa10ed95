//! Operators that pad or crop.

use super::{Operands, Outcome, tensor};
use crate::op::PadMode;
use crate::{Dim, ElementType, Fact};

/// Operands: data, pads (all beginnings, then all ends; negative pads crop), the constant, axes (default: all).
pub(crate) fn pad(x: &Operands<'_>, _mode: &PadMode) -> Outcome {
    x.arity(2..=4, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    x.expect_element(3, "i64 or i32", is_index)?;
    let element = x.common_element([0, 2])?;
    x.shape_of_rank(1, 1)?;
    x.shape_of_rank(3, 1)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes = match x.fact(3).map(Fact::known_elements) {
        None => (0..shape.len()).collect(),
        Some(Some(axes)) => x.axes(&axes, shape.len())?,
        Some(None) => return Ok(tensor(element, Some(shape.iter().map(|_| Dim::Unknown).collect())).into()),
    };
    let pads = x.fact(1).and_then(|fact| fact.elements.as_deref());
    let count = pads.map(|pads| Dim::from(i64::try_from(pads.len()).unwrap_or(i64::MAX)));
    let count = count.or(x.shape(1).and_then(|shape| shape.first().cloned()));
    let sides = axes.len().saturating_mul(2);
    if let Some(Dim::Known(count)) = count
        && usize::try_from(count) != Ok(sides)
    {
        return Err(x.fail(format!("there are {count} pads, but {} axes need {sides}", axes.len())));
    }
    let mut result = shape.clone();
    for (at, &axis) in axes.iter().enumerate() {
        let side = |at: usize| pads.and_then(|pads| pads.get(at)).unwrap_or(&Dim::Unknown);
        let (begin, end) = (side(at), side(at + axes.len()));
        let size = shape[axis].plus(begin).plus(end);
        if matches!(size, Dim::Known(..0)) {
            return Err(x.fail(format!("the pads {begin} and {end} make the size of axis {axis} of {shape} negative")));
        }
        result.dims_mut()[axis] = size;
    }
    Ok(tensor(element, Some(result)).into())
}

/// The second operand holds the sizes of the axes; the data stays centered.
pub(crate) fn center_crop_pad(x: &Operands<'_>, axes: &Option<Vec<i64>>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64 or i32", is_index)?;
    let element = x.element(0)?;
    x.shape_of_rank(1, 1)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes = match axes {
        Some(axes) => x.axes(axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let sizes = x.sizes(1, axes.len())?;
    let mut result = shape.clone();
    for (axis, size) in axes.into_iter().zip(sizes) {
        result.dims_mut()[axis] = size;
    }
    Ok(tensor(element, Some(result)).into())
}

fn is_index(element: ElementType) -> bool {
    matches!(element, ElementType::I64 | ElementType::I32)
}
