//! Normalization over channels; the shape stays the same.

use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Shape};
use smallvec::smallvec;

/// Operands: `[n, c, …]`, then `[c]` four times: scale, shift, mean, variance. Results: the normalized tensor, and in
/// training the new running mean and variance.
pub(crate) fn batch_normalization(x: &Operands<'_>, _epsilon: &f32, _momentum: &f32, training_mode: &bool) -> Outcome {
    x.arity(5..=5, 1..=if *training_mode { 3 } else { 1 })?;
    x.common_element(1..3)?;
    let statistics = x.common_element(3..5)?;
    let (mut inferred, channels) = by_channel(x, 1..5)?;
    let shape = Shape::from_iter([channels]);
    inferred.facts.extend((1..x.results).map(|_| tensor(statistics, Some(shape.clone()))));
    Ok(inferred)
}

pub(crate) fn instance_normalization(x: &Operands<'_>, _epsilon: &f32) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.common_element(0..3)?;
    Ok(by_channel(x, 1..3)?.0)
}

pub(crate) fn group_normalization(x: &Operands<'_>, _epsilon: &f32, num_groups: &i64, _stash_type: &i64) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.common_element(0..3)?;
    if *num_groups < 1 {
        return Err(x.fail(format!("`num_groups` is {num_groups}, but must be at least 1")));
    }
    let (inferred, channels) = by_channel(x, 1..3)?;
    x.expect_multiple(&channels, *num_groups, "channels", "groups")?;
    Ok(inferred)
}

/// Returns a result of the shape `[n, c, …]` of the first operand, and `c`, the size of the operands in the range.
fn by_channel(x: &Operands<'_>, vectors: std::ops::Range<usize>) -> Result<(Inferred, Dim), InferError> {
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let vector = || vectors.clone().find_map(|at| x.shape(at)?.first());
    let channels = match x.shape(0).map(|shape| &**shape) {
        Some([_, channels, ..]) => channels.clone(),
        // A batch of scalars.
        Some([_]) => Dim::Known(1),
        Some([]) => return Err(x.fail("the operand must not have rank 0")),
        None => vector().cloned().unwrap_or(Dim::Unknown),
    };
    let mut assumed = vec![];
    for at in vectors.clone() {
        x.expect_vector(at, &channels, "the channels", &mut assumed)?;
    }
    Ok((Inferred { facts: smallvec![tensor(x.element(0)?, x.shape(0).cloned())], assumed }, channels))
}

pub(crate) fn local_response(x: &Operands<'_>, _alpha: &f32, _beta: &f32, _bias: &f32, size: &i64) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if *size < 1 {
        return Err(x.fail(format!("`size` is {size}, but must be at least 1")));
    }
    if x.shape(0).is_some_and(|shape| shape.len() < 2) {
        return Err(x.fail("the operand must have a batch axis and channels"));
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

pub(crate) fn lp(x: &Operands<'_>, axis: &i64, p: &i64) -> Outcome {
    if !matches!(p, 1 | 2) {
        return Err(x.fail(format!("`p` must be 1 or 2, but is {p}")));
    }
    super::reduction::along(x, axis)
}

pub(crate) fn mean_variance(x: &Operands<'_>, axes: &[i64]) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if let Some(shape) = x.shape(0) {
        x.axes(axes, shape.len())?;
    }
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}
