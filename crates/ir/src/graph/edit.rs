//! Editing a graph: replacing values, bodies, names and recorded facts.

use super::window::{Edit, Mark};
use super::{Conventions, Graph, Name, NodeId, Place, QuantizationAnnotation, StoredOp, Value};
use crate::infer::NeverZero;
use crate::{Dialect, Fact, HashMap, Notes, Op, Tensor, ValueType};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

impl Graph {
    /// Returns the place beside a node: its position, and the name of its first result with `word` appended.
    pub fn beside(&self, root: NodeId, word: &str) -> Place {
        let node = self.node(root);
        let name = node.results.first().map_or("", |result| &*result.name);
        Place { label: Name::default(), results: smallvec![format!("{name}.{word}").into()], order: Some(node.order) }
    }

    /// Redirects every use of `old` to `new`.
    ///
    /// A `new` that was inserted beside another node since the last sweep takes over the name of `old`, so that the
    /// texts before and after differ only in what changed; its node takes over the name of the old node if `old` is the
    /// first result in use. A value that becomes an output takes over the name of the output. Producers that lose their
    /// last reader die. A value cannot replace one that it is computed from: that makes a cycle, which the checker
    /// reports.
    pub fn replace(&mut self, old: Value, new: Value) {
        let (old, new) = (self.resolve(old), self.resolve(new));
        if old == new {
            return;
        }
        self.touch();
        if self.node(new.node).beside && !matches!(self.op(old), Op::Input | Op::Captured) {
            let old_name = std::mem::take(&mut self.result_mut(old).name);
            let new_name = std::mem::replace(&mut self.result_mut(new).name, old_name);
            self.names.taken.remove(&new_name);
            self.result_mut(old).name = new_name;
            let notes = self.node(old.node).notes.clone();
            let value_notes = self.result(old).notes.clone();
            // A replacement that readers broadcast may have another shape than the value it replaces.
            let declared = self.result(old).declared.clone().filter(|declared| self.fact(new).ty.keeps(declared));
            // The node's own name passes on once: with its first result, or with the next one if nothing reads that.
            let is_first = old.result == 0 || self.result(Value { result: 0, ..old }).uses == 0;
            if is_first && !self.node(old.node).label.is_empty() {
                self.dag[new.node.0].label = std::mem::take(&mut self.dag[old.node.0].label);
            }
            self.dag[new.node.0].notes = notes;
            self.result_mut(new).notes = value_notes;
            self.result_mut(new).declared = declared;
        } else if self.outputs.of(old).any(|output| output.name == self.result(old).name)
            && !self.is_output(new)
            && !self.node(new.node).op.kind().is_source()
        {
            // In a file, the value has the name of the output.
            let name = std::mem::replace(&mut self.result_mut(old).name, "".into());
            self.result_mut(old).name = std::mem::replace(&mut self.result_mut(new).name, name);
        }
        let was_tensor = self.tensor(old).is_some();
        if self.fact(old) != self.fact(new) || (self.tensor(new).is_some() && !was_tensor) {
            self.mark_stale(old);
        }
        let uses = self.result(old).uses;
        self.edits.push(Edit::Redirected { old, uses, is_output: self.is_output(old) });
        self.count_uses(new, i64::from(uses));
        self.forward.insert(old, new);
        self.absorbed.entry(new).or_default().push(old);
        self.outputs.redirect(old, new);
        self.result_mut(old).uses = 0;
        self.mark_dead(old.node);
    }

    /// Changes the operator of a node in place; its operands and the facts of its results must stay valid.
    pub fn set_op(&mut self, id: NodeId, op: Op) {
        if op.kind() != self.node(id).op.kind() {
            self.scheduled.take();
        }
        let op = std::mem::replace(&mut self.dag[id.0].op, op.into());
        self.edits.push(Edit::Op { node: id, op });
    }

