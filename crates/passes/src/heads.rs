//! Heads of attention: how they are split from `[batch, length, heads * size]`.

use crate::sizes::same_shape;
use netwright_ir::{Dim, Graph, Kind, Op, Value};

/// Whether it swaps heads and length.
pub(crate) fn is_swap(graph: &Graph, value: Value) -> bool {
    matches!(graph.op(value), Op::Transpose { perm } if perm.as_slice() == [0, 2, 1, 3])
}

/// `[batch, length, heads * size]` that became `[batch, heads, length, size]`, and the number of heads.
pub(crate) fn split(graph: &Graph, value: Value) -> Option<(Value, i64)> {
    let reshaped = graph.operand(value.node, 0).filter(|_| is_swap(graph, value))?;
    let x = graph.operand(reshaped.node, 0).filter(|_| graph.kind(reshaped) == Kind::Reshape)?;
    let [batch, length, heads, size] = graph.shape(reshaped)? else { return None };
    let Dim::Known(count) = heads else { return None };
    let is_split = same_shape(graph.shape(x)?, &[batch.clone(), length.clone(), heads.times(size)]);
    (is_split && *count > 0).then_some((x, *count))
}
