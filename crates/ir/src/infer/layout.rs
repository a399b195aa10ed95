//! Operators that move elements: shapes, slices, joins.

use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::types::MOST_ELEMENTS;
use crate::{Dim, ElementType, Fact, Shape, Tensor};
use smallvec::smallvec;
use std::sync::Arc;

pub(crate) fn shape(x: &Operands<'_>, start: &i64, end: &Option<i64>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let Some(shape) = x.shape(0) else {
        return Ok(Fact::tensor(ElementType::I64, Shape::from_iter([Dim::Unknown])).into());
    };
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let clamp = |axis: i64| usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }.clamp(0, rank));
    let (Ok(start), Ok(end)) = (clamp(*start), clamp(end.unwrap_or(rank))) else {
        return Err(x.fail("the rank is too large"));
    };
    let dims: Vec<Dim> = shape[start..end.max(start)].to_vec();
    Ok(integers(dims, true).into())
}

/// A vector of integers, or one integer, whose elements are known as dims.
fn integers(elements: Vec<Dim>, vector: bool) -> Fact {
    let size = i64::try_from(elements.len()).map_or(Dim::Unknown, Dim::Known);
    let shape = if vector { Shape::from_iter([size]) } else { Shape::default() };
    let few = elements.len() as u64 <= MOST_ELEMENTS;
    Fact { elements: few.then(|| elements.into()), ..Fact::tensor(ElementType::I64, shape) }
}

/// The second operand holds the shape: 0 keeps a size unless `allowzero`, and one -1 is what is left.
pub(crate) fn reshape(x: &Operands<'_>, allowzero: &bool) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let Some(wanted) = x.fact(1).and_then(|fact| fact.elements.clone()) else {
        let rank = x.shape(1).and_then(|shape| shape.first()?.known()).filter(|&rank| rank <= 64);
        return Ok(tensor(element, rank.map(|rank| (0..rank).map(|_| Dim::Unknown).collect())).into());
    };
    let from = x.shape(0);
    let mut dims = vec![];
    let mut open = None;
    for (axis, dim) in wanted.iter().enumerate() {
        dims.push(match dim {
            Dim::Known(0) if !*allowzero => match from {
                Some(from) => from.get(axis).cloned().ok_or_else(|| {
                    x.fail(format!("size {axis} is to be kept, but the operand {from} has no such axis"))
                })?,
                None => Dim::Unknown,
            },
            Dim::Known(-1) if open.is_some() => return Err(x.fail("two sizes are -1")),
            Dim::Known(-1) => {
                open = Some(axis);
                Dim::Known(1)
            }
            Dim::Known(size) if *size < -1 => return Err(x.fail(format!("the size {size} is negative"))),
            // A symbolic size that is 0 at run time would keep the operand's; where that is another one, the numbers of
            // elements differ and the model does not run. One that may be negative is no size.
            dim if dim.is_nonnegative() => dim.clone(),
            _ => Dim::Unknown,
        });
    }
    let shape = Shape::from_iter(dims.iter().cloned());
    let asked = checked_count(x, &shape)?;
    let mut assumed = vec![];
    if let Some(from) = from {
        let count = from.count();
        if let Some(open) = open {
            dims[open] = match count.modulo(&asked) {
                Dim::Known(0) => count.floor_div(&asked),
                Dim::Known(_) => return Err(x.fail(format!("{from} has no whole number of {asked} elements for -1"))),
                // Where the rest of the division is not known, it must be 0 for the model to run.
                _ => count.floor_div(&asked),
            };
        } else {
            x.expect_same(&count, &asked, &format!("the numbers of elements of {from} and {shape}"), &mut assumed)?;
        }
    } else if let Some(open) = open {
        dims[open] = Dim::Unknown;
    }
    let elements = x.fact(0).and_then(|fact| fact.elements.clone()).filter(|_| dims.len() <= 1);
    let fact = Fact { elements, ..tensor(element, Some(dims.into_iter().collect())) };
    Ok(Inferred { facts: smallvec![fact], assumed })
}

/// The number of elements; an error where the sizes are known and their product is larger than any tensor.
fn checked_count(x: &Operands<'_>, shape: &Shape) -> Result<Dim, InferError> {
    let count = shape.count();
    if count == Dim::Unknown && shape.known().is_some() {
        return Err(x.fail(format!("the shape {shape} is larger than any tensor")));
    }
    Ok(count)
}

pub(crate) fn transpose(x: &Operands<'_>, perm: &Vec<i64>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(x.element(0)?, None).into()) };
    let order = perm.iter().map(|axis| x.axis(*axis, shape.len())).collect::<Result<Vec<_>, _>>()?;
    let mut seen = order.clone();
    seen.sort_unstable();
    if !seen.into_iter().eq(0..shape.len()) {
        return Err(x.fail(format!("{perm:?} is no order of the {} axes of {shape}", shape.len())));
    }
    let dims = order.into_iter().map(|axis| shape[axis].clone()).collect();
    Ok(tensor(x.element(0)?, Some(dims)).into())
}

