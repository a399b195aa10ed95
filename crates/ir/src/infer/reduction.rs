//! Operators along axes: softmax, normalization, reduction, top-k.

use super::expect::{first_results, of_rank};
use super::{Inferred, Operands, Outcome, elements, tensor};
use crate::{Dim, ElementType, Fact, OpKind, Shape};
use smallvec::smallvec;
use std::sync::Arc;

/// The shape stays; the axis must be in range.
pub(crate) fn along(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if let Some(shape) = x.shape(0) {
        x.axis(*axis, shape.len())?;
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

/// `softmax(x * scale + mask)`: the mask, if any, must not change the shape.
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

/// Results: the normalized tensor, and on request the mean and the inverse standard deviation, with size 1 from the
/// axis on.
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
    let mut inferred = normalization(x, *axis, 1..2)?;
    // The standard gives the result the element type of the scale, but its own shape inference that of the operand.
    if x.element(0)? != x.element(1)? {
        inferred.facts[0] = tensor(None, None);
    }
    Ok(inferred)
}

/// The scale and shift must broadcast to the operand without changing its shape.
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

/// The second operand holds the axes; without axes it reduces all, or with `noop_with_empty_axes` none.
pub(crate) fn reduce(x: &Operands<'_>, keepdims: &bool, noop_with_empty_axes: &bool) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    match x.kind {
        OpKind::ReduceMax | OpKind::ReduceMin => {
            x.expect_element(0, "a number type or bool", |element| {
                element.is_number() || element == ElementType::Bool
            })?;
        }
        _ => x.expect_element(0, "a number type", ElementType::is_number)?,
    }
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let axes = match x.fact(1) {
        // An empty list of axes counts as no axes.
        Some(axes) if axes.shape().is_none_or(|shape| shape.count() != Dim::Known(0)) => axes.known_elements(),
        _ => Some(vec![]),
    };
    let all = axes.as_ref().is_some_and(Vec::is_empty) && !noop_with_empty_axes;
    let Some(shape) = x.shape(0) else {
        let dims = (all && !keepdims).then(Shape::default);
        return Ok(tensor(element, dims).into());
    };
    let Some(axes) = axes else {
        // The axes are unknown, but with keepdims the rank is known.
        return Ok(tensor(element, keepdims.then(|| of_rank(shape.len()))).into());
    };
    let axes = axes.into_iter().map(|axis| x.axis(axis, shape.len())).collect::<Result<Vec<_>, _>>()?;
    let mut reduced = vec![all; shape.len()];
    for axis in axes {
        reduced[axis] = true;
    }
    let elements = reduced_elements(x, &reduced).and_then(|all| elements::fitting(x.kind, element, &all));
    let dims = shape.iter().zip(reduced).filter_map(|(dim, reduced)| match (reduced, keepdims) {
        (true, true) => Some(Dim::Known(1)),
        (true, false) => None,
        (false, _) => Some(dim.clone()),
    });
    Ok(Fact { elements, ..tensor(element, Some(dims.collect())) }.into())
}

/// Returns the one element that a vector of known elements is reduced to, such as the number of elements of a shape.
fn reduced_elements(x: &Operands<'_>, reduced: &[bool]) -> Option<Arc<[Dim]>> {
    let elements = x.fact(0)?.elements.as_ref()?;
    let on_dims = match x.kind {
        OpKind::ReduceSum => Dim::plus,
        OpKind::ReduceProd => Dim::times,
        OpKind::ReduceMax => Dim::maximum,
        OpKind::ReduceMin => Dim::minimum,
        _ => return None,
    };
    let (first, rest) = elements.split_first().filter(|_| reduced == [true])?;
    Some([rest.iter().fold(first.clone(), |all, next| on_dims(&all, next))].into())
}

/// The index of the maximum or minimum along an axis.
pub(crate) fn arg(x: &Operands<'_>, axis: &i64, keepdims: &bool, _select_last_index: &bool) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(Some(ElementType::I64), None).into()) };
    let axis = x.axis(*axis, shape.len())?;
    let kept = keepdims.then_some(Dim::Known(1));
    let dims = shape[..axis].iter().cloned().chain(kept).chain(shape[axis + 1..].iter().cloned()).collect();
    Ok(Fact::tensor(ElementType::I64, dims).into())
}

/// The shape stays; the second operand is the axis.
pub(crate) fn cumulative(x: &Operands<'_>, _exclusive: &bool, _reverse: &bool) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    x.expect_index(1)?;
    if let (Some(shape), Dim::Known(axis)) = (x.shape(0), x.scalar(1)?) {
        x.axis(axis, shape.len())?;
    }
    Ok(x.shaped(x.element(0)?))
}

/// Operands: data, and k. Results: the k largest or smallest elements along an axis, and their indices.
pub(crate) fn top_k(x: &Operands<'_>, axis: &i64, _largest: &bool, _sorted: &bool) -> Outcome {
    x.arity(2..=2, 1..=2)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let count = x.scalar_size(1)?;
    let mut shape = x.shape(0).cloned();
    if let Some(shape) = &mut shape {
        let axis = x.axis(*axis, shape.len())?;
        if count.minus(&shape[axis]).is_positive() {
            return Err(x.fail(format!("k is {count}, but axis {axis} of {shape} has fewer elements")));
        }
        shape.dims_mut()[axis] = count;
    }
    let results = [tensor(x.element(0)?, shape.clone()), tensor(Some(ElementType::I64), shape)];
    Ok(first_results(x, results, vec![]))
}
