use super::decompose_rms_normalization::{Statistics, write_out};
use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, become_value, insert};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `layer_normalization(x, w, b)` -> `(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b`
///
/// For opsets below 17, as the standard writes the operator out: the statistics in its stash type. The mean and the
/// inverse of the root are the operator's other results.
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
    let asked = |at: usize| results.get(at).copied().filter(|result| graph.use_count(*result) > 0);
    let (asked_mean, asked_inverse) = (asked(1), asked(2));
    let note = match bias {
        Some(&bias) => {
            let weighted = insert(graph, root, "weighted", Op::Mul, &[normalized, weight])?;
            write_out(graph, root, Op::Add, [weighted, bias])
        }
        None => write_out(graph, root, Op::Mul, [normalized, weight]),
    }?;
    if let Some(asked) = asked_mean {
        become_value(graph, asked, mean, "")?;
    }
    if let Some(asked) = asked_inverse {
        become_op(graph, asked, Op::Reciprocal, &[deviation], "")?;
    }
    Ok(note)
}