pub(crate) fn unsqueeze(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    let (Some(shape), Some(axes)) = (x.shape(0), x.fact(1).and_then(Fact::known_elements)) else {
        return Ok(tensor(x.element(0)?, None).into());
    };
    let rank = shape.len() + axes.len();
    let axes = axes.into_iter().map(|axis| x.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    if (1..axes.len()).any(|at| axes[..at].contains(&axes[at])) {
        return Err(x.fail("an axis is given twice"));
    }
    let mut dims = shape.iter();
    let dims = (0..rank).filter_map(|at| if axes.contains(&at) { Some(Dim::Known(1)) } else { dims.next().cloned() });
    let elements = x.fact(0).and_then(|fact| fact.elements.clone()).filter(|_| rank <= 1);
    Ok(Fact { elements, ..tensor(x.element(0)?, Some(dims.collect())) }.into())
}

pub(crate) fn squeeze(x: &Operands<'_>) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes: Vec<usize> = match x.fact(1) {
        // All axes of size 1: decided only where no size is symbolic.
        None if shape.known().is_none() => return Ok(tensor(element, None).into()),
        None => (0..shape.len()).filter(|&axis| shape[axis] == Dim::Known(1)).collect(),
        Some(axes) => {
            let Some(axes) = axes.known_elements() else { return Ok(tensor(element, None).into()) };
            axes.into_iter().map(|axis| x.axis(axis, shape.len())).collect::<Result<_, _>>()?
        }
    };
    let mut assumed = vec![];
    for &axis in &axes {
        x.expect_same(&shape[axis], &Dim::Known(1), &format!("the size of axis {axis} and 1"), &mut assumed)?;
    }
    let dims: Shape =
        shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| dim.clone()).collect();
    let elements = x.fact(0).and_then(|fact| fact.elements.clone());
    Ok(Inferred { facts: smallvec![Fact { elements, ..tensor(element, Some(dims)) }], assumed })
}

pub(crate) fn expand(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    let element = x.element(0)?;
    let wanted = x.fact(1).and_then(|fact| fact.elements.clone());
    let (Some(shape), Some(wanted)) = (x.shape(0), wanted) else { return Ok(tensor(element, None).into()) };
    let wanted: Shape =
        wanted.iter().map(|dim| if dim.is_nonnegative() { dim.clone() } else { Dim::Unknown }).collect();
    checked_count(x, &wanted)?;
    let mut assumed = vec![];
    let result = x.broadcast([Some(shape), Some(&wanted)], &mut assumed)?;
    Ok(Inferred { facts: smallvec![tensor(element, result)], assumed })
}

pub(crate) fn concat(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=usize::MAX, 1..=1)?;
    let element = x.common_element(0..x.facts.len())?;
    let Some(shapes) = (0..x.facts.len()).map(|at| x.shape(at)).collect::<Option<Vec<_>>>() else {
        return Ok(tensor(element, None).into());
    };
    let mut dims = shapes[0].to_vec();
    let axis = x.axis(*axis, dims.len())?;
    let mut assumed = vec![];
    for shape in &shapes[1..] {
        if shape.len() != dims.len() {
            return Err(x.fail(format!("the ranks of {} and {shape} differ", shapes[0])));
        }
        for (at, (dim, other)) in dims.iter_mut().zip(shape.iter()).enumerate() {
            if at == axis {
                *dim = dim.plus(other);
            } else {
                let what = format!("the sizes of axis {at} of {} and {shape}", shapes[0]);
                x.expect_same(dim, other, &what, &mut assumed)?;
            }
        }
    }
    let parts: Option<Vec<_>> = x.facts.iter().map(|fact| fact.and_then(|fact| fact.elements.as_deref())).collect();
    let elements: Option<Arc<[Dim]>> = parts.map(|parts| parts.concat().into());
    let elements = elements.filter(|elements| elements.len() as u64 <= MOST_ELEMENTS);
    Ok(Inferred { facts: smallvec![Fact { elements, ..tensor(element, Some(dims.into_iter().collect())) }], assumed })
}

