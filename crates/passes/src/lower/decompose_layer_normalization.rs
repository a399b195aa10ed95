//! Decomposes layer normalizations for opsets that do not have them.

use super::decompose_rms_normalization::{Statistics, become_last};
use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, become_value, insert};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `layer_normalization(x, w, b)` -> `(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b`
///
/// Applies below opset 17. Follows the definition in the standard, with the statistics in the stash type. The mean and
/// the inverse deviation become the operator's other results.
pub fn decompose_layer_normalization() -> Pass {
    let summary = "layer_normalization(x, w, b) -> (x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b, below opset 17";
    Pass::new("decompose-layer-normalization", summary, Exactness::Rounding)
        .at([OpKind::LayerNormalization], decompose)
        .lowers(OpKind::LayerNormalization)
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::LayerNormalization { axis, epsilon, stash_type } = graph.op(root) else { return Err(Skip::NoMatch) };
    let operands: Vec<_> = graph.operands(root.node).into_iter().collect::<Option<_>>().ok_or(Skip::NoMatch)?;
    let (&[x, weight], bias) =
        operands.split_first_chunk::<2>().map(|(first, rest)| (first, rest.first())).ok_or(Skip::NoMatch)?;
    let statistics = Statistics { axis, epsilon, stash_type };
    let wide = statistics.widen(graph, root, x)?;
    let mean = statistics.mean(graph, root, "mean", wide)?;
    let centered = insert(graph, root, "centered", Op::Sub, &[wide, mean])?;
    let (normalized, deviation) = statistics.normalize(graph, root, x, centered)?;
    let results: Vec<Value> = graph.results(root.node).collect();
    let used = |at: usize| results.get(at).copied().filter(|result| graph.use_count(*result) > 0);
    let (used_mean, used_inverse) = (used(1), used(2));
    let note = match bias {
        Some(&bias) => {
            let weighted = insert(graph, root, "weighted", Op::Mul, &[normalized, weight])?;
            become_last(graph, root, Op::Add, [weighted, bias])
        }
        None => become_last(graph, root, Op::Mul, [normalized, weight]),
    }?;
    if let Some(result) = used_mean {
        become_value(graph, result, mean, "")?;
    }
    if let Some(result) = used_inverse {
        become_op(graph, result, Op::Reciprocal, &[deviation], "")?;
    }
    Ok(note)
}
