use crate::pipeline::{Body, Log, Pass, name_of};
use netwright_ir::Graph;

/// Removes what no output depends on.
///
/// Every pass is followed by such a removal; this one comes first, so that no rule takes a dead node for a use.
pub fn eliminate_dead_code() -> Pass {
    Pass {
        name: "eliminate-dead-code",
        summary: "remove nodes that no output depends on",
        body: Body::Graph(eliminate),
    }
}

fn eliminate(graph: &mut Graph, log: &mut Log) {
    if !log.may_apply() {
        return;
    }
    let nodes: Vec<_> = graph.schedule().into_iter().map(|node| (node, name_of(graph, node))).collect();
    graph.sweep();
    for (node, name) in nodes {
        if !graph.is_alive(node) {
            // Nothing that is left reads it.
            log.applied_in(graph, name, "no output depends on it");
        }
    }
}
