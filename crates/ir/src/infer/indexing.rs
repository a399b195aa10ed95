//! Operators that select or replace elements by index or condition.

use super::elements::{self, number};
use super::expect::{first_results, of_rank};
use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::op::ScatterReduction;
use crate::{Dim, ElementType, Fact, Shape};
use smallvec::smallvec;
use std::sync::Arc;

/// Operands: data, starts, ends, axes (default: all in order), steps (default: 1).
pub(crate) fn slice(x: &Operands<'_>) -> Outcome {
    x.arity(3..=5, 1..=1)?;
    let element = x.element(0)?;
    let counts = (1..5).filter_map(|at| x.shape(at)?.first()?.known()).collect::<Vec<_>>();
    if let Some([one, other]) = counts.windows(2).find(|pair| pair[0] != pair[1]) {
        return Err(
            x.fail(format!("starts, ends, axes and steps must have the same length, but have {one} and {other}"))
        );
    }
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes: Option<Vec<i64>> = match x.fact(3) {
        Some(axes) => axes.known_elements(),
        None => counts.first().map(|&count| (0..count.min(64)).collect()),
    };
    let Some(axes) = axes else { return Ok(tensor(element, Some(of_rank(shape.len()))).into()) };
    let mut result = shape.clone();
    let mut picked = None;
    for (at, axis) in axes.iter().enumerate() {
        let axis = x.axis(*axis, shape.len())?;
        let bound = |operand: usize| x.fact(operand)?.elements.as_ref()?.get(at).cloned();
        let step = match x.fact(4) {
            None => Some(1),
            Some(_) => bound(4).and_then(|step| step.known()),
        };
        if step == Some(0) {
            return Err(x.fail("a step must not be 0"));
        }
        // In a backward slice, the largest end is past the axis by ONNX's text, but the beginning of the axis in ONNX
        // Runtime.
        let ambiguous = |end: &Dim, step: i64| step < 0 && matches!(end, Dim::Known(i64::MAX | 0x7fff_ffff));
        let bounds = bound(1).zip(bound(2)).zip(step).filter(|((_, end), step)| !ambiguous(end, *step));
        result.dims_mut()[axis] = match &bounds {
            Some(((start, end), step)) => sliced(x, &shape[axis], start, end, *step),
            None => Dim::Unknown,
        };
        if let [_] = shape[..]
            && let [_] = axes[..]
        {
            picked = bounds.and_then(|((start, end), step)| {
                Some(elements::sliced(&elements::of(x, 0)?, start.known()?, end.known()?, step))
            });
        }
    }
    Ok(Fact { elements: picked, ..tensor(element, Some(result)) }.into())
}

/// Returns the size of a slice of an axis of this size.
fn sliced(x: &Operands<'_>, size: &Dim, start: &Dim, end: &Dim, step: i64) -> Dim {
    match size {
        Dim::Known(0) => return Dim::Known(0),
        Dim::Known(..0) => return Dim::Unknown,
        _ => {}
    }
    let Some(pace) = step.checked_abs() else { return Dim::Unknown };
    let span = if let (Some(size), Some(start), Some(end)) = (size.known(), start.known(), end.known()) {
        let (start, end) = elements::positions(size, start, end, step);
        Dim::Known(if step > 0 { end - start } else { start - end }.max(0))
    } else if step > 0 {
        span_forward(x, size, start, end)
    } else {
        match (start, end) {
            // The whole axis, from its end to its start.
            (Dim::Known(-1 | i64::MAX), Dim::Known(end)) if *end <= -i64::MAX => size.clone(),
            _ => Dim::Unknown,
        }
    };
    ceil_div(&span, pace)
}

