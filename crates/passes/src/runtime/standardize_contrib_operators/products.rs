//! Replaces matrix products, with fused transposes and factors and with quantized weights, and look-ups of quantized rows.

use super::Call;
use crate::convert::{blocks_table, nbits_weight};
use crate::rewrite::{element, insert, number, unknown};
use crate::rule::Skip;
use netwright_ir::{Graph, Op, Value};

/// Replaces `FusedMatMul`: `alpha * a · b`, each side possibly transposed on its last two axes.
pub(super) fn fused_matmul(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let alpha = call.float("alpha")?.unwrap_or(1.0);
    let turned = [call.int("transA", 0)?, call.int("transB", 0)?];
    call.expect_int("transBatchA", 0)?;
    call.expect_int("transBatchB", 0)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(2)?;
    let mut sides = [call.operand(0)?, call.operand(1)?];
    for (side, turned) in sides.iter_mut().zip(turned) {
        if turned != 0 {
            *side = transposed(graph, call.root, *side)?;
        }
    }
    let mut product = insert(graph, call.root, "product", Op::MatMul, &sides)?;
    if alpha != 1.0 {
        let element = element(graph, sides[0])?;
        let alpha = number(graph, call.root, "alpha", element, alpha.into())?;
        product = insert(graph, call.root, "scaled", Op::Mul, &[product, alpha])?;
    }
    call.become_values(graph, &[Some(product)])
}

fn transposed(graph: &mut Graph, root: Value, x: Value) -> Result<Value, Skip> {
    let rank = graph.fact(x).rank().and_then(|rank| i64::try_from(rank).ok()).filter(|rank| *rank > 1);
    let rank = rank.ok_or_else(|| unknown(graph, "rank", x))?;
    let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
    insert(graph, root, "turned", Op::Transpose { perm }, &[x])
}

fn size(call: &mut Call, name: &str, default: i64) -> Result<u64, Skip> {
    let value = call.int(name, default)?;
    let size = u64::try_from(value).ok().filter(|size| *size > 0);
    size.ok_or_else(|| Skip::rejected(format!("its attribute `{name}` is {value}, but must be positive")))
}

/// Replaces `MatMulNBits`. Operands: a, weights in blocks, scales, zero points, group indices, bias.
pub(super) fn matmul_nbits(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let sizes = [size(call, "N", 0)?, size(call, "K", 0)?];
    let (bits, block) = (size(call, "bits", 4)?, size(call, "block_size", 0)?);
    // The accuracy level is a hint to the runtime.
    call.int("accuracy_level", 0)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(6)?;
    let weight = nbits_weight(graph, call.root, sizes, bits, block)?;
    let weight = insert(graph, call.root, "weight", Op::Parameter(weight), &[])?;
    let mut product = insert(graph, call.root, "product", Op::MatMul, &[call.operand(0)?, weight])?;
    if let Some(bias) = call.optional(5) {
        product = insert(graph, call.root, "biased", Op::Add, &[product, bias])?;
    }
    call.become_values(graph, &[Some(product)])
}

/// Replaces `GatherBlockQuantized`. Operands: codes in blocks, indices, scales, zero points.
pub(super) fn gather_block_quantized(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let axes = [call.int("gather_axis", 0)?, call.int("quantize_axis", 1)?];
    let (bits, block) = (size(call, "bits", 4)?, size(call, "block_size", 128)?);
    call.expect_no_more_attributes()?;
    call.expect_operands(4)?;
    let table = blocks_table(graph, call.root, axes, bits, block)?;
    let table = insert(graph, call.root, "weight", Op::Parameter(table), &[])?;
    let rows = insert(graph, call.root, "rows", Op::Gather { axis: 0 }, &[table, call.operand(1)?])?;
    call.become_values(graph, &[Some(rows)])
}
