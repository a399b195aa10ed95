//! Queries on a graph.

use super::{Conventions, Graph, GraphOutput, Name, Node, NodeId, QuantizationAnnotation, Schedule, Use, Value};
use crate::infer::NeverZero;
use crate::{Dim, Fact, Notes, Op, OpKind, Tensor, ValueType};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

impl Graph {
    /// Returns the inputs, in the caller's order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.inputs.iter().map(|&node| Value { node, result: 0 })
    }

    /// Returns the default of an input that the caller may omit.
    pub fn default_of(&self, input: Value) -> Option<&Tensor> {
        self.defaults.get(&input.node)
    }

    /// Returns the captured values of a body, in the order of the operands of its node.
    pub fn captures(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.captures.iter().map(|&node| Value { node, result: 0 })
    }

    /// Whether this is a body that [`edit_bodies`](Graph::edit_bodies) is editing.
    pub fn is_body(&self) -> bool {
        self.is_body
    }

    /// Returns which optional names and types a file of the graph gives.
    pub fn conventions(&self) -> Conventions {
        self.conventions
    }

    /// Returns the sets of symbols that are not all 0 in any run that succeeds; see [`Graph::infer_nonzero_sizes`].
    pub fn never_zero(&self) -> &NeverZero {
        &self.never_zero
    }

    /// Returns the graph's metadata.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Returns the value's metadata, if any.
    pub fn value_notes(&self, value: Value) -> Option<&Notes> {
        self.result(value).notes.as_deref()
    }

    /// Whether a node has a body, or has had one since the graph was created.
    pub fn has_bodies(&self) -> bool {
        self.depth > 0
    }

    /// Returns the quantization annotations, in the order of the file.
    pub fn annotations(&self) -> &[QuantizationAnnotation] {
        &self.annotations
    }

    /// Returns the outputs, in the caller's order.
    pub fn outputs(&self) -> &[GraphOutput] {
        &self.outputs
    }

    /// Returns the node with this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }

    /// Returns the operator that produces a value.
    pub fn op(&self, value: Value) -> &Op {
        &self.node(value.node).op
    }

    /// Returns the kind of the operator that produces a value.
    pub fn kind(&self, value: Value) -> OpKind {
        self.op(value).kind()
    }

    /// Returns the tensor of a value that is a parameter or a constant.
    pub fn tensor(&self, value: Value) -> Option<&Tensor> {
        self.op(value).tensor()
    }

    /// Returns the name of a value.
    pub fn value_name(&self, value: Value) -> &Name {
        &self.result(value).name
    }

    /// Returns the fact of a value: what is known about it at compile time.
    pub fn fact(&self, value: Value) -> &Fact {
        &self.result(value).fact
    }

    /// Returns the type that a file declares for a value but inference does not confirm: no rule may rely on it.
    ///
    /// It did not contradict the [fact](Graph::fact) when the file was read.
    pub fn declared(&self, value: Value) -> Option<&ValueType> {
        self.result(value).declared.as_deref()
    }

    /// Returns the type of a value as it is written: what is known, and what the file that it was read from declares
    /// beyond that.
    pub fn written_type(&self, value: Value) -> Cow<'_, ValueType> {
        let known = &self.fact(value).ty;
        match self.declared(value).filter(|declared| known.keeps(declared)).and_then(|declared| known.and(declared)) {
            Some(both) => Cow::Owned(both),
            None => Cow::Borrowed(known),
        }
    }

    /// Returns the shape of a value that is a tensor of known rank.
    pub fn shape(&self, value: Value) -> Option<&[Dim]> {
        self.fact(value).shape().map(|shape| &**shape)
    }

    /// Returns the results of a node.
    pub fn results(&self, id: NodeId) -> impl Iterator<Item = Value> + use<> {
        (0..self.node(id).results.len()).zip(0..).map(move |(_, result)| Value { node: id, result })
    }

    /// Returns the operands of a node in order; `None` stands for an absent operand.
    pub fn operands(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        self.operands_by(id, |value| self.resolve(value))
    }

    /// Returns the operands of a node in order, with `resolve` applied to the value at the source of each edge.
    pub(super) fn operands_by(&self, id: NodeId, resolve: impl Fn(Value) -> Value) -> SmallVec<[Option<Value>; 4]> {
        let edges = self.dag.edges_directed(id.0, Incoming);
        let mut operands = SmallVec::new();
        // The last operand comes first.
        for edge in edges {
            let Use { operand, result } = *edge.weight();
            let at = operand as usize;
            if operands.len() <= at {
                operands.resize(at + 1, None);
            }
            operands[at] = Some(resolve(Value { node: NodeId(edge.source()), result }));
        }
        operands
    }

    /// Returns one operand of a node, if it is present.
    pub fn operand(&self, id: NodeId, at: usize) -> Option<Value> {
        let mut edges = self.dag.edges_directed(id.0, Incoming);
        let edge = edges.find(|edge| edge.weight().operand as usize == at)?;
        Some(self.source_of(edge.source(), *edge.weight()))
    }

    pub(super) fn source_of(&self, source: NodeIndex, edge: Use) -> Value {
        self.resolve(Value { node: NodeId(source), result: edge.result })
    }

    /// Returns how many operands and graph outputs read a value.
    pub fn use_count(&self, value: Value) -> usize {
        self.result(self.resolve(value)).uses as usize
    }

    /// Whether the file leaves a result out and nothing reads it: a runtime need not compute it.
    pub fn is_omitted(&self, value: Value) -> bool {
        let result = self.result(value);
        result.omitted && result.uses == 0
    }

    /// Whether a value is an output of the graph.
    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.contains(value)
    }

    /// Returns the nodes that read a value, each with the index of the operand, in program order.
    pub fn users(&self, value: Value) -> Vec<(NodeId, usize)> {
        let mut users = vec![];
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            let edges = self.dag.edges_directed(value.node.0, Outgoing);
            let edges = edges.filter(|edge| edge.weight().result == value.result && !self.dag[edge.target()].dead);
            users.extend(edges.map(|edge| (NodeId(edge.target()), edge.weight().operand as usize)));
            pending.extend(self.absorbed.get(&value).into_iter().flatten());
        }
        users.sort_unstable_by_key(|&(id, operand)| (self.node(id).order, id, operand));
        users
    }

    /// Returns the living nodes, each after its operands and otherwise in program order.
    ///
    /// Nodes of a cycle are left out; the checker reports them (C2).
    pub fn schedule(&self) -> Vec<NodeId> {
        self.scheduled().nodes.clone()
    }

    /// Returns the kinds of operators that living nodes have, without those of bodies, each once.
    pub fn kinds(&self) -> &[OpKind] {
        &self.scheduled().kinds
    }

    /// Whether a living node has an operator of this kind; bodies do not count.
    pub fn has_kind(&self, kind: OpKind) -> bool {
        self.kinds().contains(&kind)
    }

    fn scheduled(&self) -> &Schedule {
        self.scheduled.get_or_init(|| {
            let nodes = self.in_order();
            let mut kinds = vec![];
            for kind in nodes.iter().map(|id| self.node(*id).op.kind()) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            Schedule { nodes, kinds }
        })
    }

    fn in_order(&self) -> Vec<NodeId> {
        let bound = self.dag.node_indices().map(NodeIndex::index).max().map_or(0, |last| last + 1);
        let mut waiting = vec![0u32; bound];
        let mut ready = BinaryHeap::new();
        for id in self.dag.node_indices().filter(|&id| !self.dag[id].dead) {
            let operands = self.dag.edges_directed(id, Incoming).count();
            waiting[id.index()] = u32::try_from(operands).unwrap_or(u32::MAX);
            if operands == 0 {
                ready.push(Reverse((self.dag[id].order, NodeId(id))));
            }
        }
        let mut order = Vec::with_capacity(self.dag.node_count());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for user in self.readers(id) {
                let left = &mut waiting[user.index()];
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.push(Reverse((self.dag[user].order, NodeId(user))));
                }
            }
        }
        order
    }

    /// Returns the living nodes that read any result of a node, once for each operand.
    fn readers(&self, id: NodeId) -> SmallVec<[NodeIndex; 4]> {
        let mut readers = SmallVec::new();
        let mut direct = |source: NodeIndex, result: Option<u32>| {
            let edges = self.dag.edges_directed(source, Outgoing);
            let edges = edges.filter(|edge| {
                result.is_none_or(|result| edge.weight().result == result) && !self.dag[edge.target()].dead
            });
            // A use that was redirected belongs to the replacement.
            let elsewhere = |edge: &Use| {
                result.is_none() && self.forward.contains_key(&Value { node: NodeId(source), result: edge.result })
            };
            readers.extend(edges.filter(|edge| !elsewhere(edge.weight())).map(|edge| edge.target()));
        };
        direct(id.0, None);
        let mut pending: Vec<Value> = self.results(id).filter(|_| !self.absorbed.is_empty()).collect();
        while let Some(value) = pending.pop() {
            for &absorbed in self.absorbed.get(&value).into_iter().flatten() {
                direct(absorbed.node.0, Some(absorbed.result));
                pending.push(absorbed);
            }
        }
        readers
    }

    /// Returns the number of living nodes, tensors and inputs included.
    pub fn len(&self) -> usize {
        self.dag.node_weights().filter(|node| !node.dead).count()
    }

    /// Whether the graph has no living node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the node lives: it was neither replaced nor left without readers by a replacement.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.dag.node_weight(id.0).is_some_and(|node| !node.dead)
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices().filter(|&id| !self.dag[id].dead).map(NodeId)
    }
}
