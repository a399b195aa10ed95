use crate::pattern::{Found, op};
use crate::pipeline::Pass;
use crate::rewrite::{become_op, element, insert, number};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::op::CastRounding;
use netwright_ir::{ElementType, Graph, Kind, Op, Tensor};

/// `rms_normalization(x, w)` -> `x / sqrt(mean(x * x) + epsilon) * w`
///
/// For opsets below 23, as the standard writes the operator out: the statistics in its stash type.
pub fn decompose_rms_normalization() -> Pass {
    Rule::new(
        "decompose-rms-normalization",
        "rms_normalization(x, w) -> x / sqrt(mean(x * x) + epsilon) * w, below opset 23",
        op(Kind::RMSNormalization),
        decompose,
    )
    .into()
}

fn decompose(graph: &mut Graph, found: &Found) -> Rewritten {
    let root = found.root();
    let &Op::RMSNormalization { axis, epsilon, stash_type } = graph.op(root) else { return Err(Skip::NoMatch) };
    let (Some(x), Some(weight)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let element = element(graph, x)?;
    let stash = ElementType::from_number(stash_type)
        .ok_or_else(|| Skip::rejected(format!("its stash type {stash_type} is none")))?;
    let rank = graph.fact(x).rank().and_then(|rank| i64::try_from(rank).ok());
    let rank = rank.ok_or_else(|| Skip::rejected(format!("the rank of {} is not known", graph.operand_text(x))))?;
    let axes: Vec<i64> = (if axis < 0 { axis } else { axis - rank }..0).collect();
    let cast = |to| Op::Cast { to, saturate: true, round_mode: CastRounding::Up };
    let wide = if stash == element { x } else { insert(graph, root, "wide", cast(stash), &[x])? };
    let square = insert(graph, root, "square", Op::Mul, &[wide, wide])?;
    let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&axes)), &[])?;
    let mean = Op::ReduceMean { keepdims: true, noop_with_empty_axes: false };
    let mean = insert(graph, root, "mean", mean, &[square, axes])?;
    let epsilon = number(graph, root, "epsilon", stash, epsilon.into())?;
    let shifted = insert(graph, root, "shifted", Op::Add, &[mean, epsilon])?;
    let deviation = insert(graph, root, "root", Op::Sqrt, &[shifted])?;
    let mut normalized = insert(graph, root, "normalized", Op::Div, &[wide, deviation])?;
    if stash != element {
        normalized = insert(graph, root, "narrow", cast(element), &[normalized])?;
    }
    become_op(graph, root, Op::Mul, &[normalized, weight], "written out")
}