    /// Replaces the fact of a value, for a caller that knows more than inference does. [`Graph::refresh`] then infers
    /// its readers again.
    pub fn set_fact(&mut self, value: Value, fact: Fact) {
        self.record_fact(value, fact);
        self.mark_stale(value);
    }

    pub(crate) fn record_fact(&mut self, value: Value, fact: Fact) {
        self.result_mut(value).fact = fact;
    }

    fn mark_stale(&mut self, value: Value) {
        for (id, _) in self.users(value) {
            self.mark_node_stale(id);
        }
    }

    /// Has [`Graph::refresh`] infer a node again.
    pub(crate) fn mark_node_stale(&mut self, id: NodeId) {
        self.stale.insert((self.node(id).order, id));
    }

    /// Records the type that a file declares for a value.
    pub fn declare(&mut self, value: Value, declared: ValueType) {
        self.result_mut(value).declared = Some(Arc::new(declared));
    }

    /// Removes the type that a file declares for a value.
    pub fn undeclare(&mut self, value: Value) {
        self.result_mut(value).declared = None;
    }

    /// Limits the operators that [`Graph::insert`] accepts, or with `None` lifts the limit. Existing nodes stay.
    pub fn set_dialect(&mut self, dialect: Option<Dialect>) {
        self.dialect = dialect;
    }

    /// Returns the limit on operators that may be inserted, if any.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Records that the file leaves a result out.
    pub fn omit(&mut self, value: Value) {
        self.result_mut(value).omitted = true;
    }

    /// Records which optional names and types the file gave that the graph was read from.
    pub fn set_conventions(&mut self, conventions: Conventions) {
        self.conventions = conventions;
    }

    /// Sets the graph's metadata.
    pub fn set_notes(&mut self, notes: Notes) {
        self.notes = notes;
    }

    /// Sets a node's metadata.
    pub fn set_node_notes(&mut self, id: NodeId, notes: Notes) {
        self.dag[id.0].notes = (!notes.is_empty()).then(|| Arc::new(notes));
    }

    /// Sets a value's metadata.
    pub fn set_value_notes(&mut self, value: Value, notes: Notes) {
        self.result_mut(value).notes = (!notes.is_empty()).then(|| Arc::new(notes));
    }

    /// Sets the metadata of the output at an index; does nothing if there is no such output.
    pub fn set_output_notes(&mut self, at: usize, notes: Notes) {
        if let Some(output) = self.outputs.get_mut(at) {
            output.notes = (!notes.is_empty()).then(|| Arc::new(notes));
        }
    }

    /// Sets the quantization annotations.
    pub fn set_annotations(&mut self, annotations: Vec<QuantizationAnnotation>) {
        self.annotations = annotations;
    }

    /// Edits the bodies of a node one after the other; the node loses the operands that they no longer capture. Returns
    /// the node, or the one that takes its place.
    ///
    /// `edit` must keep a body's inputs, its number of outputs, and its captures.
    pub fn edit_bodies(&mut self, id: NodeId, mut edit: impl FnMut(&mut Graph)) -> NodeId {
        let operands = self.operands(id);
        let mut op = std::mem::replace(&mut self.dag[id.0].op, Op::Identity.into());
        let mut bodies = op.bodies_mut();
        let captured: usize = bodies.iter().map(|body| body.captures.len()).sum();
        let (own, mut outer) = operands.split_at(operands.len().saturating_sub(captured));
        let mut kept: SmallVec<[Option<Value>; 4]> = own.into();
        let facts =
            |body: &Graph| -> Vec<Fact> { body.outputs.iter().map(|output| body.fact(output.value).clone()).collect() };
        let mut is_news = false;
        for body in &mut bodies {
            let body = Arc::make_mut(body);
            let (its, rest) = outer.split_at(body.captures.len().min(outer.len()));
            outer = rest;
            let before = facts(body);
            body.unify_captures(self, its);
            body.is_body = true;
            edit(body);
            body.is_body = false;
            kept.extend(body.settle_captures(its));
            is_news |= facts(body) != before;
        }
        if kept[..] == operands[..] {
            self.dag[id.0].op = op;
            if is_news {
                self.mark_node_stale(id);
            }
            return id;
        }
        self.put_in_place(id, op, &kept)
    }

