//! Operators along axes: softmax, normalization, reduction.

use super::{Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Shape};
use smallvec::smallvec;

/// The shape stays; the axis must exist.
pub(crate) fn along(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if let Some(shape) = x.shape(0) {
        x.axis(*axis, shape.len())?;
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

/// `softmax(x * scale + mask)`: the mask, where there is one, must not change the shape.
pub(crate) fn scaled_softmax(x: &Operands<'_>, axis: &i64, _scale: &f32) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..2)?;
    let mut assumed = vec![];
    let shape = match x.fact(1) {
        Some(mask) => x.broadcast([x.shape(0), mask.shape()], &mut assumed)?,
        None => x.shape(0).cloned(),
    };
    if let Some(shape) = &shape {
        x.axis(*axis, shape.len())?;
    }
    Ok(Inferred { facts: smallvec![tensor(element, shape)], assumed })
}

/// Results: the normalized tensor, and on request the mean and the inverse deviation, sizes 1 from the axis on.
pub(crate) fn layer_normalization(x: &Operands<'_>, axis: &i64, _epsilon: &f32, stash_type: &i64) -> Outcome {
    x.arity(2..=3, 1..=3)?;
    let mut inferred = normalization(x, *axis, 1..3)?;
    let statistics = x.shape(0).map(|shape| {
        let axis = x.axis(*axis, shape.len()).unwrap_or(0);
        Shape::from_iter(shape.iter().enumerate().map(|(at, dim)| if at < axis { dim.clone() } else { Dim::Known(1) }))
    });
    let stash = ElementType::from_number(*stash_type);
    inferred.facts.extend((1..x.results).map(|_| tensor(stash, statistics.clone())));
    Ok(inferred)
}

/// One result of the operand's shape.
pub(crate) fn rms_normalization(x: &Operands<'_>, axis: &i64, _epsilon: &f32, _stash_type: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    normalization(x, *axis, 1..2)
}

/// The scale and shift must broadcast to the operand without changing it.
fn normalization(x: &Operands<'_>, axis: i64, weights: std::ops::Range<usize>) -> Outcome {
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let mut assumed = vec![];
    if let Some(shape) = x.shape(0) {
        x.axis(axis, shape.len())?;
        for weight in weights.filter_map(|at| x.shape(at)) {
            let broadcast = x.broadcast([Some(shape), Some(weight)], &mut assumed)?;
            if broadcast.is_some_and(|broadcast| broadcast.len() != shape.len()) {
                return Err(x.fail(format!("the weight {weight} must broadcast to {shape}")));
            }
        }
    }
    Ok(Inferred { facts: smallvec![tensor(x.element(0)?, x.shape(0).cloned())], assumed })
}

/// The second operand holds the axes; none means all, or with `noop_with_empty_axes` none.
pub(crate) fn reduce(x: &Operands<'_>, keepdims: &bool, noop_with_empty_axes: &bool) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(x.element(0)?, None).into()) };
    let axes = match x.fact(1) {
        None => Some(vec![]),
        Some(axes) => axes.known_elements(),
    };
    let Some(axes) = axes else {
        // Which axes is not known, but with keepdims the rank is.
        let dims = keepdims.then(|| shape.iter().map(|_| Dim::Unknown).collect());
        return Ok(tensor(x.element(0)?, dims).into());
    };
    let axes = axes.into_iter().map(|axis| x.axis(axis, shape.len())).collect::<Result<Vec<_>, _>>()?;
    let reduced = |at: &usize| if axes.is_empty() { !noop_with_empty_axes } else { axes.contains(at) };
    let dims = shape.iter().enumerate().filter_map(|(at, dim)| match (reduced(&at), keepdims) {
        (true, true) => Some(Dim::Known(1)),
        (true, false) => None,
        (false, _) => Some(dim.clone()),
    });
    Ok(tensor(x.element(0)?, Some(dims.collect())).into())
}
