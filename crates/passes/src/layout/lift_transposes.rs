//! Transposes before a Split instead of each part after it.

use crate::pass::{Exactness, Pass};
use crate::read::heads::order_after_split;
use crate::read::sizes::position;
use crate::read::transposes::order;
use crate::rewrite::{become_results, insert};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `transpose(split(x))` of all parts -> `split(transpose(x))`
///
/// One transpose instead of several, if [`sink_transposes`](super::sink_transposes) did not merge them with others.
/// Transposes that split the heads of each part stay, because they can be folded into the attention.
pub fn lift_transposes() -> Pass {
    let summary = "transpose(split(x)) of all parts -> split(transpose(x))";
    Pass::new("lift-transposes", summary, Exactness::Bits).at([OpKind::Transpose], lift)
}

fn lift(graph: &mut Graph, root: Value) -> Rewritten {
    let split = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?.node;
    let &Op::Split { axis } = graph.node(split).op() else { return Err(Skip::NoMatch) };
    let operands = graph.operands(split);
    let (Some(Some(x)), Some(order)) = (operands.first().copied(), order(graph, root)) else {
        return Err(Skip::NoMatch);
    };
    let transpose = graph.op(root).clone();
    let mut transposed = vec![];
    for part in graph.results(split) {
        match graph.users(part).as_slice() {
            &[(user, _)] if *graph.node(user).op() == transpose && !graph.is_output(part) => {
                transposed.push(Value { node: user, result: 0 });
            }
            _ => return Err(Skip::NoMatch),
        }
    }
    // A transpose that splits heads can be folded into the attention.
    if order_after_split(graph, root).is_some() {
        return Err(Skip::NoMatch);
    }
    let axis = position(axis, order.len()).and_then(|axis| order.iter().position(|from| *from == axis));
    let axis = axis.and_then(|axis| i64::try_from(axis).ok()).ok_or(Skip::NoMatch)?;
    let whole = insert(graph, root, "whole", transpose, &[x])?;
    let operands: Vec<Option<Value>> = [Some(whole)].into_iter().chain(operands.into_iter().skip(1)).collect();
    become_results(graph, &transposed, Op::Split { axis }, &operands, "transposes once, before the split")
}