    /// Replaces values in the bodies of a node with captures of values of this graph. Each entry is the index of the
    /// body, the value in the body, and the value to capture.
    ///
    /// The two values must have the same type, and the value in the body must not be one of its outputs.
    pub fn capture_in_bodies(&mut self, id: NodeId, captured: &[(usize, Value, Value)]) {
        let operands = self.operands(id);
        let mut op = std::mem::replace(&mut self.dag[id.0].op, Op::Identity.into());
        let mut bodies = op.bodies_mut();
        let old: usize = bodies.iter().map(|body| body.captures.len()).sum();
        let (own, mut outer) = operands.split_at(operands.len().saturating_sub(old));
        let mut kept: SmallVec<[Option<Value>; 4]> = own.into();
        for (place, body) in bodies.iter_mut().enumerate() {
            let body = Arc::make_mut(body);
            let (own, rest) = outer.split_at(body.captures.len().min(outer.len()));
            outer = rest;
            let mut own = own.to_vec();
            for (_, inner, value) in captured.iter().filter(|(at, ..)| *at == place) {
                // At the replaced value's position, so that its readers keep their place in the program.
                let order = Some(body.node(inner.node).order);
                let place = Place { order, ..Place::end(self.value_name(*value)) };
                let node = body.add(place, Op::Captured, &[], smallvec![self.fact(*value).clone()]);
                body.captures.push(node);
                body.replace(*inner, Value { node, result: 0 });
                own.push(Some(*value));
            }
            kept.extend(body.settle_captures(&own));
            body.sweep();
        }
        self.put_in_place(id, op, &kept);
    }

    /// Gives a node other operands. The facts of its results must stay valid, or be [set](Graph::set_fact). Returns the
    /// node that takes its place.
    pub fn set_operands(&mut self, id: NodeId, operands: &[Option<Value>]) -> NodeId {
        let op = std::mem::replace(&mut self.dag[id.0].op, Op::Identity.into());
        self.put_in_place(id, op, operands)
    }

    /// Makes an output another value, under the same name.
    pub fn set_output(&mut self, at: usize, value: Value) {
        let value = self.resolve(value);
        let Some(old) = self.outputs.set(at, value) else { return };
        self.touch();
        self.count_uses(value, 1);
        self.count_uses(old, -1);
        self.mark_dead(old.node);
    }

    /// Renames an output; no other output may have the name.
    pub fn rename_output(&mut self, at: usize, name: &str) {
        if let Some(output) = self.outputs.get_mut(at) {
            output.name = name.into();
        }
    }

    /// Replaces the default of an input that has one.
    pub fn set_default(&mut self, input: Value, tensor: Tensor) {
        if let Some(default) = self.defaults.get_mut(&input.node) {
            *default = tensor;
        }
    }

    /// Replaces a node with one that has other operands: edges are not removed one by one.
    fn put_in_place(&mut self, id: NodeId, op: StoredOp, operands: &[Option<Value>]) -> NodeId {
        let node = self.node(id);
        let names = node.results.iter().map(|result| result.name.clone()).collect();
        let place = Place { label: node.label.clone(), results: names, order: Some(node.order) };
        let facts = node.results.iter().map(|result| result.fact.clone()).collect();
        let new = self.add(place, op, operands, facts);
        for (old, new) in self.results(id).zip(self.results(new)) {
            self.result_mut(new).omitted = self.result(old).omitted;
            self.replace(old, new);
        }
        self.mark_node_stale(new);
        new
    }

