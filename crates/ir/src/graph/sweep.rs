//! Removing nodes that nothing reads.

use super::{Graph, NodeId, Use, Value};
use crate::Op;
use petgraph::Direction::Incoming;
use petgraph::stable_graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

impl Graph {
    /// Removes the nodes that no output depends on; inputs stay. Returns how many of the removed nodes were still
    /// alive.
    ///
    /// Ids of removed nodes are reused, so no id may be held across a sweep.
    pub fn sweep(&mut self) -> usize {
        self.refresh();
        self.edits.clear();
        if !std::mem::take(&mut self.unswept) {
            return 0;
        }
        let outputs = self.outputs.iter().map(|output| output.value.node);
        let needed = self.before(outputs.chain(self.inputs.iter().chain(&self.captures).copied()).collect());
        let removed = self.dag.node_indices().filter(|&id| !needed[id.index()] && !self.dag[id].dead).count();
        for id in self.recent.drain(..) {
            if let Some(node) = self.dag.node_weight_mut(id.0) {
                node.beside = false;
            }
        }
        if needed.iter().filter(|needed| **needed).count() == self.dag.node_count() && self.forward.is_empty() {
            self.numbered.clear();
            return 0;
        }
        self.scheduled.take();
        // Edges whose source was redirected are created anew; the others stay.
        let mut moved = vec![];
        let edges = self.dag.edge_indices().map(EdgeIndex::index).max().map_or(0, |last| last + 1);
        let mut stale = vec![false; edges];
        for edge in self.dag.edge_indices() {
            let Some((source, target)) = self.dag.edge_endpoints(edge) else { continue };
            let Use { operand, result } = self.dag[edge];
            let from = Value { node: NodeId(source), result };
            let to = self.resolve(from);
            if to != from && needed[target.index()] {
                moved.push((to, target, operand));
                stale[edge.index()] = true;
            }
        }
        self.dag = std::mem::take(&mut self.dag).filter_map_owned(
            |id, node| needed[id.index()].then_some(node),
            |id, edge| (!stale[id.index()]).then_some(edge),
        );
        for (to, target, operand) in moved {
            self.dag.add_edge(to.node.0, target, Use { operand, result: to.result });
        }
        self.forward.clear();
        self.absorbed.clear();
        self.names.clear();
        self.labels.clear();
        for node in self.dag.node_weights() {
            self.names.taken.extend(node.results.iter().map(|result| result.name.clone()));
            self.labels.taken.extend(Some(node.label.clone()).filter(|label| !label.is_empty()));
        }
        self.renumber();
        self.recount();
        removed
    }

    /// Returns the nodes that an output depends on, in order.
    pub(crate) fn needed(&self) -> Vec<NodeId> {
        let needed = self.before(self.outputs.iter().map(|output| output.value.node).collect());
        let mut schedule = self.schedule();
        schedule.retain(|id| needed[id.0.index()]);
        schedule
    }

    /// Returns for every node index whether it is that of one of these nodes or of a node they depend on.
    fn before(&self, mut pending: Vec<NodeId>) -> Vec<bool> {
        let bound = self.dag.node_indices().map(NodeIndex::index).max().map_or(0, |last| last + 1);
        let mut before = vec![false; bound];
        while let Some(id) = pending.pop() {
            if !std::mem::replace(&mut before[id.0.index()], true) {
                let edges = self.dag.edges_directed(id.0, Incoming);
                pending.extend(edges.map(|edge| self.source_of(edge.source(), *edge.weight()).node));
            }
        }
        before
    }

    /// Gives new values the names that were requested for them, where those are free now: a rewrite applied again to
    /// its own result then produces the same names.
    fn renumber(&mut self) {
        let mut numbered = std::mem::take(&mut self.numbered);
        numbered.retain(|(value, wanted)| self.is_alive(value.node) && is_number_of(self.value_name(*value), wanted));
        for (value, _) in &numbered {
            let name = self.value_name(*value).clone();
            self.names.taken.remove(&name);
        }
        for (value, wanted) in numbered {
            self.result_mut(value).name = self.names.fresh(&wanted);
        }
    }

    /// Counts the uses again: the uses by nodes that were removed alive are gone.
    fn recount(&mut self) {
        for node in self.dag.node_weights_mut() {
            node.results.iter_mut().for_each(|result| result.uses = 0);
        }
        let used: Vec<Value> = self
            .dag
            .edge_indices()
            .filter_map(|edge| {
                Some(Value { node: NodeId(self.dag.edge_endpoints(edge)?.0), result: self.dag[edge].result })
            })
            .chain(self.outputs.iter().map(|output| output.value))
            .collect();
        for value in used {
            self.count_uses(value, 1);
        }
    }

    /// Marks a node that nothing reads as dead, and then each operand that only it read.
    pub(super) fn mark_dead(&mut self, id: NodeId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let node = &self.dag[id.0];
            let unread = node.results.iter().all(|result| result.uses == 0);
            if node.dead || !unread || matches!(*node.op, Op::Input | Op::Captured) {
                continue;
            }
            self.dag[id.0].dead = true;
            self.touch();
            for operand in self.operands(id).into_iter().flatten() {
                self.count_uses(operand, -1);
                pending.push(operand.node);
            }
        }
    }
}

/// Whether a name is the requested one with a numeric suffix.
fn is_number_of(name: &str, wanted: &str) -> bool {
    let number = name.strip_prefix(wanted).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
