//! Masks that are added to attention scores.

use crate::read::numbers::Numbers;
use crate::read::sizes::position;
use crate::read::thresholds::{Depths, TRACT_SKIPS};
use crate::rewrite::{element, insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// The maximum number of operators between a mask and its broadcast form.
const MAX_STEPS: usize = 16;

/// Whether a mask provably holds no minus infinity, so that by the standard no row is fully masked.
pub(crate) fn is_finite(graph: &Graph, mask: Value) -> bool {
    is_at_least(graph, mask, f64::MIN)
}

/// Whether every element of a mask is provably `least` or greater.
pub(crate) fn is_at_least(graph: &Graph, mask: Value, least: f64) -> bool {
    Numbers::of(graph, mask).least >= least
}

/// Whether every element of a mask is provably 0 or less.
pub(crate) fn is_at_most_zero(graph: &Graph, mask: Value) -> bool {
    Numbers::of(graph, mask).most <= 0.0
}

/// Lifts rows that are fully masked: negates the greatest element of each row in which it is negative, and shifts the
/// rest of the row by the same amount, `m - 2 * min(max(m), 0)`.
///
/// Runtimes skip rows in which every element is very negative; after lifting there are none. Adding one number to all
/// scores of a row does not change the probabilities, and a number of the same magnitude absorbs and rounds the scores
/// as before: a row that is masked by the lowest float still gives the mean of all values. A row of minus infinity
/// becomes NaN, as the softmax of it is, unless `keeps_infinity`.
pub(crate) fn lifted(graph: &mut Graph, root: Value, mask: Value, keeps_infinity: bool) -> Result<Value, Skip> {
    if is_at_least(graph, mask, TRACT_SKIPS) || before_lift(graph, mask).is_some() {
        return Ok(mask);
    }
    let element = element(graph, mask)?;
    let mut most = mask;
    if graph.fact(mask).rank() != Some(0) {
        let axes = number_list(graph, root, "axes", &[-1])?;
        let op = Op::ReduceMax { keepdims: true, noop_with_empty_axes: false };
        most = insert(graph, root, "most", op, &[mask, axes])?;
    }
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
    // In two steps, because twice the lowest float is not finite.
    let level = insert(graph, root, "level", Op::Sub, &[mask, most])?;
    insert(graph, root, "lifted", Op::Sub, &[level, most])
}

/// Does what [`lifted`] does, for `f16`: raises each row whose greatest element, `most`, is below -49152 to that
/// number, `m - min(max(m) + 49152, 0)`. In `f16`, twice the lowest number is not finite, nor are some scores when the
/// greatest number is added.
fn raised(graph: &mut Graph, root: Value, mask: Value, most: Value) -> Result<Value, Skip> {
    let depths = Depths::of(ElementType::F16);
    let masked = number(graph, root, "masked", depths.element, depths.masked)?;
    let above = insert(graph, root, "above", Op::Sub, &[most, masked])?;
    let zero = number(graph, root, "zero", depths.element, 0.0)?;
    let level = insert(graph, root, "level", Op::Min, &[above, zero])?;
    insert(graph, root, "raised", Op::Sub, &[mask, level])
}

/// Replaces elements below the number that [hides scores](Depths::masked) with that number. NaN stays NaN, which a Max
/// might not keep.
pub(crate) fn bounded(graph: &mut Graph, root: Value, mask: Value) -> Result<Value, Skip> {
    if is_bounded(graph, mask) {
        return Ok(mask);
    }
    let element = element(graph, mask)?;
    let masked = number(graph, root, "masked", element, Depths::of(element).masked)?;
    let is_deep = insert(graph, root, "deep", Op::Less, &[mask, masked])?;
    insert(graph, root, "mask", Op::Where, &[is_deep, masked, mask])
}

/// Returns a mask for a `GroupQueryAttention`: one in `f16` is [bounded], because ONNX Runtime 1.32 returns NaN for a row
/// of minus infinity in `f16`, and zeros in `f32`.
pub(crate) fn for_grouped(graph: &mut Graph, root: Value, mask: Value) -> Result<Value, Skip> {
    let is_narrow = graph.fact(mask).element() == Some(ElementType::F16);
    if is_narrow { bounded(graph, root, mask) } else { Ok(mask) }
}

/// Whether no row of a mask is so negative that a runtime skips it, and none begins with minus infinity: the first key
/// is visible in every row, or the mask is [lifted] and [bounded].
pub(crate) fn hides_no_row(graph: &Graph, mask: Value) -> bool {
    let is_bounded = |whole: Value| is_bounded(graph, mask) || is_finite(graph, whole);
    Numbers::first_of_rows(graph, mask).least >= TRACT_SKIPS || before_lift(graph, mask).is_some_and(is_bounded)
}

/// Returns the mask before it was [lifted].
pub(crate) fn before_lift(graph: &Graph, mask: Value) -> Option<Value> {
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

/// Whether a mask provably holds no minus infinity, or is [bounded].
pub(crate) fn is_bounded(graph: &Graph, mask: Value) -> bool {
    let mask = narrow(graph, mask);
    without_bound(graph, mask).is_some_and(|(_, least)| least.is_finite()) || is_finite(graph, mask)
}

/// Returns a mask before it is repeated along axes.
fn narrow(graph: &Graph, mut mask: Value) -> Value {
    for _ in 0..MAX_STEPS {
        match graph.operand(mask.node, 0) {
            Some(inner) if matches!(graph.kind(mask), OpKind::Expand | OpKind::Unsqueeze) => mask = inner,
            _ => break,
        }
    }
    mask
}

/// Returns `x` and `c` of `where(x < c, c, x)`.
pub(crate) fn without_bound(graph: &Graph, mask: Value) -> Option<(Value, f64)> {
    let operand = |of: Value, at: usize| graph.operand(of.node, at);
    let (condition, least, whole) = (operand(mask, 0)?, operand(mask, 1)?, operand(mask, 2)?);
    let float = |of: Value| graph.tensor(of).and_then(Tensor::float);
    let least = float(least)?;
    let is_bound = graph.kind(mask) == OpKind::Where
        && graph.kind(condition) == OpKind::Less
        && operand(condition, 0) == Some(whole)
        && operand(condition, 1).and_then(float) == Some(least);
    is_bound.then_some((whole, least))
}
