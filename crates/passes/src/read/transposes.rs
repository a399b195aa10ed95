//! The permutations of Transposes.

use crate::read::sizes::position;
use netwright_ir::{Graph, Op, Value};

/// Returns the operand's axis for each axis of the result, counted from 0. `None` for another operator.
pub(crate) fn order(graph: &Graph, value: Value) -> Option<Vec<usize>> {
    let Op::Transpose { perm } = graph.op(value) else { return None };
    perm.iter().map(|axis| position(*axis, perm.len())).collect()
}

/// Whether the last axis stays last.
pub(crate) fn keeps_rows(order: &[usize]) -> bool {
    order.last().is_some_and(|last| last + 1 == order.len())
}

/// Returns two consecutive Transposes as one.
pub(crate) fn merged(graph: &Graph, first: Value, second: Value) -> Option<Op> {
    let (first, second) = (order(graph, first)?, order(graph, second)?);
    let axis = |at: &usize| first.get(*at).and_then(|axis| i64::try_from(*axis).ok());
    Some(Op::Transpose { perm: second.iter().map(axis).collect::<Option<_>>()? })
}
