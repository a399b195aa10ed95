//! Masks that are added to the scores of attention.

use crate::read::numbers::Numbers;
use crate::read::sizes::position;
use crate::read::thresholds::{Depths, TRACT_SKIPS};
use crate::rewrite::{element, insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// More operators after a mask are not followed.
const MOST_STEPS: usize = 16;

/// Whether a mask is shown to hold no minus infinity, so that by the standard no row is fully masked.
pub(crate) fn is_finite(graph: &Graph, mask: Value) -> bool {
    is_over(graph, mask, f64::MIN)
}

/// Whether every number of a mask is shown to be so much or more.
pub(crate) fn is_over(graph: &Graph, mask: Value, least: f64) -> bool {
    Numbers::of(graph, mask).least >= least
}

/// Whether every number of a mask is shown to be 0 or less.
pub(crate) fn is_at_most_zero(graph: &Graph, mask: Value) -> bool {
    Numbers::of(graph, mask).most <= 0.0
}

/// The operands of each Relu of `min(relu(a), 1)`, or of `min(relu(a) + relu(b), 1)`: what is from 0 up to 1.
pub(crate) fn share_of(graph: &Graph, value: Value) -> Option<Vec<Value>> {
    let two = |of: Value, kind: OpKind| match graph.operands(of.node)[..] {
        [Some(a), Some(b)] if graph.kind(of) == kind => Some([a, b]),
        _ => None,
    };
    let is_one = |of: &Value| graph.tensor(*of).and_then(Tensor::float) == Some(1.0);
    let [a, b] = two(value, OpKind::Min)?;
    let sum = if is_one(&b) { a } else { Some(b).filter(|_| is_one(&a))? };
    let parts = two(sum, OpKind::Add).map_or_else(|| vec![sum], Vec::from);
    parts.into_iter().map(|part| graph.operand(part.node, 0).filter(|_| graph.kind(part) == OpKind::Relu)).collect()
}

/// The mask with every row whose greatest number is below 0 as far above 0: `m - 2 * min(max(m), 0)`.
///
/// Runtimes leave out rows that are masked deeply; none is then. A number that is added to all scores of a row changes
/// no probability, and one of the same magnitude absorbs and rounds the scores as before: a row that is masked by the
/// least float stays the mean of all values. A row of minus infinity becomes NaN, as a softmax of it is, or stays one
/// where it `keeps_infinity`.
pub(crate) fn lifted(graph: &mut Graph, root: Value, mask: Value, keeps_infinity: bool) -> Result<Value, Skip> {
    if is_over(graph, mask, TRACT_SKIPS) || of_lifted(graph, mask).is_some() {
        return Ok(mask);
    }
    let element = element(graph, mask)?;
    let axes = number_list(graph, root, "axes", &[-1])?;
    let most = Op::ReduceMax { keepdims: true, noop_with_empty_axes: false };
    let mut most = insert(graph, root, "most", most, &[mask, axes])?;
    if element != ElementType::F16 && !is_at_most_zero(graph, mask) {
        let zero = number(graph, root, "zero", element, 0.0)?;
        most = insert(graph, root, "below", Op::Min, &[most, zero])?;
    }
    if keeps_infinity {
        let least = number(graph, root, "least", element, Depths::of(element).ort_skips)?;
        most = insert(graph, root, "finite", Op::Max, &[most, least])?;
    }
    if element == ElementType::F16 {
        return raised(graph, root, mask, most);
    }
    // In two steps: twice the least float is not finite.
    let level = insert(graph, root, "level", Op::Sub, &[mask, most])?;
    insert(graph, root, "lifted", Op::Sub, &[level, most])
}

/// The mask with every row whose greatest number, `most`, is below -65472 as far above that, `m - min(max(m) + 65472, 0)`: what
/// [lifted] is in `f16`, where twice the least number is not finite and scores added to the greatest may not be.
fn raised(graph: &mut Graph, root: Value, mask: Value, most: Value) -> Result<Value, Skip> {
    let depths = Depths::of(ElementType::F16);
    let masked = number(graph, root, "masked", depths.element, depths.masked)?;
    let above = insert(graph, root, "above", Op::Sub, &[most, masked])?;
    let zero = number(graph, root, "zero", depths.element, 0.0)?;
    let level = insert(graph, root, "level", Op::Min, &[above, zero])?;
    insert(graph, root, "raised", Op::Sub, &[mask, level])
}

/// The mask with the number that [hides scores](Depths::masked) where it is less, and NaN where it is NaN, which a Max might take away.
pub(crate) fn bounded(graph: &mut Graph, root: Value, mask: Value) -> Result<Value, Skip> {
    if is_bounded(graph, mask) {
        return Ok(mask);
    }
    let element = element(graph, mask)?;
    let masked = number(graph, root, "masked", element, Depths::of(element).masked)?;
    let is_deep = insert(graph, root, "deep", Op::Less, &[mask, masked])?;
    insert(graph, root, "mask", Op::Where, &[is_deep, masked, mask])
}

/// Whether no row of a mask is so deep that a runtime leaves it out, and none begins with minus infinity: the first key
/// is seen, or the mask is [lifted] and [bounded].
pub(crate) fn hides_no_row(graph: &Graph, mask: Value) -> bool {
    let is_bounded = |whole: Value| is_bounded(graph, mask) || is_finite(graph, whole);
    Numbers::first_of_rows(graph, mask).least >= TRACT_SKIPS || of_lifted(graph, mask).is_some_and(is_bounded)
}

/// What was [lifted] to be a mask.
fn of_lifted(graph: &Graph, mask: Value) -> Option<Value> {
    let mask = without_bound(graph, narrow(graph, mask)).map_or_else(|| narrow(graph, mask), |(mask, _)| mask);
    let operand = |of: Value, kind: OpKind, at: usize| graph.operand(of.node, at).filter(|_| graph.kind(of) == kind);
    let (level, most) = (operand(mask, OpKind::Sub, 0)?, operand(mask, OpKind::Sub, 1)?);
    let whole = operand(level, OpKind::Sub, 0)?;
    let number = |of: Value, kind: OpKind| graph.tensor(operand(of, kind, 1)?)?.float();
    let mut own = most;
    if number(own, OpKind::Max) == Some(f32::MIN.into()) {
        own = operand(own, OpKind::Max, 0)?;
    }
    if number(own, OpKind::Min) == Some(0.0) {
        own = operand(own, OpKind::Min, 0)?;
    }
    let axes = graph.fact(operand(own, OpKind::ReduceMax, 1)?).known_elements()?;
    let rank = graph.fact(whole).rank()?;
    let is_last = matches!(axes.as_slice(), [axis] if position(*axis, rank) == Some(rank - 1));
    let is_own = operand(own, OpKind::ReduceMax, 0)? == whole && operand(level, OpKind::Sub, 1)? == most;
    (is_last && is_own).then_some(whole)
}

/// Whether minus infinity is shown to be nowhere in a mask, or [bounded].
fn is_bounded(graph: &Graph, mask: Value) -> bool {
    let mask = narrow(graph, mask);
    without_bound(graph, mask).is_some_and(|(_, least)| least.is_finite()) || is_finite(graph, mask)
}

/// A mask before it is repeated along axes.
fn narrow(graph: &Graph, mut mask: Value) -> Value {
    for _ in 0..MOST_STEPS {
        match graph.operand(mask.node, 0) {
            Some(inner) if matches!(graph.kind(mask), OpKind::Expand | OpKind::Unsqueeze) => mask = inner,
            _ => break,
        }
    }
    mask
}

/// Of `where(x < c, c, x)`, `x` and `c`.
fn without_bound(graph: &Graph, mask: Value) -> Option<(Value, f64)> {
    let operand = |of: Value, at: usize| graph.operand(of.node, at);
    let (condition, least, whole) = (operand(mask, 0)?, operand(mask, 1)?, operand(mask, 2)?);
    let is_bound = graph.kind(mask) == OpKind::Where
        && graph.kind(condition) == OpKind::Less
        && operand(condition, 0) == Some(whole)
        && operand(condition, 1) == Some(least);
    graph.tensor(least).and_then(Tensor::float).filter(|_| is_bound).map(|least| (whole, least))
}
