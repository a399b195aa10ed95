//! Reading of graphs: inputs, initializers, nodes, types.

use super::{Context, ReadProblem, domain, names, notes};
use crate::consume::Consumed;
use crate::types;
use crate::wire::{AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto};
use netwright_ir::{
    Conventions, Fact, Graph, HashMap, HashSet, Name, Notes, OpKind, QuantizationAnnotation, Value, ValueType,
};
use std::collections::BTreeMap;

mod bodies;
mod nodes;
mod sources;

pub(super) use nodes::NodeNames;

/// The context in which the nodes of a graph are read.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The versions of the operator sets.
    pub(super) opsets: &'a BTreeMap<String, i64>,
    /// Whether all operators are opaque: those of functions and of training steps, whose operands have no types yet,
    /// and those of an opset that is not supported.
    pub(super) keep: bool,
    /// The attributes of the call that is being inlined, by name.
    pub(super) given: Option<&'a HashMap<String, AttributeProto>>,
    /// The nesting of calls.
    pub(super) calls: u32,
    /// The nesting of bodies.
    pub(super) bodies: u32,
}

/// The surroundings of a graph in a file.
#[derive(Default)]
pub(super) struct Surroundings {
    /// The values that a body captures: their names and facts.
    pub(super) captured: Vec<(String, Fact)>,
    /// The facts of the inputs of a body, from the operands of its node.
    pub(super) inputs: Vec<Fact>,
    /// Whether it is a body, whose inputs need no types.
    pub(super) body: bool,
}

/// Reads a graph; its nodes keep the order of the file, but follow the nodes that they read.
pub(super) fn read<'a>(
    mut proto: GraphProto,
    around: Surroundings,
    context: &'a Context<'a>,
    scope: Scope<'a>,
) -> Result<Graph, ReadProblem> {
    drop_unnamed(&mut proto, context)?;
    drop_replaced(&mut proto, context)?;
    drop_unread_masks(&mut proto, scope);
    {
        let optional: HashSet<&str> = proto.input.iter().filter_map(|input| input.name.as_deref()).collect();
        let captured = around.captured.iter().map(|(name, _)| name.as_str());
        let sources = proto.input.iter().map(|input| input.name.as_deref().unwrap_or_default());
        let tensors = proto.initializer.iter().map(|tensor| tensor.name.as_deref().unwrap_or_default());
        // An initializer that is an input too is its default.
        let tensors = tensors.filter(|name| !optional.contains(name));
        let sparse = proto.sparse_initializer.iter();
        let sparse = sparse.map(|tensor| tensor.values.as_ref().and_then(|v| v.name.as_deref()).unwrap_or_default());
        let sources: Vec<&str> = captured.chain(sources).chain(tensors).chain(sparse).collect();
        if sources.iter().any(|name| name.is_empty()) {
            return Err(ReadProblem::Graph("an input or an initializer has no name".to_owned()));
        }
        let order = names::order(&proto.node, sources)?;
        names::sort(&mut proto.node, order);
    }
    check_output_names(&proto, around.body, context)?;
    let names_nodes = proto.node.iter().all(|node| node.name.as_deref().is_some_and(|name| !name.is_empty()));
    let graph = Graph::new(proto.name.take().unwrap_or_default());
    let is_body = around.body;
    let mut reader = Reader {
        graph,
        values: HashMap::default(),
        declared: HashMap::default(),
        names: names::defined(&proto).map(Name::from).collect(),
        prefix: None,
        renamed: HashMap::default(),
        context,
        scope,
    };
    reader.sources(&mut proto, around)?;
    for node in Consumed::new(std::mem::take(&mut proto.node)) {
        reader.node(node)?;
    }
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or_default();
        let value = reader.values.get(name).copied().flatten();
        let value = value.ok_or_else(|| ReadProblem::Graph(format!("the output {name:?} is not computed")))?;
        let known = &reader.graph.fact(value).ty;
        match reader.declared.get(name).map(|declared| declared.ty.clone()).filter(|ty| *ty != ValueType::Unknown) {
            Some(ty) if !known.contradicts(&ty) => reader.graph.declared_output(name, value, ty),
            // Different sizes were reported at the value's node; but callers rely on the rank.
            Some(ty) if !is_body && !is_of_rank_of(known, &ty) => return Err(contradiction(name, None, &ty, known)),
            _ => reader.graph.output(name, value),
        }
    }
    reader.describe(&mut proto)?;
    let types_values = reader.types_values();
    let mut graph = reader.graph;
    graph.set_conventions(Conventions { names_nodes, types_values });
    Ok(graph)
}

