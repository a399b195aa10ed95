//! Replaces an If whose condition is known with the branch that runs.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use netwright_ir::{Graph, NodeId, Op, Value};

/// `if(true, a, b)` -> `a`
///
/// Exporters leave a branch for each form that an input could have had. The branch that runs replaces the node; the
/// other one is removed.
pub fn inline_known_branches() -> Pass {
    let summary = "replace an `if` whose condition is known with the branch that runs";
    Pass::new("inline-known-branches", summary, Exactness::Bits).on_graph(inline)
}

fn inline(graph: &mut Graph, log: &mut Log) {
    if !graph.has_bodies() {
        return;
    }
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        let name = name_of(graph, node);
        if let Some(condition) = known_condition(graph, node).filter(|_| log.may_apply_at(&name)) {
            inline_branch(graph, node, condition);
            log.applied_in(graph, name, format!("its condition is {condition}"));
        }
    }
}

fn known_condition(graph: &Graph, node: NodeId) -> Option<bool> {
    let condition = graph.operand(node, 0).filter(|_| matches!(graph.node(node).op(), Op::If { .. }))?;
    let elements = graph.tensor(condition).and_then(netwright_ir::Tensor::integers);
    match elements.or_else(|| graph.fact(condition).known_elements())?[..] {
        [element] => Some(element != 0),
        _ => None,
    }
}

/// Replaces an If by the branch that its condition selects.
pub(crate) fn inline_branch(graph: &mut Graph, node: NodeId, condition: bool) {
    let Op::If { then_branch, else_branch } = graph.node(node).op().clone() else { return };
    let operands = graph.operands(node);
    // The operands are the condition, then the captures of each branch.
    let (then, other) = operands[1..].split_at(then_branch.captures().len().min(operands.len() - 1));
    let (branch, captured) = if condition { (then_branch, then) } else { (else_branch, other) };
    let outputs = graph.splice(node, &branch, captured);
    let results: Vec<Value> = graph.results(node).collect();
    for (result, output) in results.into_iter().zip(outputs) {
        if let Some(output) = output {
            graph.replace(result, output);
        }
    }
}