/// Returns the number of elements between two bounds.
fn span_forward(x: &Operands<'_>, size: &Dim, start: &Dim, end: &Dim) -> Dim {
    // Bounds that count from the end or pass it are converted to positions if that can be decided.
    let position = |bound: &Dim| -> Option<Dim> {
        match bound {
            Dim::Known(i64::MAX) => Some(size.clone()),
            Dim::Known(known) if *known < 0 => Some(size.plus(bound).maximum(&Dim::Known(0))),
            _ if bound.is_nonnegative() => Some(bound.minimum(size)),
            // A bound of -size, where the size may be 0: then it is the beginning.
            _ => {
                let (back, from_end) = (Dim::Known(0).minus(bound), size.plus(bound));
                match (back.is_nonnegative(), Dim::Known(0).minus(&from_end).is_nonnegative()) {
                    (true, true) => Some(Dim::Known(0)),
                    (true, false) if x.is_positive(&back) => Some(from_end.maximum(&Dim::Known(0))),
                    _ => None,
                }
            }
        }
    };
    match (position(start), position(end)) {
        (Some(start), Some(end)) => {
            let span = end.minus(&start);
            // No start is past the end of the axis.
            if end == *size { span } else { span.maximum(&Dim::Known(0)) }
        }
        _ => Dim::Unknown,
    }
}

/// Returns `span / pace` rounded up; the pace is positive.
pub(super) fn ceil_div(span: &Dim, pace: i64) -> Dim {
    match span {
        Dim::Known(span) => {
            let whole = span.div_euclid(pace);
            Dim::Known(if span.rem_euclid(pace) == 0 { whole } else { whole + 1 })
        }
        _ => span.plus(&Dim::Known(pace - 1)).floor_div(&Dim::Known(pace)),
    }
}

pub(crate) fn gather(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_index(1)?;
    let element = x.element(0)?;
    let (Some(data), Some(indices)) = (x.shape(0), x.shape(1)) else { return Ok(tensor(element, None).into()) };
    let axis = x.axis(*axis, data.len())?;
    let dims = data[..axis].iter().chain(indices.iter()).chain(&data[axis + 1..]).cloned().collect();
    let elements = gathered(x)?;
    Ok(Fact { elements, ..tensor(element, Some(dims)) }.into())
}

/// Returns the elements of a vector at the indices; unknown if the index is.
fn gathered(x: &Operands<'_>) -> Result<Option<Arc<[Dim]>>, InferError> {
    let all = x.fact(0).filter(|fact| fact.rank() == Some(1)).and_then(|_| elements::of(x, 0));
    let (Some(all), Some(indices)) = (all, elements::of(x, 1)) else { return Ok(None) };
    let pick =
        |index: &Dim| index.known().map_or(Ok(Dim::Unknown), |index| Ok(all[place(x, index, all.len())?].clone()));
    indices.iter().map(pick).collect::<Result<_, _>>().map(Some)
}

/// Converts an index that may count from the end to a position.
fn place(x: &Operands<'_>, index: i64, count: usize) -> Result<usize, InferError> {
    let size = i64::try_from(count).unwrap_or(i64::MAX);
    let at = if index < 0 { index.saturating_add(size) } else { index };
    let inside = usize::try_from(at).ok().filter(|&at| at < count);
    inside.ok_or_else(|| x.fail(format!("the index {index} is out of range for {size} elements")))
}

/// The result has the shape of the indices.
pub(crate) fn gather_elements(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_index(1)?;
    along_axis(x, *axis)?;
    let shape = x.shape(1).cloned().or_else(|| Some(of_rank(x.shape(0)?.len())));
    Ok(Fact { elements: gathered(x)?, ..tensor(x.element(0)?, shape) }.into())
}

/// Checks that data and indices have the same rank, and that the axis is in range.
fn along_axis(x: &Operands<'_>, axis: i64) -> Result<(), InferError> {
    match (x.shape_of_least_rank(0, 1)?, x.shape(1)) {
        (Some(data), Some(indices)) if data.len() != indices.len() => {
            Err(x.fail(format!("the ranks of the data {data} and the indices {indices} differ")))
        }
        (Some(shape), _) | (None, Some(shape)) => x.axis(axis, shape.len()).map(|_| ()),
        (None, None) => Ok(()),
    }
}

