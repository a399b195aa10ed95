use super::decompose_rms_normalization::{Statistics, write_out};
use crate::pattern::{Found, op};
use crate::pipeline::Pass;
use crate::rewrite::insert;
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{Graph, Kind, Op};

/// `layer_normalization(x, w, b)` -> `(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b`
///
/// For opsets below 17, as the standard writes the operator out: the statistics in its stash type.
pub fn decompose_layer_normalization() -> Pass {
    Rule::new(
        "decompose-layer-normalization",
        "layer_normalization(x, w, b) -> (x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b, below opset 17",
        op(Kind::LayerNormalization),
        decompose,
    )
    .into()
}

fn decompose(graph: &mut Graph, found: &Found) -> Rewritten {
    let root = found.root();
    let &Op::LayerNormalization { axis, epsilon, stash_type } = graph.op(root) else { return Err(Skip::NoMatch) };
    let operands: Vec<_> = graph.operands(root.node).into_iter().collect::<Option<_>>().ok_or(Skip::NoMatch)?;
    let (&[x, weight], bias) =
        operands.split_first_chunk::<2>().map(|(first, rest)| (first, rest.first())).ok_or(Skip::NoMatch)?;
    if graph.results(root.node).skip(1).any(|statistic| graph.use_count(statistic) > 0) {
        return Err(Skip::rejected("its mean or its deviation is used"));
    }
    let statistics = Statistics { axis, epsilon, stash_type };
    let wide = statistics.widen(graph, root, x)?;
    let mean = statistics.mean(graph, root, "mean", wide)?;
    let centered = insert(graph, root, "centered", Op::Sub, &[wide, mean])?;
    let normalized = statistics.normalize(graph, root, x, centered)?;
    let Some(&bias) = bias else { return write_out(graph, root, Op::Mul, [normalized, weight]) };
    let weighted = insert(graph, root, "weighted", Op::Mul, &[normalized, weight])?;
    write_out(graph, root, Op::Add, [weighted, bias])
}
