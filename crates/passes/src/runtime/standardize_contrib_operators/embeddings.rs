//! Replaces embeddings of tokens, and rotary embeddings of positions.

use super::Call;
use super::masks::range;
use crate::rewrite::{self, insert, number_list, only};
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Graph, Op, Tensor, Value};

/// Replaces `EmbedLayerNormalization`. Operands: token ids, segment ids, the tables of words, positions and segments,
/// gamma, beta, mask, position ids. Results: the norm of the sum of embeddings, the length of each sample, the sum.
pub(super) fn embed_layer_normalization(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let epsilon = call.float("epsilon")?.unwrap_or(1e-12);
    // The shape of the mask index is for other runtimes; here it always is one length per sample.
    call.int("mask_index_type", 0)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(9)?;
    let root = call.root;
    let ids = call.operand(0)?;
    let embed = |graph: &mut Graph, table, ids| insert(graph, root, "embedded", Op::Gather { axis: 0 }, &[table, ids]);
    let mut sum = embed(graph, call.operand(2)?, ids)?;
    let positions = match call.optional(8) {
        Some(positions) => positions,
        None => positions(graph, root, ids, 1)?,
    };
    let embedded = embed(graph, call.operand(3)?, positions)?;
    sum = insert(graph, root, "sum", Op::Add, &[sum, embedded])?;
    if let (Some(segments), Some(table)) = (call.optional(1), call.optional(4)) {
        let embedded = embed(graph, table, segments)?;
        sum = insert(graph, root, "sum", Op::Add, &[sum, embedded])?;
    }
    let norm = Op::LayerNormalization { axis: -1, epsilon, stash_type: 1 };
    let norm = insert(graph, root, "norm", norm, &[sum, call.operand(5)?, call.operand(6)?])?;
    let lengths = lengths(graph, root, ids, call.optional(7))?;
    call.become_values(graph, &[Some(norm), Some(lengths), Some(sum)])
}

/// Counts the ones in each row of a mask; without a mask, the counts are 0.
fn lengths(graph: &mut Graph, root: Value, ids: Value, mask: Option<Value>) -> Result<Value, Skip> {
    let constant = |graph: &mut Graph, value: i32| -> Result<Value, Skip> {
        let tensor = Tensor::from_bytes(ElementType::I32, &[], value.to_le_bytes().to_vec())?;
        insert(graph, root, "number", Op::Constant(tensor), &[])
    };
    let Some(mask) = mask else {
        let zero = constant(graph, 0)?;
        let batch = insert(graph, root, "batch", Op::Shape { start: 0, end: Some(1) }, &[ids])?;
        return insert(graph, root, "lengths", Op::Expand, &[zero, batch]);
    };
    let one = constant(graph, 1)?;
    let seen = insert(graph, root, "seen", Op::Equal, &[mask, one])?;
    let seen = cast(graph, root, seen, ElementType::I32)?;
    let axes = number_list(graph, root, "axes", &[1])?;
    insert(graph, root, "lengths", Op::ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[seen, axes])
}

/// Inserts the indices of an axis of a value: 0, 1, ….
pub(super) fn positions(graph: &mut Graph, root: Value, of: Value, axis: i64) -> Result<Value, Skip> {
    let size = size(graph, root, of, axis)?;
    range(graph, root, size)
}

/// Inserts the size of an axis of a value, as a scalar.
pub(super) fn size(graph: &mut Graph, root: Value, of: Value, axis: i64) -> Result<Value, Skip> {
    let size = insert(graph, root, "length", Op::Shape { start: axis, end: Some(axis + 1) }, &[of])?;
    only(graph, root, "length", size)
}

/// Replaces `RotaryEmbedding`. Operands: x, positions, cosines, sines.
pub(super) fn rotary_embedding(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let interleaved = call.int("interleaved", 0)? != 0;
    let heads = call.int("num_heads", 0)?;
    let turned = call.int("rotary_embedding_dim", 0)?;
    if call.float("scale")?.is_some_and(|scale| scale != 1.0) {
        return Err(Skip::rejected("its attribute `scale` is not 1, which is not supported"));
    }
    call.expect_int("is_packed_batching", 0)?;
    call.expect_no_more_attributes()?;
    call.expect_operands(4)?;
    let (x, positions, cos, sin) = (call.operand(0)?, call.operand(1)?, call.operand(2)?, call.operand(3)?);
    let turned = rotate(graph, call.root, x, Positions::Given(positions), [cos, sin], (interleaved, heads, turned))?;
    call.become_values(graph, &[Some(turned)])
}

/// The positions of the elements of a sequence.
#[derive(Clone, Copy)]
pub(super) enum Positions {
    /// All positions, `[batch, length]`, or the first one, `[1]`.
    Given(Value),
    /// Consecutive positions that start at a number, a vector of one element; the default is 0.
    After(Option<Value>),
}

/// Inserts a standard RotaryEmbedding. `heads` may be 0 if the tables determine the size of a head.
pub(super) fn rotate(
    graph: &mut Graph,
    root: Value,
    x: Value,
    at: Positions,
    [cos, sin]: [Value; 2],
    (interleaved, heads, turned): (bool, i64, i64),
) -> Result<Value, Skip> {
    let unknown = |of: Value| rewrite::unknown(graph, "shape", of);
    let rank = graph.fact(x).rank().ok_or_else(|| unknown(x))?;
    let last = |of: Value| graph.shape(of).and_then(<[Dim]>::last).and_then(Dim::known).ok_or_else(|| unknown(of));
    let num_heads = match (rank, heads) {
        (4, _) => None,
        (_, 0) => Some(last(x)? / (2 * last(cos)?).max(1)),
        (_, heads) => last(x).map(|_| Some(heads))?,
    };
    let length = if rank == 4 { 2 } else { 1 };
    let positions = match at {
        Positions::Given(given) if graph.fact(given).rank() == Some(2) => given,
        Positions::Given(given) if graph.fact(given).rank().is_none() => return Err(unknown(given)),
        Positions::Given(first) => positions_from(graph, root, x, Some(first), length)?,
        Positions::After(first) => positions_from(graph, root, x, first, length)?,
    };
    let op = Op::RotaryEmbedding { interleaved, num_heads, rotary_embedding_dim: turned };
    insert(graph, root, "turned", op, &[x, cos, sin, positions])
}

/// Inserts consecutive positions from `first` on, `[batch, length]`.
fn positions_from(graph: &mut Graph, root: Value, x: Value, first: Option<Value>, length: i64) -> Result<Value, Skip> {
    let mut row = positions(graph, root, x, length)?;
    if let Some(first) = first {
        row = insert(graph, root, "positions", Op::Add, &[row, first])?;
    }
    let batch = insert(graph, root, "batch", Op::Shape { start: 0, end: Some(1) }, &[x])?;
    let length = insert(graph, root, "length", Op::Shape { start: length, end: Some(length + 1) }, &[x])?;
    let shape = insert(graph, root, "shape", Op::Concat { axis: 0 }, &[batch, length])?;
    insert(graph, root, "positions", Op::Expand, &[row, shape])
}

/// Casts a value, unless it has that type.
pub(super) fn cast(graph: &mut Graph, root: Value, x: Value, to: ElementType) -> Result<Value, Skip> {
    if graph.fact(x).element() == Some(to) {
        return Ok(x);
    }
    insert(graph, root, "cast", rewrite::cast(to), &[x])
}
