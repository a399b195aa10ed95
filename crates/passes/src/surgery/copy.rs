//! Copies nodes from one graph into another, with their names, types and metadata.

use netwright_ir::{Conventions, Fact, Graph, HashMap, InferError, Inferred, Name, NodeId, Place, Value, ValueType};
use smallvec::SmallVec;

/// Which facts the results of a copied node have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Facts {
    /// Those of the original: the operands are the same.
    Kept,
    /// Inferred from the operands, which may be others.
    Inferred,
}

/// Copies nodes of a graph into another one.
pub(super) struct Copier<'f> {
    from: &'f Graph,
    /// The values of the copy by the values that they stand for.
    pub(super) values: HashMap<Value, Value>,
}

impl<'f> Copier<'f> {
    pub(super) fn new(from: &'f Graph) -> Self {
        Self { from, values: HashMap::default() }
    }

    /// Returns an empty graph with the name, the conventions and the metadata of the original.
    pub(super) fn empty(&self) -> Graph {
        let mut graph = Graph::new(self.from.name());
        graph.set_conventions(self.from.conventions());
        graph.set_notes(self.from.notes().clone());
        graph
    }

    /// Copies an input with its default.
    pub(super) fn input(&mut self, to: &mut Graph, value: Value) -> Value {
        let (name, fact) = (self.from.value_name(value), self.from.fact(value));
        let copied = match self.from.default_of(value) {
            Some(tensor) => to.input_with_default(name, tensor.clone()),
            None => to.input(name, fact.ty.clone()),
        };
        to.set_fact(copied, fact.clone());
        self.stand_for(to, value, copied);
        copied
    }

    /// Adds an input that stands for a computed value or a weight.
    pub(super) fn cut(&mut self, to: &mut Graph, value: Value, name: &str, ty: ValueType) {
        let input = to.input(name, ty);
        if let Some(notes) = self.from.value_notes(value) {
            to.set_value_notes(input, notes.clone());
        }
        self.values.insert(value, input);
    }

    /// Copies a node whose operands are copied; results that stand for something else already keep that.
    ///
    /// # Errors
    /// If the facts are inferred, and the operator is not defined on the operands.
    pub(super) fn node(&mut self, to: &mut Graph, id: NodeId, facts: Facts) -> Result<NodeId, InferError> {
        let (from, node) = (self.from, self.from.node(id));
        let operands = from.operands(id).into_iter();
        let operands: SmallVec<[Option<Value>; 4]> =
            operands.map(|operand| operand.and_then(|value| self.values.get(&value).copied())).collect();
        let results: SmallVec<[Name; 1]> = from.results(id).map(|value| from.value_name(value).clone()).collect();
        let own: Vec<Fact> = from.results(id).map(|value| from.fact(value).clone()).collect();
        let facts = if facts == Facts::Kept || operands.is_empty() {
            own.into()
        } else {
            let inferred = to.infer(node.op(), &operands, results.len())?.facts;
            // As when a file is read: runtimes check the element types that it declares.
            let checked = from.results(id).zip(inferred).map(|(value, fact)| {
                let declared = from.declared(value).map(ValueType::without_shapes);
                let ty = declared.and_then(|declared| fact.ty.and(&declared)).unwrap_or_else(|| fact.ty.clone());
                Fact { ty, ..fact }
            });
            checked.collect()
        };
        // In a graph where every node has a name, an empty label stands for the name of the first result.
        let names_nodes = |graph: &Graph| graph.conventions().names_nodes;
        let label = match results.first() {
            Some(first) if node.label().is_empty() && names_nodes(from) && !names_nodes(to) => first.clone(),
            _ => node.label().into(),
        };
        let place = Place { label, results, order: None };
        let copied = to.insert_inferred(place, node.op().clone(), &operands, Inferred { facts, assumed: vec![] });
        if let Some(notes) = node.notes() {
            to.set_node_notes(copied, notes.clone());
        }
        let pairs: Vec<(Value, Value)> = from.results(id).zip(to.results(copied)).collect();
        for (value, copied) in pairs {
            if from.is_omitted(value) {
                to.omit(copied);
            }
            if !self.values.contains_key(&value) {
                self.stand_for(to, value, copied);
            }
        }
        Ok(copied)
    }

    /// Copies what a file says of a value, and records its copy.
    fn stand_for(&mut self, to: &mut Graph, value: Value, copied: Value) {
        if let Some(notes) = self.from.value_notes(value) {
            to.set_value_notes(copied, notes.clone());
        }
        if let Some(declared) = self.from.declared(value) {
            to.declare(copied, declared.clone());
        }
        self.values.insert(value, copied);
    }
}

/// Copies the quantization annotations of the tensors that a graph has.
pub(super) fn copy_annotations(from: &Graph, to: &mut Graph) {
    if from.annotations().is_empty() {
        return;
    }
    let names: netwright_ir::HashSet<Name> =
        to.schedule().into_iter().flat_map(|id| to.results(id)).map(|value| to.value_name(value).clone()).collect();
    let kept = from.annotations().iter().filter(|annotation| names.contains(annotation.tensor.as_str()));
    let kept = to.annotations().iter().chain(kept).cloned().collect();
    to.set_annotations(kept);
}

/// Returns the conventions of a graph that consists of parts.
pub(super) fn common_conventions<'g>(parts: impl IntoIterator<Item = &'g Graph>) -> Conventions {
    let both = |a: Conventions, b: Conventions| Conventions {
        names_nodes: a.names_nodes && b.names_nodes,
        types_values: a.types_values && b.types_values,
    };
    parts.into_iter().map(Graph::conventions).reduce(both).unwrap_or_default()
}
