//! Operators that move elements: shapes, slices, concatenations.

use super::elements::{self, number};
use super::expect::of_rank;
use super::indexing::ceil_div;
use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::types::MAX_ELEMENTS;
use crate::{Dim, ElementType, Fact, Shape, Symbol, Tensor};
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
    let dims = &shape[start..end.max(start)];
    let vector = Fact::tensor(ElementType::I64, Shape::from_iter([number(dims.len())]));
    let few = dims.len() as u64 <= MAX_ELEMENTS;
    Ok(Fact { elements: few.then(|| dims.into()), ..vector }.into())
}

/// Infers the number of elements.
pub(crate) fn size(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.element(0)?;
    let count = x.shape(0).map_or(Ok(Dim::Unknown), |shape| checked_count(x, shape))?;
    Ok(Fact { elements: Some(Arc::new([count])), ..Fact::tensor(ElementType::I64, Shape::default()) }.into())
}

/// The second operand holds the shape: 0 keeps a size unless `allowzero`, and one -1 is inferred.
pub(crate) fn reshape(x: &Operands<'_>, allowzero: &bool) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let Some(wanted) = elements::of(x, 1) else { return Ok(tensor(element, None).into()) };
    let from = x.shape(0);
    let mut dims = vec![];
    let mut open = None;
    for (axis, dim) in wanted.iter().enumerate() {
        dims.push(match dim {
            Dim::Known(0) if !*allowzero => match from {
                Some(from) => from.get(axis).cloned().ok_or_else(|| {
                    x.fail(format!("the size 0 keeps the size of axis {axis}, but the operand {from} has no such axis"))
                })?,
                None => Dim::Unknown,
            },
            Dim::Known(-1) if open.is_some() => return Err(x.fail("only one size may be -1")),
            Dim::Known(-1) => {
                open = Some(axis);
                Dim::Known(1)
            }
            Dim::Known(size) if *size < -1 => return Err(x.fail(format!("the size {size} is negative"))),
            // A dim that may be negative is not a size, unless the operand has it.
            dim if dim.is_nonnegative() || from.is_some_and(|from| has_size(from, dim)) => dim.clone(),
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
                Dim::Known(_) => {
                    return Err(x.fail(format!(
                        "the elements of {from} do not divide evenly into {asked} to infer the size -1"
                    )));
                }
                _ => quotient(from, &dims, open).unwrap_or_else(|| count.floor_div(&asked)),
            };
        } else {
            x.expect_same(&count, &asked, format_args!("the numbers of elements of {from} and {shape}"), &mut assumed)?;
        }
    } else if let Some(open) = open {
        dims[open] = Dim::Unknown;
    }
    let kept: Vec<usize> = if *allowzero { vec![] } else { kept_by_zero(x, from, &wanted, &asked, open) };
    if !kept.is_empty() {
        kept.into_iter().chain(open).for_each(|axis| dims[axis] = Dim::Unknown);
    }
    let elements = x.followed(0).filter(|_| dims.len() <= 1);
    let fact = Fact { elements, ..tensor(element, Some(dims.into_iter().collect())) };
    Ok(Inferred { facts: smallvec![fact], assumed })
}

fn has_size(shape: &[Dim], dim: &Dim) -> bool {
    shape.iter().any(|own| own.same(dim) == Some(true))
}

