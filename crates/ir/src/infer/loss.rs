//! Classification losses: scores `[N, C, d1, …]` against labels `[N, d1, …]`.

use super::expect::first_results;
use super::{Assumption, InferError, Operands, Outcome, tensor};
use crate::op::LossReduction;
use crate::{Dim, ElementType, Shape};

pub(crate) fn negative_log_likelihood(
    x: &Operands<'_>,
    reduction: &LossReduction,
    _ignore_index: &Option<i64>,
) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    let mut assumed = vec![];
    let loss = loss(x, *reduction, &mut assumed)?;
    Ok(first_results(x, [tensor(x.common_element([0, 2])?, loss)], assumed))
}

/// Results: the loss, and the log-probabilities.
pub(crate) fn softmax_cross_entropy(
    x: &Operands<'_>,
    reduction: &LossReduction,
    _ignore_index: &Option<i64>,
) -> Outcome {
    x.arity(2..=3, 1..=2)?;
    let mut assumed = vec![];
    let loss = loss(x, *reduction, &mut assumed)?;
    let element = x.common_element([0, 2])?;
    Ok(first_results(x, [tensor(element, loss), tensor(element, x.shape(0).cloned())], assumed))
}

/// Infers the shape of the loss: that of the labels, or a scalar if it is reduced.
fn loss(
    x: &Operands<'_>,
    reduction: LossReduction,
    assumed: &mut Vec<Assumption>,
) -> Result<Option<Shape>, InferError> {
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_index(1)?;
    let scores = x.shape_of_least_rank(0, 2)?;
    let [weights] = x.sizes_of(2)?;
    let by_scores = scores.map(|scores| {
        Shape::from_iter(scores.iter().enumerate().filter(|(axis, _)| *axis != 1).map(|(_, dim)| dim.clone()))
    });
    if let Some(scores) = scores {
        x.expect_same(&weights, &scores[1], "the numbers of weights and of classes", assumed)?;
    }
    if let (Some(expected), Some(labels)) = (&by_scores, x.shape(1)) {
        let what = format!("the sizes of the labels {labels} and of the scores without their classes {expected}");
        x.expect_same_shape(labels, expected, &what, assumed)?;
    }
    Ok(match reduction {
        LossReduction::None => x.shape(1).cloned().or(by_scores),
        LossReduction::Mean | LossReduction::Sum => Some(Shape::from_iter::<[Dim; 0]>([])),
    })
}
