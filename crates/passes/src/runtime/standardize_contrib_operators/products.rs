//! Replaces matrix products: with fused transposes and factors, and with quantized weights.

use super::Call;
use crate::convert::in_bytes;
use crate::rewrite::{element, insert, number, unknown};
use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, Op, Tensor, Value};

/// The maximum size of a dequantized weight, in bytes; a larger one stays quantized.
const MAX_BYTES: u64 = 256 << 20;

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

/// Replaces `MatMulNBits`. Operands: a, weights in blocks, scales, zero points, group indices, bias.
pub(super) fn matmul_nbits(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let [rows, columns] = [call.int("K", 0)?, call.int("N", 0)?];
    let [bits, block] = [call.int("bits", 4)?, call.int("block_size", 0)?];
    // The accuracy level is a hint to the runtime.
    call.int("accuracy_level", 0)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(6)?;
    if call.optional(4).is_some() {
        return Err(Skip::rejected("it has group indices, which are not supported"));
    }
    let size = |value: i64, what: &str| {
        let size = usize::try_from(value).ok().filter(|size| *size > 0);
        size.ok_or_else(|| Skip::rejected(format!("its attribute `{what}` is {value}, but must be positive")))
    };
    let (rows, columns, block) = (size(rows, "K")?, size(columns, "N")?, size(block, "block_size")?);
    let bits = usize::try_from(bits).ok().filter(|bits| [2, 4, 8].contains(bits));
    let bits = bits.ok_or_else(|| Skip::rejected("its attribute `bits` is not 2, 4 or 8"))?;
    let held = |at: usize| call.optional(at).and_then(|value| graph.tensor(value));
    if let (Some(codes), Some(scales)) = (held(1), held(2))
        && let sizes = [columns, rows].map(|size| size as u64)
        && call.optional(3).is_none() == held(3).is_none()
        && let Ok(blocks) = in_bytes(codes, scales, held(3), sizes, bits as u64, block as u64)
    {
        let weight = blocks.dequantized(scales.element())?.transposed()?;
        return multiply(graph, call, weight);
    }
    // Rows that are not whole blocks are computed in memory.
    let bytes = (rows as u64).checked_mul(columns as u64).and_then(|count| count.checked_mul(4));
    if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
        return Err(Skip::rejected(format!("its dequantized weight is larger than {} MiB", MAX_BYTES >> 20)));
    }
    let tensor = |at: usize| -> Result<Option<Tensor>, Skip> {
        let Some(value) = call.optional(at) else { return Ok(None) };
        let tensor = graph
            .tensor(value)
            .ok_or_else(|| Skip::rejected(format!("{} is not a parameter or constant", graph.operand_text(value))))?;
        Ok(Some(tensor.clone()))
    };
    let (Some(packed), Some(scales)) = (tensor(1)?, tensor(2)?) else {
        return Err(Skip::rejected("its weights or scales are missing"));
    };
    let zeros = tensor(3)?;
    let floats = |tensor: &Tensor| tensor.floats().filter(|_| tensor.element() == ElementType::F32);
    let scales = floats(&scales).ok_or_else(|| Skip::rejected("its scales are not f32"))?;
    if packed.element() != ElementType::U8 {
        return Err(Skip::rejected("its weights are not u8"));
    }
    let codes = packed.to_bytes()?;
    let blocks = rows.div_ceil(block);
    let block_bytes = block.checked_mul(bits).ok_or(Skip::NoMatch)?.div_ceil(8);
    let zero_bytes = (blocks * bits).div_ceil(8);
    let zeros = match zeros {
        Some(zeros) if zeros.element() == ElementType::U8 => Some(zeros.to_bytes()?),
        Some(_) => return Err(Skip::rejected("its zero points are not u8")),
        None => None,
    };
    let fits = (columns * blocks).checked_mul(block_bytes) == Some(codes.len())
        && scales.len() == columns * blocks
        && zeros.as_ref().is_none_or(|zeros| zeros.len() == columns * zero_bytes);
    if !fits {
        return Err(Skip::rejected(
            "the sizes of its weights, scales or zero points do not fit the attributes `K`, `N`, `bits` and `block_size`",
        ));
    }
    let code = |bytes: &[u8], at: usize| (bytes[at * bits / 8] >> (at * bits % 8)) & (0xff >> (8 - bits));
    let mut weight = vec![0_u8; rows * columns * 4];
    for column in 0..columns {
        let zero_row = zeros.as_ref().map(|zeros| &zeros[column * zero_bytes..][..zero_bytes]);
        for row in 0..rows {
            let at = column * blocks + row / block;
            let element = code(&codes[at * block_bytes..][..block_bytes], row % block);
            let zero = zero_row.map_or(1 << (bits - 1), |zeros| code(zeros, row / block));
            #[expect(clippy::cast_possible_truncation, reason = "the scales are f32")]
            let value = (f32::from(element) - f32::from(zero)) * scales[at] as f32;
            weight[(row * columns + column) * 4..][..4].copy_from_slice(&value.to_le_bytes());
        }
    }
    let weight = Tensor::from_bytes(ElementType::F32, &[rows as u64, columns as u64], weight)?;
    multiply(graph, call, weight)
}

/// Replaces the product by one with a weight in floats.
fn multiply(graph: &mut Graph, call: &Call, weight: Tensor) -> Result<(), Skip> {
    let weight = insert(graph, call.root, "weight", Op::Parameter(weight), &[])?;
    let mut product = insert(graph, call.root, "product", Op::MatMul, &[call.operand(0)?, weight])?;
    if let Some(bias) = call.optional(5) {
        product = insert(graph, call.root, "biased", Op::Add, &[product, bias])?;
    }
    call.become_values(graph, &[Some(product)])
}