/// Returns the axes on which a requested size that is 0 at run time may keep an operand's size other than 0.
///
/// The kept size is 0 if the operand's size is. And if both shapes have the same number of elements, a requested 0
/// means that there are none, so another size of the operand must be 0: one that can be.
fn kept_by_zero(
    x: &Operands<'_>,
    from: Option<&Shape>,
    wanted: &[Dim],
    asked: &Dim,
    open: Option<usize>,
) -> Vec<usize> {
    let own = |axis: usize| from.and_then(|from| from.get(axis));
    let vanishes_with = |own: &Dim, dim: &Dim| {
        let zeros = dim.zeros().unwrap_or_else(|| vec![vec![]]);
        let possible = |zeros: &&Vec<Symbol>| !x.are_never_zero(zeros);
        zeros
            .iter()
            .filter(possible)
            .all(|zeros| own.substitute(&|symbol| zeros.contains(symbol).then_some(Dim::Known(0))) == Dim::Known(0))
    };
    let keeps_another = |axis: usize| {
        let dim = &wanted[axis];
        dim.known().is_none()
            && *dim != Dim::Unknown
            && !x.is_positive(dim)
            && own(axis).is_none_or(|own| own.same(dim) != Some(true) && !vanishes_with(own, dim))
    };
    let as_many = open.is_none() && from.is_some_and(|from| from.count().same(asked) == Some(true));
    // If it is 0, it keeps a size that is not.
    let is_positive = |axis: usize| x.is_positive(&wanted[axis]) || own(axis).is_some_and(|own| x.is_positive(own));
    let alone = |axis: usize| (0..wanted.len()).all(|other| other == axis || is_positive(other));
    (0..wanted.len()).filter(|&axis| keeps_another(axis) && !(as_many && alone(axis))).collect()
}

/// Returns the size inferred for -1, after canceling sizes that are in both shapes.
///
/// If a canceled size is 0 at run time, the size for -1 is undefined and the model fails. It also fails if the division
/// has a remainder that inference does not see.
fn quotient(from: &Shape, dims: &[Dim], open: usize) -> Option<Dim> {
    let mut from: Vec<Dim> = from.to_vec();
    let mut asked = Dim::Known(1);
    for (_, dim) in dims.iter().enumerate().filter(|(axis, _)| *axis != open) {
        match from.iter().position(|own| own.same(dim) == Some(true)) {
            Some(at) => _ = from.swap_remove(at),
            None => asked = asked.times(dim),
        }
    }
    let count = from.into_iter().collect::<Shape>().count();
    (count.modulo(&asked) == Dim::Known(0)).then(|| count.floor_div(&asked))
}

/// Returns the number of elements; an error if the sizes are known and their product is larger than any tensor.
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
        return Err(x.fail(format!("{perm:?} is not a permutation of the {} axes of {shape}", shape.len())));
    }
    let dims = order.into_iter().map(|axis| shape[axis].clone()).collect();
    // A vector has only one permutation.
    Ok(Fact { elements: x.followed(0), ..tensor(x.element(0)?, Some(dims)) }.into())
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
    let elements = x.followed(0).filter(|_| rank <= 1);
    Ok(Fact { elements, ..tensor(x.element(0)?, Some(dims.collect())) }.into())
}

pub(crate) fn squeeze(x: &Operands<'_>) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes: Vec<usize> = match x.fact(1) {
        // All axes of size 1: decided only if no size is symbolic.
        None if shape.known().is_none() => return Ok(tensor(element, None).into()),
        None => (0..shape.len()).filter(|&axis| shape[axis] == Dim::Known(1)).collect(),
        Some(axes) => {
            let Some(axes) = axes.known_elements() else { return Ok(tensor(element, None).into()) };
            axes.into_iter().map(|axis| x.axis(axis, shape.len())).collect::<Result<_, _>>()?
        }
    };
    let mut assumed = vec![];
    for &axis in &axes {
        x.expect_same(&shape[axis], &Dim::Known(1), format_args!("the size of axis {axis} and 1"), &mut assumed)?;
    }
    let dims: Shape =
        shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| dim.clone()).collect();
    let fact = Fact { elements: x.followed(0), ..tensor(element, Some(dims)) };
    Ok(Inferred { facts: smallvec![fact], assumed })
}

pub(crate) fn expand(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    let element = x.element(0)?;
    let (Some(shape), Some(wanted)) = (x.shape(0), elements::of(x, 1)) else {
        return Ok(tensor(element, None).into());
    };
    if let Some(negative) = wanted.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("the size {negative} is negative")));
    }
    let wanted: Shape =
        wanted.iter().map(|dim| if dim.is_nonnegative() { dim.clone() } else { Dim::Unknown }).collect();
    checked_count(x, &wanted)?;
    let mut assumed = vec![];
    let result = x.broadcast([Some(shape), Some(&wanted)], &mut assumed)?;
    let elements = result.as_ref().and_then(|result| elements::repeated(&elements::of(x, 0)?, count_of(result)?));
    Ok(Inferred { facts: smallvec![Fact { elements, ..tensor(element, result) }], assumed })
}