pub(crate) fn split(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=2, 1..=usize::MAX)?;
    let element = x.element(0)?;
    let unknown = || Inferred { facts: (0..x.results).map(|_| tensor(element, None)).collect(), assumed: vec![] };
    let Some(shape) = x.shape(0) else { return Ok(unknown()) };
    let axis = x.axis(*axis, shape.len())?;
    let mut assumed = vec![];
    let sizes: Vec<Dim> = match x.fact(1) {
        Some(sizes) => match &sizes.elements {
            None => vec![Dim::Unknown; x.results],
            Some(sizes) if sizes.len() != x.results => {
                return Err(x.fail(format!("there are {} sizes for {} results", sizes.len(), x.results)));
            }
            Some(sizes) => {
                let sum = sizes.iter().fold(Dim::Known(0), |sum, size| sum.plus(size));
                let what = format!("the sum of the sizes and axis {axis} of {shape}");
                x.expect_same(&sum, &shape[axis], &what, &mut assumed)?;
                sizes.to_vec()
            }
        },
        None => equal_parts(&shape[axis], x.results),
    };
    if let Some(negative) = sizes.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("a part of axis {axis} of {shape} would have the size {negative}")));
    }
    let part = |size: Dim| {
        let mut dims = shape.clone();
        dims.dims_mut()[axis] = if size.is_nonnegative() { size } else { Dim::Unknown };
        tensor(element, Some(dims))
    };
    Ok(Inferred { facts: sizes.into_iter().map(part).collect(), assumed })
}

/// Equal parts; the last is smaller where the size is no multiple of their number (ONNX Split 18, `num_outputs`).
fn equal_parts(size: &Dim, parts: usize) -> Vec<Dim> {
    let count = i64::try_from(parts).unwrap_or(i64::MAX);
    let part = size.plus(&Dim::Known(count - 1)).floor_div(&Dim::Known(count));
    let last = size.minus(&part.times(&Dim::Known(count - 1)));
    let mut sizes = vec![part; parts];
    if let Some(end) = sizes.last_mut() {
        *end = last;
    }
    sizes
}

/// Operands: data, starts, ends, axes (default: all in order), steps (default: 1).
pub(crate) fn slice(x: &Operands<'_>) -> Outcome {
    x.arity(3..=5, 1..=1)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let elements = |at: usize| x.fact(at).map(|fact| fact.elements.as_deref());
    let axes: Option<Vec<i64>> = match (x.fact(3), x.shape(1).and_then(|shape| shape.first()?.known())) {
        (Some(axes), _) => axes.known_elements(),
        (None, Some(count)) => Some((0..count.min(64)).collect()),
        (None, None) => None,
    };
    let Some(axes) = axes else {
        return Ok(tensor(element, Some(shape.iter().map(|_| Dim::Unknown).collect())).into());
    };
    let mut result = shape.clone();
    let mut picked = None;
    for (at, axis) in axes.iter().enumerate() {
        let axis = x.axis(*axis, shape.len())?;
        let bound = |operand: usize| elements(operand).flatten().and_then(|all| all.get(at)).cloned();
        let step = match x.fact(4) {
            None => Some(1),
            Some(_) => bound(4).and_then(|step| step.known()),
        };
        if step == Some(0) {
            return Err(x.fail("a step is 0"));
        }
        let bounds = bound(1).zip(bound(2)).zip(step);
        result.dims_mut()[axis] = match &bounds {
            Some(((start, end), step)) => sliced(&shape[axis], start, end, *step),
            None => Dim::Unknown,
        };
        if shape.len() == 1 && axes.len() == 1 {
            picked = bounds.and_then(|((start, end), step)| {
                let all = x.fact(0)?.elements.as_ref()?;
                let (from, to) = (clamped(start.known()?, all.len()), clamped(end.known()?, all.len()));
                (step == 1).then(|| all[from.min(to)..to].to_vec().into())
            });
        }
    }
    Ok(Fact { elements: picked, ..tensor(element, Some(result)) }.into())
}

/// A bound within `0..=len`, from one that may count from the end.
fn clamped(bound: i64, len: usize) -> usize {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let bound = if bound < 0 { bound.saturating_add(len) } else { bound };
    usize::try_from(bound.clamp(0, len)).unwrap_or(0)
}

/// The size of a slice of an axis of that size.
fn sliced(size: &Dim, start: &Dim, end: &Dim, step: i64) -> Dim {
    match size {
        Dim::Known(0) => return Dim::Known(0),
        Dim::Known(..0) => return Dim::Unknown,
        _ => {}
    }
    if let (Some(size), Some(start), Some(end)) = (size.known(), start.known(), end.known()) {
        let shift = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let (start, end) = (shift(start).clamp(low.max(0), high.max(0)), shift(end).clamp(low, high));
        let (Some(span), Some(forward)) = (end.checked_sub(start), step.checked_abs()) else { return Dim::Unknown };
        let span = if step > 0 { span } else { -span };
        return Dim::Known(if span <= 0 { 0 } else { (span - 1) / forward + 1 });
    }
    if step != 1 {
        return Dim::Unknown;
    }
    // Bounds that count from the end or reach past it, made positions where that is decided.
    let position = |bound: &Dim| -> Option<Dim> {
        match bound {
            Dim::Known(i64::MAX) => Some(size.clone()),
            Dim::Known(known) if *known < 0 => Some(size.plus(bound).maximum(&Dim::Known(0))),
            _ if bound.is_nonnegative() => Some(bound.minimum(size)),
            _ => None,
        }
    };
    match (position(start), position(end)) {
        (Some(start), Some(end)) => {
            let span = end.minus(&start);
            // No start lies behind the end of the axis.
            if end == *size { span } else { span.maximum(&Dim::Known(0)) }
        }
        _ => Dim::Unknown,
    }
}

