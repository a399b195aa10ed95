//! What can be asked of a graph.

use super::{Conventions, Graph, GraphOutput, Name, Node, NodeId, QuantizationAnnotation, Use, Value};
use crate::infer::NeverZero;
use crate::{Dim, Fact, Notes, Op, OpKind, Tensor, ValueType};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

impl Graph {
    /// The inputs, in the caller's order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.inputs.iter().map(|&node| Value { node, result: 0 })
    }

    /// The tensor that an input is where the caller gives none.
    pub fn default_of(&self, input: Value) -> Option<&Tensor> {
        self.defaults.get(&input.node)
    }

    /// What a body sees of the graph around it, in the order of the operands of its node.
    pub fn captures(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.captures.iter().map(|&node| Value { node, result: 0 })
    }

    /// What a file of it says of nodes and values.
    pub fn conventions(&self) -> Conventions {
        self.conventions
    }

    /// Sets of symbols of which not all are 0 in any run that succeeds; see [`Graph::settle_sizes`].
    pub fn never_zero(&self) -> &NeverZero {
        &self.never_zero
    }

    /// What is said of the graph.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What is said of a value, where something is.
    pub fn value_notes(&self, value: Value) -> Option<&Notes> {
        self.result(value).notes.as_deref()
    }

    /// Whether a node has a body, or had one since the graph was made.
    pub fn has_bodies(&self) -> bool {
        self.depth > 0
    }

    /// How tensors were quantized, in the order of the file.
    pub fn annotations(&self) -> &[QuantizationAnnotation] {
        &self.annotations
    }

    /// The outputs, in the caller's order.
    pub fn outputs(&self) -> &[GraphOutput] {
        &self.outputs
    }

    /// The node of that id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }

    /// The operator that makes a value.
    pub fn op(&self, value: Value) -> &Op {
        &self.node(value.node).op
    }

    /// The kind of the operator that makes a value.
    pub fn kind(&self, value: Value) -> OpKind {
        self.op(value).kind()
    }

    /// The tensor that a value is, where it is known when the model is built.
    pub fn tensor(&self, value: Value) -> Option<&Tensor> {
        self.op(value).tensor()
    }

    /// The name of a value.
    pub fn value_name(&self, value: Value) -> &Name {
        &self.result(value).name
    }

    /// What is known of a value.
    pub fn fact(&self, value: Value) -> &Fact {
        &self.result(value).fact
    }

    /// The type that a file declares for a value and that nothing proves: no rule may rely on it.
    ///
    /// It does not contradict the [fact](Graph::fact) that was known when it was read.
    pub fn declared(&self, value: Value) -> Option<&ValueType> {
        self.result(value).declared.as_deref()
    }

    /// The shape of a value, where it is a tensor of known rank.
    pub fn shape(&self, value: Value) -> Option<&[Dim]> {
        self.fact(value).shape().map(|shape| &**shape)
    }

    /// The results of a node.
    pub fn results(&self, id: NodeId) -> impl Iterator<Item = Value> + use<> {
        (0..self.node(id).results.len()).zip(0..).map(move |(_, result)| Value { node: id, result })
    }

    /// The operands of a node in order; `None` for one that is absent.
    pub fn operands(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        self.operands_by(id, |value| self.resolve(value))
    }

    /// The operands of a node in order, each mapped by `resolve` from the value at the other end of its edge.
    pub(super) fn operands_by(&self, id: NodeId, resolve: impl Fn(Value) -> Value) -> SmallVec<[Option<Value>; 4]> {
        let edges = self.dag.edges_directed(id.0, Incoming);
        let mut found: SmallVec<[(u32, Value); 4]> = edges
            .map(|edge| {
                let source = Value { node: NodeId(edge.source()), result: edge.weight().result };
                (edge.weight().operand, resolve(source))
            })
            .collect();
        found.sort_unstable_by_key(|(operand, _)| *operand);
        let mut operands = SmallVec::new();
        for (operand, value) in found {
            operands.resize(operand as usize, None);
            operands.push(Some(value));
        }
        operands
    }

    /// One operand of a node, where it is present.
    pub fn operand(&self, id: NodeId, at: usize) -> Option<Value> {
        let mut edges = self.dag.edges_directed(id.0, Incoming);
        let edge = edges.find(|edge| edge.weight().operand as usize == at)?;
        Some(self.source_of(edge.source(), *edge.weight()))
    }

    pub(super) fn source_of(&self, source: NodeIndex, edge: Use) -> Value {
        self.resolve(Value { node: NodeId(source), result: edge.result })
    }

    /// How many operands and graph outputs read a value.
    pub fn use_count(&self, value: Value) -> usize {
        self.result(self.resolve(value)).uses as usize
    }

    /// Whether a file leaves a result out, and nothing reads it: a runtime need not compute it.
    pub fn is_omitted(&self, value: Value) -> bool {
        let result = self.result(value);
        result.omitted && result.uses == 0
    }

    /// Whether a value is a result of the graph.
    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.iter().any(|output| output.value == value)
    }

    /// The nodes that read a value, each with the operand at which it does, in program order.
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

    /// The living nodes, each behind its operands, else in program order.
    ///
    /// Nodes of a cycle are left out; the checker tells (law C2).
    pub fn schedule(&self) -> Vec<NodeId> {
        self.scheduled.get_or_init(|| self.in_order()).clone()
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

    /// The living nodes that read any result of a node, as often as they do.
    fn readers(&self, id: NodeId) -> SmallVec<[NodeIndex; 4]> {
        let mut readers = SmallVec::new();
        let mut direct = |source: NodeIndex, result: Option<u32>| {
            let edges = self.dag.edges_directed(source, Outgoing);
            let edges = edges.filter(|edge| {
                result.is_none_or(|result| edge.weight().result == result) && !self.dag[edge.target()].dead
            });
            // What was redirected elsewhere is read there, not here.
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

    /// How many nodes live, tensors and inputs included.
    pub fn len(&self) -> usize {
        self.dag.node_weights().filter(|node| !node.dead).count()
    }

    /// Whether no node lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the node lives: it was neither replaced nor left without users by that.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.dag.node_weight(id.0).is_some_and(|node| !node.dead)
    }

    pub(crate) fn uses_by_edges(&self, value: Value) -> usize {
        self.users(value).len() + self.outputs.iter().filter(|output| output.value == value).count()
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices().filter(|&id| !self.dag[id].dead).map(NodeId)
    }
}