/// Checks that the outputs have different names. ONNX Runtime returns one of the model that is listed twice as two
/// outputs; two of a body are an error.
fn check_output_names(proto: &GraphProto, is_body: bool, context: &Context<'_>) -> Result<(), ReadProblem> {
    let mut names = HashSet::default();
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            let problem = ReadProblem::Graph(format!("{name:?} is the name of two outputs"));
            if is_body {
                return Err(problem);
            }
            context.warn(problem)?;
        }
    }
    Ok(())
}

/// Drops the initializers that have a type and no name: nothing can read them, and ONNX Runtime runs such models.
fn drop_unnamed(proto: &mut GraphProto, context: &Context<'_>) -> Result<(), ReadProblem> {
    let is_kept = |tensor: &TensorProto| {
        tensor.name.as_deref().is_some_and(|name| !name.is_empty()) || tensor.data_type.unwrap_or_default() == 0
    };
    let count = |proto: &GraphProto| proto.initializer.len() + proto.sparse_initializer.len();
    let before = count(proto);
    proto.initializer.retain(|tensor| is_kept(tensor));
    proto.sparse_initializer.retain(|tensor| tensor.values.as_ref().is_none_or(is_kept));
    match before - count(proto) {
        0 => Ok(()),
        1 => context.warn(ReadProblem::Graph("an initializer has no name and is dropped".to_owned())),
        many => context.warn(ReadProblem::Graph(format!("{many} initializers have no name and are dropped"))),
    }
}

/// Drops the initializers that another one of the same name and type follows: ONNX Runtime takes the last.
fn drop_replaced(proto: &mut GraphProto, context: &Context<'_>) -> Result<(), ReadProblem> {
    let key = |tensor: &TensorProto| (tensor.name.clone(), tensor.data_type, tensor.dims.clone());
    let last: HashMap<_, usize> = proto.initializer.iter().enumerate().map(|(at, tensor)| (key(tensor), at)).collect();
    if last.len() == proto.initializer.len() {
        return Ok(());
    }
    let mut kept = vec![];
    for (at, tensor) in std::mem::take(&mut proto.initializer).into_iter().enumerate() {
        if last.get(&key(&tensor)) == Some(&at) {
            kept.push(tensor);
        } else {
            let name = tensor.name.unwrap_or_default();
            context.warn(ReadProblem::Graph(format!("{name:?} is the name of two initializers; the last is read")))?;
        }
    }
    proto.initializer = kept;
    Ok(())
}

/// Drops the masks of Dropout that nothing reads: those of older versions have another type or unspecified elements, so no
/// newer version can express them.
fn drop_unread_masks(proto: &mut GraphProto, scope: Scope<'_>) {
    let is_older = scope.opsets.get("").is_some_and(|opset| *opset < 12);
    let has_mask = |node: &NodeProto| {
        let is_dropout = node.op_type.as_deref() == Some("Dropout") && domain(node.domain.as_deref()).is_empty();
        is_dropout && node.output.len() == 2 && !node.output[0].is_empty()
    };
    if scope.keep || !is_older || !proto.node.iter().any(has_mask) {
        return;
    }
    let read: HashSet<String> = names::read(proto).map(str::to_owned).collect();
    for node in proto.node.iter_mut().filter(|node| has_mask(node)) {
        if !read.contains(&node.output[1]) {
            node.output.truncate(1);
        }
    }
}

/// Whether two tensor types may have the same rank.
fn is_of_rank_of(a: &ValueType, b: &ValueType) -> bool {
    let rank = |ty: &ValueType| match ty {
        ValueType::Tensor(tensor) | ValueType::SparseTensor(tensor) => tensor.shape.as_ref().map(|shape| shape.len()),
        _ => None,
    };
    rank(a).zip(rank(b)).is_none_or(|(a, b)| a == b)
}

/// The type and metadata that a file declares for a value.
struct Declared {
    ty: ValueType,
    notes: Notes,
}

