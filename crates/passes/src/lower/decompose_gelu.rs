//! Decomposes Gelu for opsets that do not have it.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, element, insert, number};
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::GeluApproximation;
use netwright_ir::{Graph, Op, OpKind, Value};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// `gelu(x)` -> `x * 0.5 * (1 + erf(x / sqrt(2)))`, or the approximation with tanh
///
/// Applies below opset 20. Follows the definition in the standard, except that two products replace a power, which
/// runtimes compute ten times as fast.
pub fn decompose_gelu() -> Pass {
    let summary = "gelu(x) -> x * 0.5 * (1 + erf(x / sqrt(2))), below opset 20";
    Pass::new("decompose-gelu", summary, Exactness::Rounding).lowers(OpKind::Gelu).at([OpKind::Gelu], decompose)
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::Gelu { approximate } = graph.op(root) else { return Err(Skip::NoMatch) };
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let element = element(graph, x)?;
    let gate = match approximate {
        GeluApproximation::None => {
            let factor = number(graph, root, "factor", element, FRAC_1_SQRT_2)?;
            let scaled = insert(graph, root, "scaled", Op::Mul, &[x, factor])?;
            insert(graph, root, "erf", Op::Erf, &[scaled])?
        }
        GeluApproximation::Tanh => {
            let square = insert(graph, root, "square", Op::Mul, &[x, x])?;
            let cube = insert(graph, root, "cube", Op::Mul, &[square, x])?;
            let share = number(graph, root, "share", element, 0.044_715)?;
            let part = insert(graph, root, "part", Op::Mul, &[cube, share])?;
            let sum = insert(graph, root, "sum", Op::Add, &[x, part])?;
            let factor = number(graph, root, "factor", element, FRAC_2_PI.sqrt())?;
            let scaled = insert(graph, root, "scaled", Op::Mul, &[sum, factor])?;
            insert(graph, root, "tanh", Op::Tanh, &[scaled])?
        }
    };
    let one = number(graph, root, "one", element, 1.0)?;
    let gate = insert(graph, root, "gate", Op::Add, &[gate, one])?;
    let half = number(graph, root, "half", element, 0.5)?;
    let halved = insert(graph, root, "halved", Op::Mul, &[x, half])?;
    become_op(graph, root, Op::Mul, &[halved, gate], "decomposed")
}