pub(crate) fn gather(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64 or i32", |element| matches!(element, ElementType::I64 | ElementType::I32))?;
    let element = x.element(0)?;
    let (Some(data), Some(indices)) = (x.shape(0), x.shape(1)) else { return Ok(tensor(element, None).into()) };
    let axis = x.axis(*axis, data.len())?;
    let dims = data[..axis].iter().chain(indices.iter()).chain(&data[axis + 1..]).cloned().collect();
    let elements = gathered(x)?;
    Ok(Fact { elements, ..tensor(element, Some(dims)) }.into())
}

/// The elements of a vector at known indices.
fn gathered(x: &Operands<'_>) -> Result<Option<Arc<[Dim]>>, InferError> {
    let all = x.fact(0).filter(|fact| fact.rank() == Some(1)).and_then(|fact| fact.elements.as_ref());
    let indices = x.fact(1).and_then(Fact::known_elements);
    let (Some(all), Some(indices)) = (all, indices) else { return Ok(None) };
    let size = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let pick = |index: i64| {
        let at = if index < 0 { index.saturating_add(size) } else { index };
        let found = usize::try_from(at).ok().and_then(|at| all.get(at)).cloned();
        found.ok_or_else(|| x.fail(format!("the index {index} is out of range for {size} elements")))
    };
    indices.into_iter().map(pick).collect::<Result<Vec<_>, _>>().map(|picked| Some(picked.into()))
}

pub(crate) fn trilu(x: &Operands<'_>, _upper: &bool) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    if x.shape(0).is_some_and(|shape| shape.len() < 2) {
        return Err(x.fail("the operand has fewer than two axes"));
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

pub(crate) fn range(x: &Operands<'_>) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    let element = x.common_element(0..3)?;
    for shape in (0..3).filter_map(|at| x.shape(at)) {
        if !shape.is_empty() {
            return Err(x.fail(format!("its operands must be scalars, but one has the shape {shape}")));
        }
    }
    let only = |at: usize| x.fact(at).and_then(|fact| fact.elements.as_ref()?.first().cloned());
    let (Some(start), Some(limit), Some(delta)) = (only(0), only(1), only(2)) else {
        return Ok(tensor(element, Some(Shape::from_iter([Dim::Unknown]))).into());
    };
    let span = limit.minus(&start);
    let count = match (&delta, &span) {
        (Dim::Known(0), _) => return Err(x.fail("the step is 0")),
        (Dim::Known(1), span) if span.is_nonnegative() => span.clone(),
        (Dim::Known(delta), Dim::Known(span))
            if *span != 0 && (*delta > 0) == (*span > 0) && *span != i64::MIN && *delta != i64::MIN =>
        {
            Dim::Known((span.abs() - 1) / delta.abs() + 1)
        }
        (Dim::Known(_), Dim::Known(_)) => Dim::Known(0),
        _ => Dim::Unknown,
    };
    let elements = count.known().zip(start.known()).zip(delta.known()).and_then(|((count, start), delta)| {
        if count > i64::try_from(MOST_ELEMENTS).ok()? {
            return None;
        }
        (0..count)
            .map(|at| Some(Dim::Known(at.checked_mul(delta)?.checked_add(start)?)))
            .collect::<Option<Arc<[Dim]>>>()
    });
    Ok(Fact { elements, ..tensor(element, Some(Shape::from_iter([count]))) }.into())
}

pub(crate) fn constant_of_shape(x: &Operands<'_>, value: &Tensor) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    if value.count() != 1 {
        return Err(x.fail(format!("its value must be one element, but is {}", value.ty())));
    }
    let Some(dims) = x.fact(0).and_then(|fact| fact.elements.clone()) else {
        return Ok(tensor(Some(value.element()), None).into());
    };
    if let Some(negative) = dims.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("the size {negative} is negative")));
    }
    let shape: Shape = dims.iter().cloned().collect();
    checked_count(x, &shape)?;
    let elements = shape.known().filter(|known| known.len() <= 1).and_then(|known| {
        let count = usize::try_from(known.first().copied().unwrap_or(1)).ok()?;
        let value = Dim::Known(*value.integers()?.first()?);
        (count as u64 <= MOST_ELEMENTS).then(|| vec![value; count].into())
    });
    Ok(Fact { elements, ..tensor(Some(value.element()), Some(shape)) }.into())
}