pub(super) struct Reader<'a> {
    pub(super) graph: Graph,
    /// The values by their names in the file; `None` for an absent operand of a call.
    pub(super) values: HashMap<Name, Option<Value>>,
    declared: HashMap<String, Declared>,
    /// The names in the file, which no new value may have.
    names: HashSet<Name>,
    /// The prefix of names in the function that is being inlined.
    pub(super) prefix: Option<String>,
    /// The names in the caller of the results of the function that is being inlined.
    pub(super) renamed: HashMap<String, Name>,
    pub(super) context: &'a Context<'a>,
    pub(super) scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    /// Creates a reader that inlines calls into a temporary graph.
    pub(super) fn scratch(context: &'a Context<'a>, scope: Scope<'a>) -> Self {
        Self {
            graph: Graph::new(""),
            values: HashMap::default(),
            declared: HashMap::default(),
            names: HashSet::default(),
            prefix: None,
            renamed: HashMap::default(),
            context,
            scope,
        }
    }

    /// Creates a reader of the nodes of a function that continues the graph of its caller, until it
    /// [leaves](Reader::leave).
    pub(super) fn within<'b>(caller: &mut Reader<'b>, scope: Scope<'a>) -> Self
    where
        'b: 'a,
    {
        let mut inner = Self::scratch(caller.context, scope);
        std::mem::swap(&mut inner.graph, &mut caller.graph);
        std::mem::swap(&mut inner.names, &mut caller.names);
        inner
    }

    /// Gives the graph back to the caller and returns the values by the function's names.
    pub(super) fn leave(mut self, caller: &mut Reader<'_>) -> HashMap<Name, Option<Value>> {
        std::mem::swap(&mut self.graph, &mut caller.graph);
        std::mem::swap(&mut self.names, &mut caller.names);
        self.values
    }

    /// Whether the file declares inner values, and all whose types are known. Values that reading adds, such as axes that
    /// older opsets have as an attribute, have no name in the file. A size that is unknown now may turn out to be one that
    /// cannot be declared.
    fn types_values(&self) -> bool {
        let graph = &self.graph;
        let is_inner = |value: &Value| {
            let kind = graph.node(value.node).op().kind();
            (kind == OpKind::Constant || !kind.is_source()) && !graph.is_output(*value)
        };
        let values = self.values.values().flatten().copied().filter(is_inner);
        let mut known = values.filter(|value| types::is_declared_by_default(&graph.fact(*value).ty)).peekable();
        known.peek().is_some() && known.all(|value| graph.declared(value).is_some())
    }

    /// Reads the graph's metadata.
    fn describe(&mut self, proto: &mut GraphProto) -> Result<(), ReadProblem> {
        let entries = std::mem::take(&mut proto.metadata_props);
        self.graph.set_notes(notes::described("the graph", proto.doc_string.take(), entries)?);
        let text = |text: Option<String>| text.unwrap_or_default();
        let pair = |entry: StringStringEntryProto| (text(entry.key), text(entry.value));
        let annotations =
            std::mem::take(&mut proto.quantization_annotation).into_iter().map(|annotation| QuantizationAnnotation {
                tensor: text(annotation.tensor_name),
                parameters: annotation.quant_parameter_tensor_names.into_iter().map(pair).collect(),
            });
        self.graph.set_annotations(annotations.collect());
        Ok(())
    }

    /// Returns the name in the graph of a value with this name in the file; an inlined function has its own names.
    pub(super) fn graph_name(&mut self, name: &str) -> Name {
        match (&self.prefix, self.renamed.get(name)) {
            (None, _) => self.names.get(name).cloned().unwrap_or_else(|| name.into()),
            (Some(_), Some(renamed)) => renamed.clone(),
            (Some(prefix), None) => fresh(&mut self.names, &format!("{prefix}.{name}")),
        }
    }
}

/// Returns a name that no value of the file has.
fn fresh(names: &mut HashSet<Name>, base: &str) -> Name {
    let mut name = Name::from(base);
    let mut number = 0;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{base}.{number}").into();
    }
    name
}

/// Returns the problem of a value whose declared type contradicts the inferred one, with the node that computes it, if
/// any.
fn contradiction(name: &str, node: Option<&str>, declared: &ValueType, known: &ValueType) -> ReadProblem {
    let what = format!("is declared {declared}, but inferred as {known}");
    match node {
        Some(node) => ReadProblem::Node { node: node.to_owned(), what: format!("its result {name:?} {what}") },
        None => ReadProblem::Value { name: name.to_owned(), what: format!("it {what}") },
    }
}
