use crate::normalization::Normalized;
use crate::pattern::op;
use crate::pipeline::Pass;
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{Graph, Kind, Op, Value};

/// `x / sqrt(mean(x * x) + epsilon) * w` -> `rms_normalization(x, w)`
///
/// The mean is over the last axes. Where a narrower type is widened to f32 for it and narrowed before the weight, so
/// does the operator. The function is the same; a runtime may round its steps differently.
pub fn fuse_rms_normalization() -> Pass {
    let summary = "x / sqrt(mean(x * x) + epsilon) * w -> rms_normalization(x, w)";
    Rule::new("fuse-rms-normalization", summary, op(Kind::Mul), |graph, found| fuse(graph, found.root())).into()
}

fn fuse(graph: &mut Graph, root: Value) -> Rewritten {
    let (weight, normalized) = Normalized::weighted(graph, root)?;
    // A value around its mean is what layer normalization divides.
    if graph.kind(normalized.x) == Kind::Sub {
        return Err(Skip::NoMatch);
    }
    normalized.expect_shaped(graph, weight)?;
    let axis = normalized.axis_from_end(graph)?;
    let rms = Op::RMSNormalization { axis, epsilon: normalized.epsilon, stash_type: 1 };
    become_op(graph, root, rms, &[normalized.x, weight], "is an RMS normalization")
}
