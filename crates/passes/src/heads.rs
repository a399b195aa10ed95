//! Heads of attention: how they are split from `[batch, length, heads * size]`.

use crate::sizes::same_shape;
use netwright_ir::{Dim, Graph, Kind, Op, Value};

/// Which axis comes first where heads are not split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[batch, length, heads * size]`.
    BatchFirst,
    /// `[length, batch, heads * size]`.
    LengthFirst,
}

/// `[batch, heads, length, size]` that became `[batch, length, heads, size]`, or `[length, batch, heads, size]`.
pub(crate) fn gathered(graph: &Graph, value: Value) -> Option<Order> {
    match graph.op(value) {
        Op::Transpose { perm } if perm.as_slice() == [0, 2, 1, 3] => Some(Order::BatchFirst),
        Op::Transpose { perm } if perm.as_slice() == [2, 0, 1, 3] => Some(Order::LengthFirst),
        _ => None,
    }
}

/// `[batch, length, heads * size]`, or `[length, batch, heads * size]`, that became `[batch, heads, length, size]`, and
/// the number of heads.
pub(crate) fn split(graph: &Graph, value: Value) -> Option<(Value, i64, Order)> {
    let order = match graph.op(value) {
        Op::Transpose { perm } if perm.as_slice() == [0, 2, 1, 3] => Order::BatchFirst,
        Op::Transpose { perm } if perm.as_slice() == [1, 2, 0, 3] => Order::LengthFirst,
        _ => return None,
    };
    let reshaped = graph.operand(value.node, 0)?;
    let x = graph.operand(reshaped.node, 0).filter(|_| graph.kind(reshaped) == Kind::Reshape)?;
    let [first, second, heads, size] = graph.shape(reshaped)? else { return None };
    let Dim::Known(count) = heads else { return None };
    let is_split = same_shape(graph.shape(x)?, &[first.clone(), second.clone(), heads.times(size)]);
    (is_split && *count > 0).then_some((x, *count, order))
}
