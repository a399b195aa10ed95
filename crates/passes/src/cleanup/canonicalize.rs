//! Brings the graph into the form that other passes expect: no nodes without effect, one spelling of each step.

use crate::pass::{Exactness, Pass};
use crate::pattern::{Match, op};
use crate::rule::{Rule, Skip};
use netwright_ir::{Op, OpKind};

mod arithmetic;
mod casts;
mod layout;
mod reshapes;
mod transposes;

/// Brings the graph into the form that later rules expect; every step is exact.
///
/// A node that changes nothing is removed, if that holds for all sizes, and for NaN and -0.0: a constant operand 1 may
/// broadcast the other to a larger shape, and `x + 0`, `x * 0`, `x - x`, `x ^ 1` and `log(exp(x))` do not simplify
/// exactly. Nodes that keep the order of elements are merged, and so are casts that lose nothing.
pub fn canonicalize() -> Pass {
    let summary = "drop nodes without effect, merge transposes, reshapes and casts, turn divisions by powers of two into products";
    Pass::new("canonicalize", summary, Exactness::Bits)
        .rules(arithmetic::rules())
        .rules(casts::rules())
        .rules(layout::rules())
        .rules(transposes::rules())
        .rules(reshapes::rules())
        .rules([drop_unit_scale()])
}

fn drop_unit_scale() -> Rule {
    Rule::new(
        "drop-unit-scale",
        "scaled_softmax(x, m; 1) -> softmax(x + m)",
        op(OpKind::ScaledSoftmax),
        |graph, found: &Match| match graph.op(found.root()) {
            Op::ScaledSoftmax { scale: 1.0, .. } => crate::lower::lower_scaled_softmax::expand(graph, found.root()),
            _ => Err(Skip::NoMatch),
        },
    )
}
