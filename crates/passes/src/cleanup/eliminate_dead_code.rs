//! Removes nodes that no output depends on.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use netwright_ir::{Graph, NodeId};

/// Removes nodes that no output depends on.
///
/// The pipeline also removes them after every pass; this pass runs first, so that no rule takes a dead node for a use.
pub fn eliminate_dead_code() -> Pass {
    let summary = "remove nodes that no output depends on";
    Pass::new("eliminate-dead-code", summary, Exactness::Bits).on_graph(eliminate)
}

fn eliminate(graph: &mut Graph, log: &mut Log) {
    if !log.may_apply() {
        return;
    }
    // The last of the nodes that no output depends on is not read.
    let is_unread = |node: &NodeId| graph.results(*node).all(|result| graph.use_count(result) == 0);
    if !graph.schedule().iter().any(is_unread) {
        return;
    }
    let nodes: Vec<_> = graph.schedule().into_iter().map(|node| (node, name_of(graph, node))).collect();
    graph.sweep();
    for (node, name) in nodes {
        if !graph.is_alive(node) {
            // It has no uses, so the proof of other rewrites is not affected.
            log.applied_in(graph, name, "no output depends on it");
        }
    }
}
