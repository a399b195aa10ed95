//! Assignment of names to values in a file.

use super::super::WriteError;
use netwright_ir::{Graph, HashMap, HashSet, NodeId, Op, Value};
use std::sync::Arc;

/// The names of the values of a graph; for a body the names of the graphs around it are taken.
pub(super) struct ValueNames<'p> {
    graph: &'p Graph,
    around: Option<&'p ValueNames<'p>>,
    /// The names of inputs and outputs, and of values whose name in the IR was taken; others keep theirs.
    of: HashMap<Value, Arc<str>>,
    taken: HashSet<Arc<str>>,
    /// The names, around the body, of its captured values.
    captured: HashSet<Arc<str>>,
    /// The names in bodies, which no new value may have.
    inner: HashSet<Arc<str>>,
    /// The names of outputs of bodies that keep them, which no value may have that can get another name.
    kept: HashSet<Arc<str>>,
    pub(super) outputs: HashSet<Arc<str>>,
    /// The names of the outputs in order.
    pub(super) results: Vec<Arc<str>>,
    /// The outputs that need an `Identity`, as their value has another name.
    pub(super) copies: Vec<(Value, Arc<str>)>,
}

impl<'p> ValueNames<'p> {
    fn new(graph: &'p Graph, around: Option<&'p ValueNames<'p>>) -> Self {
        Self {
            graph,
            around,
            of: HashMap::default(),
            taken: HashSet::default(),
            captured: HashSet::default(),
            inner: HashSet::default(),
            kept: HashSet::default(),
            outputs: HashSet::default(),
            results: vec![],
            copies: vec![],
        }
    }

    /// Assigns names in a graph: inputs and outputs have their interface names; other values keep theirs unless they
    /// are taken.
    pub(super) fn of(graph: &'p Graph, schedule: &[NodeId]) -> Result<Self, WriteError> {
        let mut names = ValueNames::new(graph, None);
        names.reserve_outputs(schedule);
        for input in graph.inputs() {
            let name = graph.value_name(input);
            if names.kept.contains(name) {
                return Err(WriteError::Duplicate { name: name.to_string() });
            }
            names.claim(input, name)?;
        }
        // Captures of functions and training steps are values of the model's graph, under their names there.
        for capture in graph.captures() {
            names.claim(capture, graph.value_name(capture))?;
        }
        for (at, output) in graph.outputs().iter().enumerate() {
            if output.name.is_empty() {
                return Err(WriteError::Unnamed { at });
            }
            if let Some(other) = graph.outputs()[..at].iter().find(|other| other.name == output.name) {
                if other.value != output.value {
                    return Err(WriteError::Duplicate { name: output.name.to_string() });
                }
                names.results.push(output.name.clone());
                continue;
            }
            names.output(output.value, output.name.clone())?;
        }
        names.rest(schedule);
        Ok(names)
    }

    /// Assigns names in the body of a node; `captured` are the names, around the body, of what it captures.
    ///
    /// Its inputs keep their names, which hide those of values around the body that it does not capture. A result may
    /// hide none, except the results of the node itself: ONNX requires different names. Its outputs get other names
    /// then, unless the operator [finds them by name](finds_outputs_by_name).
    pub(super) fn of_body(
        graph: &'p Graph,
        schedule: &[NodeId],
        captured: &[Arc<str>],
        around: &'p ValueNames<'p>,
        node: NodeId,
    ) -> Result<Self, WriteError> {
        let mut names = ValueNames::new(graph, Some(around));
        names.reserve_outputs(schedule);
        names.of.extend(graph.captures().zip(captured.iter().cloned()));
        names.captured = captured.iter().cloned().collect();
        let keeps = finds_outputs_by_name(around.graph.node(node).op());
        let own: Vec<Arc<str>> = around.graph.results(node).map(|value| around.name(value)).collect();
        for input in graph.inputs() {
            let name = names.interface(graph.value_name(input));
            names.taken.insert(name.clone());
            names.of.insert(input, name);
        }
        for output in graph.outputs() {
            let keeps_name = *graph.value_name(output.value) == output.name;
            let name = match graph.op(output.value) {
                Op::Input if keeps_name => names.name(output.value),
                Op::Parameter(_) | Op::SparseParameter(_) if keeps_name => names.interface(&output.name),
                _ if keeps => names.interface(&output.name),
                _ => Self::unused(&output.name, |name| {
                    let hides = || around.is_taken(name) && !own.iter().any(|own| **own == *name);
                    names.taken.contains(name) || names.captured.contains(name) || hides()
                }),
            };
            names.output(output.value, name)?;
        }
        names.rest(schedule);
        Ok(names)
    }