/// The last axis of the indices holds tuples that index the axes of the data after the batch axes.
pub(crate) fn gather_nd(x: &Operands<'_>, batch_dims: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let (data, indices) = (x.shape_of_least_rank(0, 1)?, x.shape_of_least_rank(1, 1)?);
    let batch = usize::try_from(*batch_dims)
        .map_err(|_| x.fail(format!("`batch_dims` must not be negative, but is {batch_dims}")))?;
    if let Some(short) = [data, indices].into_iter().flatten().find(|shape| shape.len() <= batch) {
        return Err(x.fail(format!("{batch} batch axes are too many for the shape {short}")));
    }
    let (Some(data), Some(indices)) = (data, indices) else { return Ok(tensor(element, None).into()) };
    let mut assumed = vec![];
    for (axis, (a, b)) in data.iter().zip(indices.iter()).take(batch).enumerate() {
        x.expect_same(a, b, format_args!("the sizes of axis {axis} of {data} and {indices}"), &mut assumed)?;
    }
    let rest = pointed_at(x, &data[batch..], indices)?;
    let shape = rest.map(|rest| indices[..indices.len() - 1].iter().chain(rest).cloned().collect());
    Ok(Inferred { facts: smallvec![tensor(element, shape)], assumed })
}

/// Returns the axes of the data that the tuples do not index; the indices have a last axis.
fn pointed_at<'d>(x: &Operands<'_>, data: &'d [Dim], indices: &Shape) -> Result<Option<&'d [Dim]>, InferError> {
    let Some(tuple) = indices.last().and_then(Dim::known) else { return Ok(None) };
    let left = usize::try_from(tuple).ok().filter(|&tuple| tuple > 0).and_then(|tuple| data.get(tuple..));
    left.map(Some).ok_or_else(|| {
        x.fail(format!("the indices {indices} hold tuples of {tuple}, but a tuple must index 1 to {} axes", data.len()))
    })
}

/// Operands: data, indices, updates of the shape of the indices.
pub(crate) fn scatter_elements(x: &Operands<'_>, axis: &i64, reduction: &ScatterReduction) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.expect_index(1)?;
    let element = x.common_element([0, 2])?;
    along_axis(x, *axis)?;
    let mut assumed = vec![];
    if let (Some(indices), Some(updates)) = (x.shape(1), x.shape(2)) {
        x.expect_same_shape(indices, updates, "the shapes of the indices and the updates", &mut assumed)?;
    }
    let elements = if *reduction == ScatterReduction::None { scattered(x)? } else { None };
    Ok(Inferred { facts: smallvec![Fact { elements, ..tensor(element, x.shape(0).cloned()) }], assumed })
}

/// Returns the elements of a vector with some replaced.
fn scattered(x: &Operands<'_>) -> Result<Option<Arc<[Dim]>>, InferError> {
    let indices = x.fact(1).and_then(Fact::known_elements);
    let (Some(all), Some(indices), Some(updates)) = (elements::of(x, 0), indices, elements::of(x, 2)) else {
        return Ok(None);
    };
    let mut all = all.into_owned();
    for (index, update) in indices.into_iter().zip(updates.iter()) {
        let at = place(x, index, all.len())?;
        all[at] = update.clone();
    }
    Ok(Some(all.into()))
}

/// Operands: data, tuples of indices, and updates: a slice of the data for each tuple.
pub(crate) fn scatter_nd(x: &Operands<'_>, _reduction: &ScatterReduction) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.common_element([0, 2])?;
    let mut assumed = vec![];
    if let (Some(data), Some(indices)) = (x.shape_of_least_rank(0, 1)?, x.shape_of_least_rank(1, 1)?)
        && let Some(rest) = pointed_at(x, data, indices)?
        && let Some(updates) = x.shape(2)
    {
        let expected: Shape = indices[..indices.len() - 1].iter().chain(rest).cloned().collect();
        x.expect_same_shape(
            updates,
            &expected,
            "the shape of the updates and that of what they replace",
            &mut assumed,
        )?;
    }
    Ok(Inferred { facts: smallvec![tensor(element, x.shape(0).cloned())], assumed })
}

