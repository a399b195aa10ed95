//! Chains of operators that treat each element, or each row, independently. An operator that only moves elements gives
//! the same result before such a chain as after it.

use crate::rewrite::{become_op, insert};
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::Class;
use netwright_ir::{Graph, OpKind, Value};

/// The maximum length of a chain.
const MAX_STEPS: usize = 16;

/// The operators of a chain, the last first, each with the index of the operand that continues the chain.
pub(crate) type Chain = Vec<(Value, usize)>;

/// Returns the chain from the root's first operand up to a value whose operator satisfies `ends`, and that value. Every
/// value on the way has one use. `rows` allows operators that treat each row independently.
pub(crate) fn up_to(graph: &Graph, root: Value, rows: bool, ends: fn(OpKind) -> bool) -> Option<(Chain, Value)> {
    let mut chain = vec![];
    let mut value = graph.operand(root.node, 0)?;
    for _ in 0..MAX_STEPS {
        if graph.use_count(value) != 1 {
            return None;
        }
        if ends(graph.kind(value)) {
            return Some((chain, value));
        }
        let at = operand_of(graph, value).or_else(|| row_operand_of(graph, value).filter(|_| rows))?;
        chain.push((value, at));
        value = graph.operand(value.node, at)?;
    }
    None
}

/// Returns the index of the only operand that is not a scalar, if the operator treats each element independently.
fn operand_of(graph: &Graph, value: Value) -> Option<usize> {
    match graph.kind(value).class() {
        Class::ElementwiseUnary => Some(0),
        Class::Broadcasting if graph.operands(value.node).len() == 2 => {
            let is_number = |at| graph.operand(value.node, at).is_some_and(|value| graph.fact(value).rank() == Some(0));
            match (is_number(0), is_number(1)) {
                (false, true) => Some(0),
                (true, false) => Some(1),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the index of the operand each of whose rows is multiplied by one matrix, or to each of whose rows one vector
/// is added.
fn row_operand_of(graph: &Graph, value: Value) -> Option<usize> {
    let rank = |at: usize| graph.fact(graph.operand(value.node, at)?).rank();
    let is_row = |at: usize, by: usize| rank(by) == Some(1) && rank(at).is_some_and(|rank| rank > 1);
    match graph.kind(value) {
        OpKind::MatMul if rank(1) == Some(2) && rank(0).is_some_and(|rank| rank > 1) => Some(0),
        OpKind::Add => [(0, 1), (1, 0)].into_iter().find(|(at, by)| is_row(*at, *by)).map(|(at, _)| at),
        _ => None,
    }
}

/// Replaces the root with the chain applied to `value`.
///
/// # Errors
/// If an operator is not defined for its new operands.
pub(crate) fn rebuild(
    graph: &mut Graph,
    root: Value,
    chain: &Chain,
    mut value: Value,
    note: &'static str,
) -> Rewritten {
    let Some(((last, at), before)) = chain.split_first() else {
        graph.replace(root, value);
        return Ok(note.into());
    };
    let with = |graph: &Graph, of: Value, at: usize, value: Value| -> Result<Vec<Value>, Skip> {
        let mut operands: Vec<Value> = graph.operands(of.node).into_iter().flatten().collect();
        *operands.get_mut(at).ok_or(Skip::NoMatch)? = value;
        Ok(operands)
    };
    for &(step, at) in before.iter().rev() {
        let operands = with(graph, step, at, value)?;
        value = insert(graph, root, "moved", graph.op(step).clone(), &operands)?;
    }
    let operands = with(graph, *last, *at, value)?;
    become_op(graph, root, graph.op(*last).clone(), &operands, note)
}
