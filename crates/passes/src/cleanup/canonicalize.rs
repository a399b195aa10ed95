use crate::pass::{Exactness, Pass};
use crate::pattern::{Found, op};
use crate::rule::{Rule, Skip};
use netwright_ir::{Op, OpKind};

mod arithmetic;
mod casts;
mod layout;
mod reshapes;
mod transposes;

/// Brings the graph into the form that later rules rely on; every step is exact.
///
/// What changes nothing goes, where that holds for every size of every axis and for NaN and -0.0: an operand of 1 may
/// widen the shape, and `x + 0`, `x * 0`, `x - x`, `x ^ 1` and `log(exp(x))` are no `x`. Nodes that move no element in
/// memory are merged, as are casts that lose nothing.
pub fn canonicalize() -> Pass {
    let summary =
        "drop what changes nothing, merge transposes, reshapes and casts, divide by powers of two by multiplying";
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
        |graph, found: &Found| match graph.op(found.root()) {
            Op::ScaledSoftmax { scale: 1.0, .. } => crate::lower::lower_scaled_softmax::expand(graph, found.root()),
            _ => Err(Skip::NoMatch),
        },
    )
}