/// Returns the number of elements of a scalar or small vector.
fn count_of(shape: &[Dim]) -> Option<usize> {
    match shape {
        [] => Some(1),
        [size] => elements::few(size),
        _ => None,
    }
}

/// Repeats the data along each axis as often as the second operand gives.
pub(crate) fn tile(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let repeats = elements::of(x, 1);
    if let Some(negative) = repeats.iter().flat_map(|all| all.iter()).filter_map(Dim::known).find(|times| *times < 0) {
        return Err(x.fail(format!("the number of repeats {negative} is negative")));
    }
    let Some(shape) = x.shape(0) else {
        return Ok(tensor(element, repeats.map(|repeats| of_rank(repeats.len()))).into());
    };
    let repeats = repeats.map_or_else(|| of_rank(shape.len()), |repeats| repeats.iter().cloned().collect());
    if repeats.len() != shape.len() {
        return Err(x.fail(format!("there are {} numbers of repeats, but the shape is {shape}", repeats.len())));
    }
    let repeated = |(dim, times): (&Dim, &Dim)| if times.is_nonnegative() { dim.times(times) } else { Dim::Unknown };
    let result: Shape = shape.iter().zip(repeats.iter()).map(repeated).collect();
    let elements = count_of(&result).and_then(|count| elements::repeated(&elements::of(x, 0)?, count));
    Ok(Fact { elements, ..tensor(element, Some(result)) }.into())
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
    // ONNX Runtime leaves operands without elements out, whatever their other sizes.
    let certain = shapes.iter().find(|shape| x.is_positive(&shape.count()));
    for shape in &shapes[1..] {
        if shape.len() != dims.len() {
            return Err(x.fail(format!("the ranks of {} and {shape} differ", shapes[0])));
        }
        for (at, (dim, other)) in dims.iter_mut().zip(shape.iter()).enumerate() {
            if at == axis {
                *dim = dim.plus(other);
            } else {
                let what = format_args!("the sizes of axis {at} of {} and {shape}", shapes[0]);
                x.expect_same(dim, other, what, &mut assumed)?;
                if dim.same(other) != Some(true) {
                    *dim = certain.map_or(Dim::Unknown, |certain| certain[at].clone());
                }
            }
        }
    }
    let elements = elements::few(&dims[axis]).filter(|_| dims.len() == 1).and_then(|_| joined(x));
    Ok(Inferred { facts: smallvec![Fact { elements, ..tensor(element, Some(dims.into_iter().collect())) }], assumed })
}

/// Concatenates the elements of vectors.
fn joined(x: &Operands<'_>) -> Option<Arc<[Dim]>> {
    let parts: Option<Vec<_>> = (0..x.facts.len()).map(|at| elements::of(x, at)).collect();
    Some(parts?.concat().into())
}

pub(crate) fn split(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=2, 1..=usize::MAX)?;
    let element = x.element(0)?;
    let unknown = || Inferred { facts: (0..x.results).map(|_| tensor(element, None)).collect(), assumed: vec![] };
    let Some(shape) = x.shape(0) else { return Ok(unknown()) };
    let axis = x.axis(*axis, shape.len())?;
    let mut assumed = vec![];
    let sizes: Vec<Dim> = match x.fact(1) {
        Some(_) => match elements::of(x, 1) {
            None => vec![Dim::Unknown; x.results],
            Some(sizes) if sizes.len() != x.results => {
                return Err(x.fail(format!("there are {} sizes for {} results", sizes.len(), x.results)));
            }
            Some(sizes) => {
                let sum = sizes.iter().fold(Dim::Known(0), |sum, size| sum.plus(size));
                let what = format_args!("the sum of the sizes and axis {axis} of {shape}");
                x.expect_same(&sum, &shape[axis], what, &mut assumed)?;
                sizes.into_owned()
            }
        },
        None => equal_parts(&shape[axis], x.results),
    };
    if let Some(negative) = sizes.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("a part of axis {axis} of {shape} would have the size {negative}")));
    }
    let mut left = elements::of(x, 0).filter(|_| shape.len() == 1).map(|all| all.into_owned().into_iter());
    let part = |size: Dim| {
        // After a part of unknown size, no position is known.
        let own = left.take().zip(elements::few(&size)).map(|(mut all, count)| {
            let own = all.by_ref().take(count).collect();
            left = Some(all);
            own
        });
        let mut dims = shape.clone();
        dims.dims_mut()[axis] = if size.is_nonnegative() { size } else { Dim::Unknown };
        Fact { elements: own, ..tensor(element, Some(dims)) }
    };
    Ok(Inferred { facts: sizes.into_iter().map(part).collect(), assumed })
}

