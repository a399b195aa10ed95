//! Inserts casts between merged heads and a product with a quantized weight, for tract.

use crate::pass::{Exactness, Pass, Stage};
use crate::rewrite::{cast, insert};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};

/// `MatMulNBits(merged heads, codes, scales)` -> `MatMulNBits(cast(cast(merged heads; f64); f32), codes, scales)`
///
/// tract 0.23.9 folds a Reshape that merges the axis that a product sums over into the product: it also reshapes the
/// other operand, and multiplies by the wrong numbers, without an error, if that is a weight in blocks. It does so for
/// f32 and blocks that it keeps: of 32 in 4 bits, and of any multiple of 32 in 2 bits. Attention ends with such a
/// Reshape too. tract does not fold a Reshape through a Cast, and the two casts change no number. The passes for every
/// target remove them, and this one inserts them again.
pub fn separate_merged_heads() -> Pass {
    let summary = "MatMulNBits(merged heads) -> MatMulNBits(cast(cast(merged heads; f64); f32)), which tract needs";
    Pass::new("separate-merged-heads", summary, Exactness::Bits)
        .in_stages(&[Stage::Lower])
        .only_for(|target, _| target.weights.reshapes_blocks)
        .at([OpKind::Opaque], separate)
}

fn separate(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::Opaque(opaque) = graph.op(root) else { return Err(Skip::NoMatch) };
    if !contrib::is(opaque, "MatMulNBits") {
        return Err(Skip::NoMatch);
    }
    let int = |name: &str, default| contrib::int(opaque, name, default);
    let (k, size, bits) = (int("K", 0)?, int("block_size", 0)?, int("bits", 4)?);
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    // tract expands other blocks to floats, which it reshapes correctly.
    let is_kept = size > 0 && size % 32 == 0 && k % 32 == 0 && (size == 32 || bits == 2);
    if !is_kept || graph.fact(x).element() != Some(ElementType::F32) || !may_be_merged(graph, x, k) {
        return Err(Skip::NoMatch);
    }
    let wide = insert(graph, root, "wide", cast(ElementType::F64), &[x])?;
    let separated = insert(graph, root, "separated", cast(ElementType::F32), &[wide])?;
    let mut operands = graph.operands(root.node);
    operands[0] = Some(separated);
    let op = graph.op(root).clone();
    let place = graph.beside(root.node, "new");
    let product = Value { node: graph.insert(place, op, &operands)?, result: 0 };
    graph.set_fact(product, graph.fact(root).clone());
    graph.replace(root, product);
    Ok("tract 0.23.9 would reshape the weight in blocks as it reshapes the operand".into())
}

/// Returns whether tract may see a Reshape that merges axes into the last one, of `k` elements, directly before a
/// reader of the value. tract moves operators that only rearrange, such as slices, before a Reshape.
///
/// The gate of the verifier walks in the same way through a file (`blocks_flaw`): change both together.
fn may_be_merged(graph: &Graph, mut value: Value, k: i64) -> bool {
    loop {
        match graph.kind(value) {
            OpKind::Attention | OpKind::RotaryEmbedding => return true,
            OpKind::Opaque => {
                let Op::Opaque(opaque) = graph.op(value) else { return true };
                return matches!(&*opaque.op_type, "MultiHeadAttention");
            }
            OpKind::Reshape | OpKind::Flatten => {
                let source = graph.operand(value.node, 0);
                let last = source.and_then(|source| graph.shape(source)).and_then(<[Dim]>::last).cloned();
                if last != Some(Dim::Known(k)) {
                    return true;
                }
            }
            kind if kind.moves_elements() || kind == OpKind::Dropout => {}
            _ => return false,
        }
        match graph.operand(value.node, 0) {
            Some(source) => value = source,
            None => return false,
        }
    }
}
