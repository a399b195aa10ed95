//! What bodies capture, and in which type they read it.

use super::plan::{Mode, Plan};
use super::{Context, is_float_cast};
use netwright_ir::{Graph, NodeId, Value};
use std::collections::HashMap;

/// The operands that the bodies of a node capture, which come after its own.
pub(super) struct Captured {
    own: usize,
    /// Whether each is read in the narrow type.
    narrow: Vec<bool>,
}

impl Captured {
    /// Whether an operand is read in the narrow type; `None` if it is not captured.
    pub(super) fn is_narrow(&self, at: usize) -> Option<bool> {
        self.narrow.get(at.checked_sub(self.own)?).copied()
    }
}

/// Returns what the bodies of the nodes that are converted capture.
pub(super) fn captured(graph: &Graph, plan: &Plan, context: &Context<'_>) -> HashMap<NodeId, Captured> {
    let nodes = graph.schedule().into_iter().filter(|id| !graph.node(*id).op().bodies().is_empty());
    let nodes = nodes.filter(|id| plan.mode(*id).is_some());
    let captured = nodes.map(|id| {
        let bodies = graph.node(id).op().bodies();
        let narrow: Vec<bool> = bodies.into_iter().flat_map(|body| captures_read_narrow(body, context)).collect();
        (id, Captured { own: graph.operands(id).len().saturating_sub(narrow.len()), narrow })
    });
    captured.collect()
}

/// Returns for each capture of a body whether a node there reads it in the narrow type, perhaps after casts.
fn captures_read_narrow(body: &Graph, context: &Context<'_>) -> Vec<bool> {
    let plan = Plan::of(body, context);
    let is_narrow = |user: NodeId, at: usize| {
        plan.mode(user) == Some(&Mode::Narrow)
            && plan.captures_narrow(user, at).unwrap_or_else(|| context.accepts(body.node(user).op(), at, context.to))
    };
    let is_read_narrow = |capture| {
        let mut open = vec![capture];
        while let Some(value) = open.pop() {
            for (user, at) in body.users(value) {
                let result = Value { node: user, result: 0 };
                if is_float_cast(body, result) {
                    open.push(result);
                } else if is_narrow(user, at) {
                    return true;
                }
            }
        }
        false
    };
    body.captures().map(is_read_narrow).collect()
}
