//! Fuses the steps of a layer normalization into one operator.

use crate::pass::{Exactness, Pass};
use crate::read::normalized::normalize;
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, expect_alone, first_operands, keeps_shape};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, OpKind, Value};

/// `(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b` -> `layer_normalization(x, w, b)`
///
/// The order of the factors and the spelling of the inverse square root do not matter, and the product may be expanded
/// to `x * (w * r) + (b - mean(x) * (w * r))`. The operator computes its statistics in `f32`. Any part may be computed
/// in `f32` or in the type of `x`, with casts in between; casts around the whole stay.
///
/// The function is the same, but runtimes sum and compute the inverse square root in other orders, which changes some
/// units in the last place of the type. The result is more accurate if statistics in `f16` become statistics in `f32`,
/// and if an expanded product has a mean that is large compared to the deviation. The unbiased deviation of "The
/// Annotated Transformer", to which epsilon is added, is another function.
pub fn fuse_layer_normalization() -> Pass {
    let summary = "(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b -> layer_normalization(x, w, b)";
    let kinds = [OpKind::Mul, OpKind::Div, OpKind::Add, OpKind::Sub, OpKind::Cast];
    Pass::new("fuse-layer-normalization", summary, Exactness::Rounding)
        .forms(OpKind::LayerNormalization)
        .needs_one_of(&[OpKind::Sqrt, OpKind::Pow, OpKind::LayerNormalization])
        .at(kinds, |graph, root| normalize(graph, root, true))
        .at([OpKind::Add], fold_bias)
}

fn fold_bias(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    let is_norm = |value: Value| graph.kind(value) == OpKind::LayerNormalization && value.result == 0;
    let (norm, bias) = if is_norm(a) { (a, b) } else { (b, a) };
    let operands: Vec<Value> = graph.operands(norm.node).into_iter().flatten().collect();
    let (true, &[x, weight]) = (is_norm(norm), operands.as_slice()) else { return Err(Skip::NoMatch) };
    // A residual has a higher rank.
    let is_alike = graph.shape(weight).zip(graph.shape(bias)).is_some_and(|(weight, bias)| same_shape(weight, bias));
    if !is_alike || !keeps_shape(graph, x, bias) {
        return Err(Skip::NoMatch);
    }
    if graph.results(norm.node).skip(1).any(|statistic| graph.use_count(statistic) > 0) {
        return Err(Skip::rejected("its result for the mean or the deviation has a use"));
    }
    expect_alone(graph, norm)?;
    let op = graph.op(norm).clone();
    become_op(graph, root, op, &[x, weight, bias], "folded the bias into the layer normalization")
}