/// The slices along an axis, or without one the elements, for which the condition is true; the condition may be
/// shorter.
pub(crate) fn compress(x: &Operands<'_>, axis: &Option<i64>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "bool", |element| element == ElementType::Bool)?;
    if let Some(condition) = x.shape(1).filter(|condition| condition.len() != 1) {
        return Err(x.fail(format!("the condition must be a vector, but its shape is {condition}")));
    }
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else {
        let flat = axis.is_none().then(|| of_rank(1));
        return Ok(tensor(element, flat).into());
    };
    let (mut result, axis) = match axis {
        Some(axis) => (shape.clone(), x.axis(*axis, shape.len())?),
        None => (Shape::from_iter([shape.count()]), 0),
    };
    let condition = x.fact(1).and_then(Fact::known_elements);
    // The part of the condition past the axis is ignored.
    let within = condition.filter(|all| result[axis].minus(&number(all.len())).is_nonnegative());
    let taken = within.as_ref().map(|all| all.iter().filter(|truth| **truth != 0).count());
    let elements = within.zip(elements::of(x, 0).filter(|_| shape.len() == 1)).map(|(condition, all)| {
        let held = all.iter().zip(condition).filter(|(_, truth)| *truth != 0);
        held.map(|(element, _)| element.clone()).collect()
    });
    result.dims_mut()[axis] = taken.map_or(Dim::Unknown, number);
    Ok(Fact { elements, ..tensor(element, Some(result)) }.into())
}

/// One column of indices for each nonzero element.
pub(crate) fn non_zero(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.element(0)?;
    // A scalar has no index by ONNX's text, but one in ONNX Runtime.
    let rank = x.shape(0).filter(|shape| !shape.is_empty()).map_or(Dim::Unknown, |shape| number(shape.len()));
    let truths: Option<Vec<bool>> = elements::of(x, 0).and_then(|all| all.iter().map(nonzero).collect());
    let count = truths.map_or(Dim::Unknown, |all| number(all.into_iter().filter(|&truth| truth).count()));
    Ok(Fact::tensor(ElementType::I64, Shape::from_iter([rank, count])).into())
}

/// Returns whether an element is nonzero, if that can be decided.
fn nonzero(element: &Dim) -> Option<bool> {
    match element {
        Dim::Known(known) => Some(*known != 0),
        _ => element.is_positive().then_some(true),
    }
}

/// Operands: indices, depth, and the off and on values.
pub(crate) fn one_hot(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    let number = |at| x.expect_element(at, "a number type", ElementType::is_number);
    number(0).and_then(|()| number(1))?;
    let depth = x.scalar_size(1)?;
    let mut assumed = vec![];
    let [values] = x.sizes_of(2)?;
    x.expect_same(&values, &Dim::Known(2), "the number of values and 2", &mut assumed)?;
    let shape = match x.shape(0) {
        None => None,
        Some(indices) => {
            let axis = x.axis(*axis, indices.len() + 1)?;
            Some(indices[..axis].iter().chain([&depth]).chain(&indices[axis..]).cloned().collect())
        }
    };
    Ok(Inferred { facts: smallvec![tensor(x.element(2)?, shape)], assumed })
}

/// Results: the distinct slices along an axis, or without one the distinct elements; their first indices; inverse
/// indices; counts.
pub(crate) fn unique(x: &Operands<'_>, axis: &Option<i64>, _sorted: &bool) -> Outcome {
    x.arity(1..=1, 1..=4)?;
    let (distinct, all) = match (x.shape(0), axis) {
        (Some(shape), Some(axis)) => {
            let axis = x.axis(*axis, shape.len())?;
            let mut distinct = shape.clone();
            let all = std::mem::replace(&mut distinct.dims_mut()[axis], Dim::Unknown);
            (Some(distinct), all)
        }
        (shape, None) => (Some(of_rank(1)), shape.map_or(Dim::Unknown, Shape::count)),
        (None, Some(_)) => (None, Dim::Unknown),
    };
    let indices = |size: Dim| Fact::tensor(ElementType::I64, Shape::from_iter([size]));
    let results = [tensor(x.element(0)?, distinct), indices(Dim::Unknown), indices(all), indices(Dim::Unknown)];
    Ok(first_results(x, results, vec![]))
}
