//! Decomposes rotary embeddings for opsets that do not have them.

use crate::pass::{Exactness, Pass, Stage};
use crate::rewrite::{become_op, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `rotary_embedding(x, cos, sin)` -> `concat(x1 * cos - x2 * sin, x1 * sin + x2 * cos)`
///
/// Applies below opset 23. Follows the definition in the standard. The elements of a pair are half a head apart, or
/// adjacent if `interleaved`; elements that are not rotated follow them.
pub fn decompose_rotary_embedding() -> Pass {
    let summary = "rotary_embedding(x, cos, sin) -> concat(x1 * cos - x2 * sin, x1 * sin + x2 * cos), below opset 23";
    Pass::new("decompose-rotary-embedding", summary, Exactness::Rounding)
        .lowers(OpKind::RotaryEmbedding)
        // The replacement is optimized with the rest of the graph.
        .in_stages(&[Stage::Optimize, Stage::Lower])
        .after(&["use-contrib-rotary"])
        .only_for(|target, opset| !target.runs(OpKind::RotaryEmbedding, opset))
        .at([OpKind::RotaryEmbedding], decompose)
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::RotaryEmbedding { interleaved, num_heads, rotary_embedding_dim } = graph.op(root) else {
        return Err(Skip::NoMatch);
    };
    let operands = graph.operands(root.node);
    let operand = |at: usize| operands.get(at).copied().flatten();
    let (Some(x), Some(cos), Some(sin)) = (operand(0), operand(1), operand(2)) else { return Err(Skip::NoMatch) };
    let hidden = graph.shape(x).and_then(<[Dim]>::last).and_then(Dim::known);
    // If heads are merged into the last axis, they are split after the length; else they have an axis before it.
    let (heads, size, heads_axis) = match (graph.fact(x).rank(), hidden, num_heads) {
        (Some(3), Some(hidden), Some(heads)) if heads > 0 => (Some(heads), hidden / heads, 2),
        (Some(4), Some(size), _) => (None, size, 1),
        _ => {
            return Err(Skip::rejected(format!(
                "the number or size of the heads of {} is unknown",
                graph.operand_text(x)
            )));
        }
    };
    let turned = if rotary_embedding_dim == 0 { size } else { rotary_embedding_dim };
    if turned < 2 || turned % 2 != 0 || turned > size {
        return Err(Skip::rejected(format!(
            "`rotary_embedding_dim` is {turned}, but must be even and at most {size}, the size of a head"
        )));
    }
    let mut whole = x;
    if let Some(heads) = heads {
        let sizes = number_list(graph, root, "sizes", &[0, 0, heads, size])?;
        whole = insert(graph, root, "heads", Op::Reshape { allowzero: false }, &[x, sizes])?;
    }
    let axes = number_list(graph, root, "axes", &[heads_axis])?;
    let mut tables = [cos, sin];
    for table in &mut tables {
        if let Some(positions) = operand(3) {
            *table = insert(graph, root, "table", Op::Gather { axis: 0 }, &[*table, positions])?;
        }
        *table = insert(graph, root, "table", Op::Unsqueeze, &[*table, axes])?;
    }
    let [cos, sin] = tables;
    let (first, second) = if interleaved {
        (part(graph, root, whole, [0, turned, 2])?, part(graph, root, whole, [1, turned, 2])?)
    } else {
        (part(graph, root, whole, [0, turned / 2, 1])?, part(graph, root, whole, [turned / 2, turned, 1])?)
    };
    let mut product = |a, b| insert(graph, root, "product", Op::Mul, &[a, b]);
    let products = [product(first, cos)?, product(second, sin)?, product(first, sin)?, product(second, cos)?];
    let real = insert(graph, root, "real", Op::Sub, &products[..2])?;
    let imaginary = insert(graph, root, "imaginary", Op::Add, &products[2..])?;
    let mut parts = vec![real, imaginary];
    if interleaved {
        let last = number_list(graph, root, "axes", &[-1])?;
        for part in &mut parts {
            *part = insert(graph, root, "pair", Op::Unsqueeze, &[*part, last])?;
        }
        let pairs = insert(graph, root, "pairs", Op::Concat { axis: -1 }, &parts)?;
        let sizes = number_list(graph, root, "sizes", &[0, 0, 0, turned])?;
        parts = vec![insert(graph, root, "neighbors", Op::Reshape { allowzero: false }, &[pairs, sizes])?];
    }
    if turned < size {
        parts.push(part(graph, root, whole, [turned, size, 1])?);
    }
    let Some(heads) = heads else {
        return become_op(graph, root, Op::Concat { axis: -1 }, &parts, "decomposed");
    };
    let joined = insert(graph, root, "joined", Op::Concat { axis: -1 }, &parts)?;
    let sizes = number_list(graph, root, "sizes", &[0, 0, heads * size])?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[joined, sizes], "decomposed")
}

/// Inserts a slice of the last axis: from, to (exclusive), step.
fn part(graph: &mut Graph, root: Value, x: Value, [from, to, step]: [i64; 3]) -> Result<Value, Skip> {
    let mut list = |numbers: i64| number_list(graph, root, "bound", &[numbers]);
    let operands = [x, list(from)?, list(to)?, list(-1)?, list(step)?];
    insert(graph, root, "part", Op::Slice, &operands)
}
