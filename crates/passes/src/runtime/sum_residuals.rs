//! Writes the residual additions before a normalization as one Sum, which ONNX Runtime does not fuse.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::same_shape;
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `norm(x + (y + b))` -> `norm(sum(y, b, x))`
///
/// ONNX Runtime fuses an Add and a LayerNormalization whose sizes it knows into SkipLayerNormalization, which takes
/// five times as long on the CPU as both (1.32, f32). It does not fuse a Sum. An operand of the Add that is itself an
/// Add is merged into the Sum. The order of summation stays the same.
pub fn sum_residuals() -> Pass {
    let summary = "norm(x + (y + b)) -> norm(sum(y, b, x))";
    Pass::new("sum-residuals", summary, Exactness::Rounding).at([OpKind::Add], sum).only_for(|target, _| target.contrib)
}

fn sum(graph: &mut Graph, root: Value) -> Rewritten {
    let is_norm = |kind| matches!(kind, OpKind::LayerNormalization | OpKind::RMSNormalization | OpKind::ReduceMean);
    let before_norm = graph.users(root).into_iter().any(|(user, at)| at == 0 && is_norm(graph.node(user).op().kind()));
    let [Some(a), Some(b)] = graph.operands(root.node)[..] else { return Err(Skip::NoMatch) };
    let shape = graph.shape(root).ok_or(Skip::NoMatch)?;
    let is_whole = |of: Value| graph.shape(of).is_some_and(|own| same_shape(own, shape));
    if !before_norm || !is_whole(a) && !is_whole(b) {
        return Err(Skip::NoMatch);
    }
    let can_merge = |of: Value| graph.kind(of) == OpKind::Add && graph.use_count(of) == 1 && is_whole(of);
    let operands: Vec<Value> = match (can_merge(a), can_merge(b)) {
        (true, _) => graph.operands(a.node).into_iter().flatten().chain([b]).collect(),
        (_, true) => graph.operands(b.node).into_iter().flatten().chain([a]).collect(),
        _ => vec![a, b],
    };
    become_op(graph, root, Op::Sum, &operands, format!("became a Sum of {} operands", operands.len()))
}
