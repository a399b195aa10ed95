//! Reads the pairs of elements that are rotated together.

use crate::read::sizes::{only_element, position, same_shape};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairing {
    /// Elements at the same place of two halves.
    Halves,
    /// Neighbors: an even element and the next one.
    Neighbors,
}

/// The first or the second elements of all pairs of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// The value.
    pub(super) of: Value,
    /// How its elements are paired.
    pub(super) pairing: Pairing,
    /// Whether the elements are the second ones.
    pub(super) is_second: bool,
}

/// Returns the value of which these are the first or second elements of all pairs.
pub(super) fn side(graph: &Graph, value: Value) -> Option<Side> {
    let value = elements(graph, value);
    let of = graph.operand(value.node, 0)?;
    let rank = graph.fact(of).rank()?;
    let is_last = |axis: i64| position(axis, rank) == Some(rank - 1);
    let size = last(graph, of)?.known()?;
    let neighbors = |of: Value, is_second: bool| Some(Side { of, pairing: Pairing::Neighbors, is_second });
    match graph.op(value) {
        Op::Split { axis } if is_last(*axis) && graph.node(value.node).result_count() == 2 => {
            let is_second = value.result == 1;
            if (size, last(graph, value)) == (2, Some(&Dim::Known(1)))
                && let Some(whole) = in_pairs(graph, of)
            {
                return neighbors(whole, is_second);
            }
            let is_half = last(graph, value)?.known()?.checked_mul(2) == Some(size);
            is_half.then_some(Side { of, pairing: Pairing::Halves, is_second })
        }
        Op::Gather { axis } if is_last(*axis) && size == 2 => {
            let at = only_element(graph, value.node, 1)?;
            neighbors(in_pairs(graph, of)?, at.rem_euclid(2) == 1)
        }
        Op::Slice => {
            let one = |at| only_element(graph, value.node, at);
            let (from, to) = (one(1)?, one(2)?);
            let reaches_last = to >= size || to == size - 1 && from == 0;
            (is_last(one(3)?) && one(4)? == 2 && matches!(from, 0 | 1) && reaches_last && size % 2 == 0)
                .then(|| neighbors(of, from == 1))?
        }
        _ => None,
    }
}

/// Returns the first and second elements of all pairs, and how they are paired, if a value consists of them.
pub(super) fn joined(graph: &Graph, value: Value) -> Option<([Value; 2], Pairing)> {
    let parts = |value: Value| {
        let Op::Concat { axis } = graph.op(value) else { return None };
        let rank = graph.fact(value).rank()?;
        let [Some(first), Some(second)] = graph.operands(value.node)[..] else { return None };
        let is_even = last(graph, first)?.same(last(graph, second)?) == Some(true);
        (is_even && position(*axis, rank) == Some(rank - 1)).then_some([first, second])
    };
    match graph.kind(value) {
        OpKind::Concat => Some((parts(value)?, Pairing::Halves)),
        _ => Some((parts(whole_pairs(graph, value)?)?, Pairing::Neighbors)),
    }
}

/// Returns the value whose last axis consists of pairs and is split by a Reshape: `[…, n]` of `[…, n / 2, 2]`.
fn in_pairs(graph: &Graph, pairs: Value) -> Option<Value> {
    let whole = graph.operand(pairs.node, 0).filter(|_| graph.kind(pairs) == OpKind::Reshape)?;
    are_pairs(graph.shape(pairs)?, graph.shape(whole)?).then_some(whole)
}

/// Returns the pairs that a Reshape joins to one axis: `[…, n / 2, 2]` of `[…, n]`.
pub(super) fn whole_pairs(graph: &Graph, whole: Value) -> Option<Value> {
    let pairs = graph.operand(whole.node, 0).filter(|_| graph.kind(whole) == OpKind::Reshape)?;
    are_pairs(graph.shape(pairs)?, graph.shape(whole)?).then_some(pairs)
}

fn are_pairs(pairs: &[Dim], whole: &[Dim]) -> bool {
    let [outer @ .., count, Dim::Known(2)] = pairs else { return false };
    let [others @ .., size] = whole else { return false };
    same_shape(outer, others) && count.known().zip(size.known()).is_some_and(|(count, size)| count * 2 == size)
}

/// Returns a value without the operators that only add or remove a last axis of size 1.
pub(super) fn elements(graph: &Graph, value: Value) -> Value {
    let kinds = [OpKind::Unsqueeze, OpKind::Squeeze, OpKind::Reshape];
    let inner = graph.operand(value.node, 0).filter(|_| kinds.contains(&graph.kind(value)));
    let shapes = inner.and_then(|inner| Some((graph.shape(inner)?, graph.shape(value)?)));
    let is_column = |of: &[Dim], plain: &[Dim]| matches!(of, [outer @ .., Dim::Known(1)] if same_shape(outer, plain));
    match (inner, shapes) {
        (Some(inner), Some((a, b))) if is_column(a, b) || is_column(b, a) => inner,
        _ => value,
    }
}

/// Returns the size of the last axis.
pub(super) fn last(graph: &Graph, value: Value) -> Option<&Dim> {
    graph.shape(value)?.last()
}