    /// Assigns the name of an output, which its value gets unless something else decides that.
    fn output(&mut self, value: Value, name: Arc<str>) -> Result<(), WriteError> {
        let graph = self.graph;
        let own = self.of.get(&value).unwrap_or(graph.value_name(value)) == &name;
        match graph.op(value) {
            // Inputs and weights keep the names that the caller knows.
            Op::Input | Op::Captured if own => {}
            Op::Parameter(_) | Op::SparseParameter(_) if own && !self.of.contains_key(&value) => {
                self.claim(value, &name)?;
            }
            Op::Input | Op::Captured | Op::Parameter(_) | Op::SparseParameter(_) => self.copy(value, &name)?,
            _ if self.of.contains_key(&value) => self.copy(value, &name)?,
            _ => self.claim(value, &name)?,
        }
        self.outputs.insert(name.clone());
        self.results.push(name);
        Ok(())
    }

    fn rest(&mut self, schedule: &[NodeId]) {
        for value in schedule.iter().flat_map(|&id| self.graph.results(id)) {
            if !self.of.contains_key(&value) {
                let own = self.graph.value_name(value);
                let name = self.own(own);
                if name != *own {
                    self.of.insert(value, name);
                }
            }
        }
    }

    fn take(&mut self, name: &Arc<str>) -> Result<(), WriteError> {
        if self.taken.insert(name.clone()) { Ok(()) } else { Err(WriteError::Duplicate { name: name.to_string() }) }
    }

    fn claim(&mut self, value: Value, name: &Arc<str>) -> Result<(), WriteError> {
        self.take(name)?;
        self.of.insert(value, name.clone());
        Ok(())
    }

    fn copy(&mut self, value: Value, name: &Arc<str>) -> Result<(), WriteError> {
        self.take(name)?;
        self.copies.push((value, name.clone()));
        Ok(())
    }

    fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name) || self.around.is_some_and(|around| around.is_taken(name))
    }

    fn is_inner(&self, name: &str) -> bool {
        self.inner.contains(name) || self.around.is_some_and(|around| around.is_inner(name))
    }

    /// Returns the base, or the base with a numeric suffix that is unused.
    fn unused(base: &Arc<str>, used: impl Fn(&str) -> bool) -> Arc<str> {
        let base = if base.is_empty() { "value".into() } else { base.clone() };
        let mut name = base.clone();
        let mut number = 0;
        while used(&name) {
            number += 1;
            name = format!("{base}.{number}").into();
        }
        name
    }

    /// Returns a name for a value with this name in the IR; bodies beside one another may share names.
    fn own(&mut self, base: &Arc<str>) -> Arc<str> {
        let name = Self::unused(base, |name| self.is_taken(name) || self.kept.contains(name));
        self.taken.insert(name.clone());
        name
    }

    /// Returns a name for an input or an output of a body, still to be taken.
    fn interface(&self, base: &Arc<str>) -> Arc<str> {
        Self::unused(base, |name| self.taken.contains(name) || self.captured.contains(name))
    }

    /// Returns a name for a new value.
    pub(super) fn fresh(&mut self, base: &Arc<str>) -> Arc<str> {
        let name = Self::unused(base, |name| self.is_taken(name) || self.is_inner(name) || self.kept.contains(name));
        self.taken.insert(name.clone());
        name
    }

    /// Returns the name of a node whose first result has this one: the same, or one that no value has if it is that of
    /// another node.
    pub(super) fn of_node(&mut self, first: &str, is_of_another: impl Fn(&str) -> bool) -> Arc<str> {
        let name = Self::unused(&first.into(), |name| is_of_another(name) || name != first && self.is_taken(name));
        self.taken.insert(name.clone());
        name
    }

    pub(super) fn name(&self, value: Value) -> Arc<str> {
        self.of.get(&value).unwrap_or_else(|| self.graph.value_name(value)).clone()
    }

    /// Returns all names of this graph and of its bodies.
    pub(super) fn into_all(self) -> impl Iterator<Item = Arc<str>> {
        self.taken.into_iter().chain(self.inner)
    }

    /// Reserves the names of outputs of bodies that [are found by them](finds_outputs_by_name).
    fn reserve_outputs(&mut self, schedule: &[NodeId]) {
        let graph = self.graph;
        let mut pending: Vec<&Op> = schedule.iter().map(|&id| graph.node(id).op()).collect();
        while let Some(op) = pending.pop() {
            for body in op.bodies() {
                if finds_outputs_by_name(op) {
                    self.kept.extend(body.outputs().iter().map(|output| output.name.clone()));
                }
                pending.extend(body.schedule().into_iter().map(|id| body.node(id).op()));
            }
        }
    }

    /// Reserves names of a body, so that no new value has them.
    pub(super) fn reserve(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        self.inner.extend(names);
    }
}

/// Whether an operator finds the outputs of its bodies by name, as BeamSearch of ONNX Runtime does.
fn finds_outputs_by_name(op: &Op) -> bool {
    matches!(op, Op::Opaque(opaque) if !opaque.domain.is_empty())
}