/// Returns equal parts; the last is smaller if the size is not a multiple of their number (ONNX Split 18,
/// `num_outputs`).
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

pub(crate) fn trilu(x: &Operands<'_>, _upper: &bool) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    if x.shape(0).is_some_and(|shape| shape.len() < 2) {
        return Err(x.fail("the operand must have at least two axes"));
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

pub(crate) fn range(x: &Operands<'_>) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    let element = x.common_element(0..3)?;
    for shape in (0..3).filter_map(|at| x.shape(at)) {
        // Runtimes accept one element of any rank as a scalar.
        if shape.iter().any(|dim| dim.same(&Dim::Known(1)) == Some(false)) {
            return Err(x.fail(format!("its operands must be scalars, but one has the shape {shape}")));
        }
    }
    let only = |at: usize| x.fact(at).and_then(|fact| fact.elements.as_ref()?.first().cloned());
    let (Some(start), Some(limit), Some(delta)) = (only(0), only(1), only(2)) else {
        return Ok(tensor(element, Some(Shape::from_iter([Dim::Unknown]))).into());
    };
    let count = match delta {
        Dim::Known(0) => return Err(x.fail("the step must not be 0")),
        Dim::Known(pace @ 1..) => ceil_div(&limit.minus(&start), pace),
        Dim::Known(delta) => delta.checked_neg().map_or(Dim::Unknown, |pace| ceil_div(&start.minus(&limit), pace)),
        _ => Dim::Unknown,
    };
    let count = count.maximum(&Dim::Known(0));
    let elements = count.known().zip(start.known()).zip(delta.known()).and_then(|((count, start), delta)| {
        if count > i64::try_from(MAX_ELEMENTS).ok()? {
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
    let Some(dims) = elements::of(x, 0) else { return Ok(tensor(Some(value.element()), None).into()) };
    if let Some(negative) = dims.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("the size {negative} is negative")));
    }
    let shape: Shape = dims.iter().cloned().collect();
    checked_count(x, &shape)?;
    let elements = count_of(&shape).and_then(|count| {
        let value = Dim::Known(*value.integers()?.first()?);
        Some(vec![value; count].into())
    });
    Ok(Fact { elements, ..tensor(Some(value.element()), Some(shape)) }.into())
}

/// A matrix with 1 on a diagonal and 0 elsewhere.
pub(crate) fn eye_like(x: &Operands<'_>, dtype: &Option<ElementType>, _k: &i64) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let sizes: [Dim; 2] = x.sizes_of(0)?;
    let element = dtype.map_or_else(|| x.element(0), |dtype| Ok(Some(dtype)))?;
    Ok(tensor(element, Some(Shape::from_iter(sizes))).into())
}

/// Reverses the first elements of each sequence of a batch; the second operand gives their number.
pub(crate) fn reverse_sequence(x: &Operands<'_>, batch_axis: &i64, time_axis: &i64) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let (0 | 1, 0 | 1, true) = (batch_axis, time_axis, batch_axis != time_axis) else {
        return Err(x.fail(format!("batch and time must be the axes 0 and 1, but are {batch_axis} and {time_axis}")));
    };
    let mut assumed = vec![];
    let [lengths] = x.sizes_of(1)?;
    if let Some(shape) = x.shape_of_least_rank(0, 2)? {
        let batch = &shape[x.axis(*batch_axis, shape.len())?];
        x.expect_same(batch, &lengths, "the batch size and the number of lengths", &mut assumed)?;
    }
    Ok(Inferred { assumed, ..x.shaped(x.element(0)?) })
}
