//! Attention heads: how `[batch, length, heads * size]` or `[length, batch, heads * size]` is split into them.

use crate::read::sizes::same_shape;
use crate::rewrite::{insert, number_list};
use crate::rule::Skip;
use netwright_ir::{Graph, Op, OpKind, Value};

/// The order of the first two axes while heads are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[batch, length, heads * size]`.
    BatchFirst,
    /// `[length, batch, heads * size]`.
    LengthFirst,
}

/// Returns the order to which a Transpose takes `[batch, heads, length, size]` before its heads are merged:
/// `[batch, length, heads, size]` or `[length, batch, heads, size]`.
pub(crate) fn order_before_merge(graph: &Graph, value: Value) -> Option<Order> {
    match graph.op(value) {
        Op::Transpose { perm } if perm.as_slice() == [0, 2, 1, 3] => Some(Order::BatchFirst),
        Op::Transpose { perm } if perm.as_slice() == [2, 0, 1, 3] => Some(Order::LengthFirst),
        _ => None,
    }
}

/// A value whose heads were split, `[batch, heads, length, size]`.
pub(crate) struct Heads {
    pub(crate) count: i64,
    pub(crate) order: Order,
    /// The value before the Transpose, whose last two axes are heads and size.
    apart: Value,
    /// `heads * size`, if `apart` is not a Reshape of the merged value.
    width: Option<i64>,
}

impl Heads {
    /// Returns the merged value, `[batch, length, heads * size]` or `[length, batch, heads * size]`, which is inserted
    /// if it does not exist.
    pub(crate) fn merged(&self, graph: &mut Graph, root: Value) -> Result<Value, Skip> {
        match self.width {
            None => graph.operand(self.apart.node, 0).ok_or(Skip::NoMatch),
            Some(width) => {
                let sizes = number_list(graph, root, "width", &[0, 0, width])?;
                insert(graph, root, "merged", Op::Reshape { allowzero: false }, &[self.apart, sizes])
            }
        }
    }

    /// Splits the heads of another merged value in the same way, but does not transpose them.
    pub(crate) fn split_again(&self, graph: &mut Graph, root: Value, merged: Value) -> Result<Value, Skip> {
        let sizes = match self.width {
            None => graph.operand(self.apart.node, 1).ok_or(Skip::NoMatch)?,
            Some(width) => number_list(graph, root, "apart", &[0, 0, self.count, width / self.count])?,
        };
        insert(graph, root, "heads", Op::Reshape { allowzero: false }, &[merged, sizes])
    }
}

/// Returns the order from which a Transpose takes heads that were just split to `[batch, heads, length, size]`:
/// `[batch, length, heads, size]` or `[length, batch, heads, size]`.
pub(crate) fn order_after_split(graph: &Graph, value: Value) -> Option<Order> {
    match graph.op(value) {
        Op::Transpose { perm } if perm.as_slice() == [0, 2, 1, 3] => Some(Order::BatchFirst),
        Op::Transpose { perm } if perm.as_slice() == [1, 2, 0, 3] => Some(Order::LengthFirst),
        _ => None,
    }
}

/// Returns how the heads of a value were split, if it is the Transpose that ends the split.
pub(crate) fn split(graph: &Graph, value: Value) -> Option<Heads> {
    let order = order_after_split(graph, value)?;
    let apart = graph.operand(value.node, 0)?;
    let [first, second, heads, size] = graph.shape(apart)? else { return None };
    let (count, width) = (heads.known().filter(|count| *count > 0)?, heads.times(size));
    let whole = graph.operand(apart.node, 0).filter(|_| graph.kind(apart) == OpKind::Reshape);
    let whole = whole.and_then(|whole| graph.shape(whole));
    let was_merged = whole.is_some_and(|whole| same_shape(whole, &[first.clone(), second.clone(), width.clone()]));
    let width = if was_merged { None } else { Some(width.known()?) };
    Some(Heads { count, order, apart, width })
}
