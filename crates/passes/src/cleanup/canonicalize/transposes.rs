//! Removes and merges transposes.

use crate::pattern::{any, transpose};
use crate::read::transposes::{merged, order};
use crate::rewrite::{become_op, become_value};
use crate::rule::{Rule, Skip};

pub(super) fn rules() -> Vec<Rule> {
    vec![drop_transpose(), merge_transposes()]
}

fn drop_transpose() -> Rule {
    let x = any("x");
    Rule::new("drop-transpose", "transpose(x) -> x, if the order stays", transpose(x), move |graph, found| {
        let order = order(graph, found.root()).ok_or(Skip::NoMatch)?;
        if !order.iter().copied().eq(0..order.len()) {
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
            let outer = found.root();
            let inner = graph.operand(outer.node, 0).ok_or(Skip::NoMatch)?;
            let once = merged(graph, inner, outer).ok_or(Skip::NoMatch)?;
            become_op(graph, outer, once, &[found[x]], "merged with the transpose before it")
        },
    )
}
