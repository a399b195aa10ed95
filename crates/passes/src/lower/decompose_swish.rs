//! Decomposes Swish for opsets and runtimes that do not have it.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, element, insert, number};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `swish(x; alpha)` -> `x * sigmoid(alpha * x)`
///
/// Applies below opset 24, and for runtimes that have no kernel for Swish or ignore alpha.
pub fn decompose_swish() -> Pass {
    let summary = "swish(x; alpha) -> x * sigmoid(alpha * x), below opset 24 and for runtimes without a kernel";
    Pass::new("decompose-swish", summary, Exactness::Rounding)
        .at([OpKind::Swish], decompose)
        .lowers(OpKind::Swish)
        .after(&["use-quick-gelu"])
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::Swish { alpha } = graph.op(root) else { return Err(Skip::NoMatch) };
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let mut scaled = x;
    if alpha != 1.0 {
        let element = element(graph, x)?;
        let alpha = number(graph, root, "alpha", element, alpha.into())?;
        scaled = insert(graph, root, "scaled", Op::Mul, &[x, alpha])?;
    }
    let gate = insert(graph, root, "gate", Op::Sigmoid, &[scaled])?;
    become_op(graph, root, Op::Mul, &[x, gate], "decomposed")
}
