//! Moves transposes after operators that treat each element or row independently, and merges them.

use crate::pass::{Exactness, Pass};
use crate::pattern::op;
use crate::read::chain;
use crate::read::transposes::{keeps_rows, merged, order};
use crate::rewrite::{become_op, first_operands, insert};
use crate::rule::{Rule, Skip};
use netwright_ir::OpKind;
use netwright_ir::op::Class;

/// `transpose(f(transpose(x)))` -> `f(transpose(x))`, and `f(transpose(a), transpose(b))` -> `transpose(f(a, b))`
///
/// An operator that treats each element independently does not depend on the order of the axes, so a transpose sinks
/// through it if it reaches another transpose. It sinks through a projection if the last axis stays last.
pub fn sink_transposes() -> Pass {
    let summary = "sink transposes through operators on each element or row, and merge them";
    let rules = [meet_transposes(), join_transposes()];
    Pass::new("sink-transposes", summary, Exactness::Bits).needs_one_of(&[OpKind::Transpose]).rules(rules)
}

fn meet_transposes() -> Rule {
    let summary = "transpose(f(transpose(x))) -> f(transpose(x))";
    Rule::new("meet-transposes", summary, op(OpKind::Transpose), |graph, found| {
        let root = found.root();
        let keeps_rows = keeps_rows(&order(graph, root).ok_or(Skip::NoMatch)?);
        let (chain, inner) =
            chain::up_to(graph, root, keeps_rows, |kind| kind == OpKind::Transpose).ok_or(Skip::NoMatch)?;
        if chain.is_empty() {
            return Err(Skip::NoMatch);
        }
        let once = merged(graph, inner, root).ok_or(Skip::NoMatch)?;
        let x = graph.operand(inner.node, 0).ok_or(Skip::NoMatch)?;
        let once = insert(graph, root, "once", once, &[x])?;
        chain::rebuild(graph, root, &chain, once, "merged with the transpose before it")
    })
}

fn join_transposes() -> Rule {
    let summary = "f(transpose(a), transpose(b)) -> transpose(f(a, b))";
    Rule::new("join-transposes", summary, crate::pattern::any("x").into(), |graph, found| {
        let root = found.root();
        if graph.kind(root).class() != Class::Broadcasting || graph.operands(root.node).len() != 2 {
            return Err(Skip::NoMatch);
        }
        let [a, b] = first_operands(graph, root)?;
        let (Some(left), Some(right)) = (order(graph, a), order(graph, b)) else { return Err(Skip::NoMatch) };
        if left != right || a == b || graph.use_count(a) != 1 || graph.use_count(b) != 1 {
            return Err(Skip::NoMatch);
        }
        let (Some(x), Some(y)) = (graph.operand(a.node, 0), graph.operand(b.node, 0)) else {
            return Err(Skip::NoMatch);
        };
        let joined = insert(graph, root, "joined", graph.op(root).clone(), &[x, y])?;
        become_op(graph, root, graph.op(a).clone(), &[joined], "transposes the result instead of both operands")
    })
}