    /// Gives each capture the name of its operand in the graph around, which is what a file keeps of it, and lets the
    /// first of several captures of one value stand for the others.
    fn unify_captures(&mut self, around: &Graph, operands: &[Option<Value>]) {
        let captures: Vec<Value> = self.captures().collect();
        let mut first: HashMap<Value, Value> = HashMap::default();
        let mut merged = false;
        for (capture, operand) in captures.into_iter().zip(operands) {
            let Some(value) = operand else { continue };
            match first.get(value) {
                Some(first) if !self.is_output(capture) => {
                    self.replace(capture, *first);
                    merged = true;
                }
                Some(_) => {}
                None => {
                    first.insert(*value, capture);
                    self.rename(capture, around.value_name(*value));
                }
            }
        }
        if merged {
            self.sweep();
        }
    }

    /// Drops the captures that nothing reads, and puts the others in the order of their first use, which is what a file
    /// keeps of it. `operands` are the operands for all captures; returns those for the remaining ones.
    fn settle_captures(&mut self, operands: &[Option<Value>]) -> Vec<Option<Value>> {
        let mut given: HashMap<NodeId, Option<Value>> =
            self.captures.iter().copied().zip(operands.iter().copied()).collect();
        let reads = self.schedule().into_iter().flat_map(|id| self.operands(id)).flatten();
        let reads = reads.chain(self.outputs.iter().map(|output| output.value));
        let (read, kept): (Vec<NodeId>, Vec<Option<Value>>) =
            reads.filter_map(|value| Some((value.node, given.remove(&value.node)?))).unzip();
        if read.len() < self.captures.len() {
            self.touch();
            self.captures = read;
            self.sweep();
        } else {
            self.captures = read;
        }
        kept
    }

    /// Inserts the nodes of another graph beside a node of this one. `operands` replace its inputs and captures, in
    /// that order. Returns the values of its outputs.
    pub fn splice(&mut self, beside: NodeId, body: &Graph, operands: &[Option<Value>]) -> Vec<Option<Value>> {
        let mut values: HashMap<Value, Value> = HashMap::default();
        for (inner, outer) in body.inputs().chain(body.captures()).zip(operands) {
            values.extend(outer.map(|outer| (inner, outer)));
        }
        let order = self.node(beside).order;
        for id in body.schedule() {
            let node = body.node(id);
            if matches!(*node.op, Op::Input | Op::Captured) {
                continue;
            }
            let operands = body.operands(id).into_iter();
            let operands: SmallVec<[Option<Value>; 4]> =
                operands.map(|operand| operand.and_then(|value| values.get(&value).copied())).collect();
            let names = node.results.iter().map(|result| result.name.clone()).collect();
            let place = Place { label: node.label.clone(), results: names, order: Some(order) };
            let facts = node.results.iter().map(|result| result.fact.clone()).collect();
            let new = self.add(place, node.op.clone(), &operands, facts);
            self.dag[new.0].notes.clone_from(&node.notes);
            values.extend(body.results(id).zip(self.results(new)));
        }
        body.outputs.iter().map(|output| values.get(&output.value).copied()).collect()
    }

    /// Renames a value; a name that is taken gets a numeric suffix.
    pub fn rename(&mut self, value: Value, name: &str) {
        let value = self.resolve(value);
        let old = self.value_name(value).clone();
        if *old != *name {
            self.names.taken.remove(&old);
            let fresh = self.names.fresh(&name.into());
            self.result_mut(value).name = fresh;
        }
    }

    /// Returns a mark of the current state for [`Graph::undo_to`] and [`Graph::window`].
    pub fn mark(&self) -> Mark {
        Mark { nodes: self.recent.len(), edits: self.edits.len() }
    }

    /// Discards the unused nodes inserted since the mark.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.recent.len() > mark.nodes {
            if let Some(id) = self.recent.pop() {
                self.mark_dead(id);
            }
        }
    }

    pub(crate) fn set_never_zero(&mut self, never_zero: NeverZero) {
        self.never_zero = never_zero;
    }

    pub(crate) fn bodies_mut(&mut self, id: NodeId) -> Vec<&mut Arc<Graph>> {
        self.dag[id.0].op.bodies_mut()
    }
}
