//! Replaces normalizations, with and without a sum.

use super::Call;
use crate::rewrite::insert;
use crate::rule::Skip;
use netwright_ir::{Graph, Op, Value};

/// Replaces `SkipLayerNormalization`. Operands: input, skip, gamma, beta, bias. Results: the norm of the sum of input,
/// skip and bias, its mean and deviation, and the sum.
pub(super) fn skip_layer_normalization(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let epsilon = call.float("epsilon")?.unwrap_or(1e-12);
    call.expect_no_more_attributes()?;
    call.expect_operands(5)?;
    let sum = sum(graph, call, 4)?;
    let operands: Vec<Value> = [Some(sum), Some(call.operand(2)?), call.optional(3)].into_iter().flatten().collect();
    let norm = Op::LayerNormalization { axis: -1, epsilon, stash_type: 1 };
    let norm = insert(graph, call.root, "norm", norm, &operands)?;
    call.become_values(graph, &[Some(norm), None, None, Some(sum)])
}

/// Replaces `SkipSimplifiedLayerNormalization`. Operands: input, skip, gamma, bias. Results as above.
pub(super) fn skip_simplified_layer_normalization(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let epsilon = call.float("epsilon")?.unwrap_or(1e-12);
    call.expect_no_more_attributes()?;
    call.expect_operands(4)?;
    let sum = sum(graph, call, 3)?;
    let norm = Op::RMSNormalization { axis: -1, epsilon, stash_type: 1 };
    let norm = insert(graph, call.root, "norm", norm, &[sum, call.operand(2)?])?;
    call.become_values(graph, &[Some(norm), None, None, Some(sum)])
}

/// Replaces `SimplifiedLayerNormalization`. Operands: input, scale.
pub(super) fn simplified_layer_normalization(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let epsilon = call.float("epsilon")?.unwrap_or(1e-5);
    let axis = call.int("axis", -1)?;
    let stash_type = call.int("stash_type", 1)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(2)?;
    let norm = Op::RMSNormalization { axis, epsilon, stash_type };
    let norm = insert(graph, call.root, "norm", norm, &[call.operand(0)?, call.operand(1)?])?;
    call.become_values(graph, &[Some(norm)])
}

/// Inserts the sum of input, skip and bias.
fn sum(graph: &mut Graph, call: &Call, bias: usize) -> Result<Value, Skip> {
    let sum = insert(graph, call.root, "sum", Op::Add, &[call.operand(0)?, call.operand(1)?])?;
    match call.optional(bias) {
        Some(bias) => insert(graph, call.root, "sum", Op::Add, &[sum, bias]),
        None => Ok(sum),
    }
}
