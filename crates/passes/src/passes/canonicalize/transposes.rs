//! Transposes.

use crate::pattern::{any, transpose};
use crate::rewrite::{become_op, become_value};
use crate::rule::{Rule, Skip};
use netwright_ir::{Graph, NodeId, Op};

pub(super) fn rules() -> Vec<Rule> {
    vec![drop_transpose(), merge_transposes()]
}

fn drop_transpose() -> Rule {
    let x = any("x");
    Rule::new("drop-transpose", "transpose(x) -> x, in the order that it has", transpose(x), move |graph, found| {
        let perm = permutation(graph, found.root().node).ok_or(Skip::NoMatch)?;
        if !perm.iter().copied().eq(0..perm.len()) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, found.root(), found[x], "dropped: it keeps the order")
    })
}

fn merge_transposes() -> Rule {
    let x = any("x");
    Rule::new(
        "merge-transposes",
        "transpose(transpose(x)) -> transpose(x)",
        transpose(transpose(x)),
        move |graph, found| {
            let outer = found.root().node;
            let inner = graph.operand(outer, 0).ok_or(Skip::NoMatch)?.node;
            let (Some(first), Some(second)) = (permutation(graph, inner), permutation(graph, outer)) else {
                return Err(Skip::NoMatch);
            };
            let axis = |at: &usize| first.get(*at).and_then(|axis| i64::try_from(*axis).ok());
            let perm = second.iter().map(axis).collect::<Option<_>>().ok_or(Skip::NoMatch)?;
            become_op(graph, found.root(), Op::Transpose { perm }, &[found[x]], "merged with the transpose before it")
        },
    )
}

/// The order of axes of a transpose, counted from 0.
fn permutation(graph: &Graph, node: NodeId) -> Option<Vec<usize>> {
    let Op::Transpose { perm } = graph.node(node).op() else { return None };
    let rank = i64::try_from(perm.len()).ok()?;
    perm.iter().map(|&axis| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()).collect()
}
