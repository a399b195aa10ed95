//! Folds the scale of scores into the weights of the query projection.

use crate::pass::{Exactness, Pass};
use crate::rewrite::MAX_RECIPE_DEPTH;
use crate::rule::{Rewritten, Skip};
use crate::target::Scale;
use netwright_ir::{ElementType, Graph, NodeId, Op, OpKind, Tensor, Value};

/// `scaled_softmax(heads(x · W + b) · k, m; c)` -> `scaled_softmax(heads(x · (c W) + c b) · k, m; 1)`
///
/// The scores are linear in the query, and the query is linear in its projection, so the scale can be part of the
/// trained tensors, which saves a node in every attention. If the query has no projection of its own, the key's is
/// tried.
///
/// With a power of two, for example `1 / sqrt(64)`, every number stays the same; else the error of a weight is at most
/// half a unit in its last place. The pass declines for `f16`, in which small weights would become subnormal, and for
/// `bf16` unless the scale is a power of two.
pub fn fold_scale_into_projection() -> Pass {
    let summary = "scaled_softmax(heads(x W + b) k; c) -> scaled_softmax(heads(x (c W) + c b) k; 1)";
    Pass::new("fold-scale-into-projection", summary, Exactness::Rounding)
        // Attention has an attribute for the scale, and a weight is transposed before it is scaled.
        .after(&["fold-constants", "fuse-attention"])
        .only_for(|target, _| target.scale == Scale::Projection)
        .at([OpKind::ScaledSoftmax], fold)
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::ScaledSoftmax { axis, scale } = graph.op(root) else { return Err(Skip::NoMatch) };
    if scale == 1.0 {
        return Err(Skip::NoMatch);
    }
    if !scale.is_normal() {
        return Err(Skip::rejected(format!("the scale {scale:?} is not a normal number")));
    }
    let scores = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    single(graph, scores).map_err(Skip::rejected)?;
    let (OpKind::MatMul, Some(query), Some(key)) =
        (graph.kind(scores), graph.operand(scores.node, 0), graph.operand(scores.node, 1))
    else {
        return Err(Skip::rejected(format!("{} is not a matrix product", graph.operand_text(scores))));
    };
    let scaled = scaled(graph, query, scale).or_else(|no_query| match scaled(graph, key, scale) {
        Ok(scaled) => Ok(scaled),
        Err(no_key) => Err(Skip::rejected(format!("in the query, {no_query}; in the key, {no_key}"))),
    })?;
    let names: Vec<_> = scaled.iter().map(|(node, _)| graph.operand_text(Value { node: *node, result: 0 })).collect();
    for (node, op) in scaled {
        graph.set_op(node, op);
    }
    graph.set_op(root.node, Op::ScaledSoftmax { axis, scale: 1.0 });
    Ok(format!("folded the scale {scale:?} into {}", names.join(" and ")).into())
}

fn single(graph: &Graph, value: Value) -> Result<(), String> {
    match graph.use_count(value) {
        1 => Ok(()),
        _ => Err(format!("{} has another use", graph.operand_text(value))),
    }
}

/// Returns the scaled tensors that together scale `value`, with their nodes, or why there are none.
fn scaled(graph: &Graph, value: Value, scale: f32) -> Result<Vec<(NodeId, Op)>, String> {
    let mut tensors = vec![];
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        single(graph, value)?;
        let operand = |at| graph.operand(value.node, at);
        let name = || graph.operand_text(value);
        match graph.op(value) {
            Op::Parameter(tensor) => tensors.push((value.node, Op::Parameter(times(tensor, scale, &name())?))),
            Op::Constant(tensor) => tensors.push((value.node, Op::Constant(times(tensor, scale, &name())?))),
            Op::Add => open.extend([operand(1), operand(0)].into_iter().flatten()),
            Op::MatMul => {
                let weight = [operand(1), operand(0)].into_iter().flatten().find(|side| is_weight(graph, *side));
                open.push(weight.ok_or_else(|| format!("{} is not a product with a weight", name()))?);
            }
            Op::Gemm { .. } => open.extend([operand(2), operand(1)].into_iter().flatten()),
            op if op.kind().keeps_elements() => open.extend(operand(0)),
            Op::Input => return Err(format!("{} is an input", name())),
            op => return Err(format!("{} is the result of `{}`, which is not a projection", name(), op.word())),
        }
    }
    Ok(tensors)
}

/// Whether a value is a parameter or constant, possibly in another layout.
fn is_weight(graph: &Graph, mut value: Value) -> bool {
    while graph.kind(value).keeps_elements() {
        let Some(operand) = graph.operand(value.node, 0) else { return false };
        value = operand;
    }
    graph.tensor(value).is_some()
}

fn times(tensor: &Tensor, scale: f32, name: &str) -> Result<Tensor, String> {
    // The significand of a power of two is 1.
    let is_power = scale.to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - 1;
    let fits = match tensor.element() {
        ElementType::F32 | ElementType::F64 => true,
        ElementType::BF16 => is_power,
        _ => false,
    };
    if !fits {
        return Err(format!("the scaled {name} is not exact in {}", tensor.element()));
    }
    if tensor.recipe_depth() >= MAX_RECIPE_DEPTH {
        return Err(format!("{name} is already changed by {MAX_RECIPE_DEPTH} recipes, the maximum"));
    }
    tensor.scaled(scale).map_err(|error| error.to_string())
}
