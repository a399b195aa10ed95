//! Replaces activations, with and without a bias.

use super::Call;
use crate::rewrite::insert;
use crate::rule::Skip;
use netwright_ir::op::GeluApproximation;
use netwright_ir::{Graph, Op};

pub(super) fn gelu(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    with_bias(graph, call, Op::Gelu { approximate: GeluApproximation::None })
}

pub(super) fn bias_gelu(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    with_bias(graph, call, Op::Gelu { approximate: GeluApproximation::None })
}

pub(super) fn fast_gelu(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    with_bias(graph, call, Op::Gelu { approximate: GeluApproximation::Tanh })
}

pub(super) fn quick_gelu(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let alpha = call.float("alpha")?.unwrap_or(1.702);
    with_bias(graph, call, Op::Swish { alpha })
}

fn with_bias(graph: &mut Graph, call: &Call, activation: Op) -> Result<(), Skip> {
    call.expect_no_more_attributes()?;
    call.expect_operands(2)?;
    let mut x = call.operand(0)?;
    if let Some(bias) = call.optional(1) {
        x = insert(graph, call.root, "biased", Op::Add, &[x, bias])?;
    }
    let y = insert(graph, call.root, "activated", activation, &[x])?;
    call.become_values(graph, &[Some(y)])
}
