//! The graph: names, order, nodes, types.

use super::{Context, Problem, attribute, domain, not_yet, tensor};
use crate::types;
use crate::wire::{GraphProto, NodeProto, ValueInfoProto};
use crate::{forms, standard};
use netwright_ir::op::Kept;
use netwright_ir::{Attribute, Fact, Graph, Name, Op, Place, Tensor, Value, ValueType};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// Builds the graph; its nodes come in the order of the file, moved behind what they read where they are not.
pub(super) fn read(mut proto: GraphProto, context: &Context<'_>) -> Result<Graph, Problem> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let unread = [
        (!proto.sparse_initializer.is_empty(), "sparse initializers"),
        (!proto.quantization_annotation.is_empty(), "quantization annotations"),
        (given(&proto.doc_string), "doc strings of graphs"),
        (!proto.metadata_props.is_empty(), "properties of graphs"),
    ];
    not_yet("the graph", &unread)?;
    let order = order(&proto)?;
    let mut reader = Reader {
        graph: Graph::new(proto.name.take().unwrap_or_default()),
        values: HashMap::new(),
        declared: HashMap::new(),
        outputs: output_names(&proto)?,
        names: all_names(&proto),
        context,
    };
    for value in proto.value_info.iter().chain(&proto.output) {
        reader.declare(value)?;
    }
    for input in &proto.input {
        reader.input(input)?;
    }
    for initializer in proto.initializer {
        let name = initializer.name.clone().unwrap_or_default();
        let tensor = tensor::read(initializer, &name, context)?;
        let value = reader.graph.parameter(&name, tensor);
        reader.define(name, value)?;
    }
    let mut nodes: Vec<Option<NodeProto>> = proto.node.into_iter().map(Some).collect();
    for at in order {
        if let Some(node) = nodes[at].take() {
            reader.node(node)?;
        }
    }
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or_default();
        let value = reader.values.get(name).copied();
        let value = value.ok_or_else(|| Problem::Graph(format!("the output {name:?} is not computed")))?;
        reader.graph.output(name, value);
    }
    Ok(reader.graph)
}

/// A node in errors: its operator and its name, or that of its first result.
fn node_text(node: &NodeProto) -> String {
    let operator = node.op_type.as_deref().unwrap_or_default();
    let domain = domain(node.domain.as_deref());
    let dot = if domain.is_empty() { "" } else { "." };
    let named = node.name.as_deref().filter(|name| !name.is_empty());
    let name = named.or_else(|| node.output.iter().map(String::as_str).find(|name| !name.is_empty()));
    format!("node {:?} ({domain}{dot}{operator})", name.unwrap_or_default())
}

/// Every name that a value has in the file.
fn all_names(proto: &GraphProto) -> HashSet<String> {
    let nodes = proto.node.iter().flat_map(|node| &node.output);
    let inputs = proto.input.iter().filter_map(|input| input.name.as_ref());
    let initializers = proto.initializer.iter().filter_map(|initializer| initializer.name.as_ref());
    nodes.chain(inputs).chain(initializers).cloned().collect()
}

fn output_names(proto: &GraphProto) -> Result<HashSet<String>, Problem> {
    let mut names = HashSet::new();
    for output in &proto.output {
        let name = output.name.clone().unwrap_or_default();
        if names.contains(&name) {
            return Err(Problem::Graph(format!("{name:?} is the name of two outputs")));
        }
        names.insert(name);
    }
    Ok(names)
}

/// The nodes, each behind those whose results it reads, else in the order of the file.
fn order(proto: &GraphProto) -> Result<Vec<usize>, Problem> {
    let mut producers: HashMap<&str, Option<usize>> = HashMap::new();
    let sources = proto.input.iter().map(|input| (input.name.as_deref(), "input"));
    let sources = sources.chain(proto.initializer.iter().map(|tensor| (tensor.name.as_deref(), "initializer")));
    for (name, what) in sources {
        let name = name.unwrap_or_default();
        if name.is_empty() {
            return Err(Problem::Graph(format!("an {what} has no name")));
        }
        if producers.insert(name, None).is_some() {
            let twice = proto.input.iter().filter(|input| input.name.as_deref() == Some(name)).count();
            if what == "initializer" && twice == 1 {
                return Err(Problem::NotYet {
                    place: format!("initializer {name:?}"),
                    what: "initializers that are inputs too",
                });
            }
            return Err(Problem::Graph(format!("{name:?} is the name of two values")));
        }
    }
    for (at, node) in proto.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producers.insert(name, Some(at)).is_some() {
                return Err(Problem::Graph(format!("{name:?} is the name of two values")));
            }
        }
    }
    let mut waiting = vec![0usize; proto.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; proto.node.len()];
    for (at, node) in proto.node.iter().enumerate() {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            match producers.get(name.as_str()) {
                Some(Some(producer)) => {
                    readers[*producer].push(at);
                    waiting[at] += 1;
                }
                Some(None) => {}
                None => {
                    let what = format!("it reads {name:?}, which is not computed");
                    return Err(Problem::Node { node: node_text(node), what });
                }
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, left)| **left == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(proto.node.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for &reader in &readers[at] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    match proto.node.iter().zip(&waiting).find(|(_, left)| **left > 0) {
        Some((node, _)) => Err(Problem::Node { node: node_text(node), what: "it is computed from itself".to_owned() }),
        None => Ok(order),
    }
}

struct Reader<'a> {
    graph: Graph,
    values: HashMap<String, Value>,
    /// The types that the file declares.
    declared: HashMap<String, ValueType>,
    outputs: HashSet<String>,
    /// The names of the file, which no new value may have.
    names: HashSet<String>,
    context: &'a Context<'a>,
}

impl Reader<'_> {
    /// The name and type of a declaration.
    fn declaration(proto: &ValueInfoProto) -> Result<(&str, ValueType), Problem> {
        let name = proto.name.as_deref().unwrap_or_default();
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let unread = [
            (given(&proto.doc_string), "doc strings of values"),
            (!proto.metadata_props.is_empty(), "properties of values"),
        ];
        not_yet(&format!("value {name:?}"), &unread)?;
        let ty = proto.r#type.as_ref().map_or(Ok(ValueType::Unknown), types::from_wire);
        Ok((name, ty.map_err(|what| Problem::Value { name: name.to_owned(), what })?))
    }

    fn declare(&mut self, proto: &ValueInfoProto) -> Result<(), Problem> {
        let (name, ty) = Self::declaration(proto)?;
        let ty = match self.declared.get(name) {
            Some(before) => before.and(&ty).ok_or_else(|| contradiction(name, &ty, before))?,
            None => ty,
        };
        self.declared.insert(name.to_owned(), ty);
        Ok(())
    }

    fn input(&mut self, proto: &ValueInfoProto) -> Result<(), Problem> {
        let (name, ty) = Self::declaration(proto)?;
        match ty {
            ValueType::Tensor(tensor) => {
                let value = self.graph.input(name, tensor);
                self.define(name.to_owned(), value)
            }
            ValueType::Unknown => {
                Err(Problem::Value { name: name.to_owned(), what: "the type of an input must be declared".to_owned() })
            }
            _ => Err(Problem::NotYet { place: format!("input {name:?}"), what: "inputs that are no tensors" }),
        }
    }

    /// Checks a new value against its declaration, and takes over what that says beyond inference; of an output, what
    /// the caller knows by the declaration stays.
    fn define(&mut self, name: String, value: Value) -> Result<(), Problem> {
        if let Some(declared) = self.declared.get(&name) {
            let fact = self.graph.fact(value);
            let output = self.outputs.contains(&name);
            let both = if output { declared.and(&fact.ty) } else { fact.ty.and(declared) };
            let ty = both.ok_or_else(|| contradiction(&name, declared, &fact.ty))?;
            let elements = fact.elements.clone();
            self.graph.set_fact(value, Fact { ty, elements });
        }
        self.values.insert(name, value);
        Ok(())
    }

    fn node(&mut self, node: NodeProto) -> Result<(), Problem> {
        let text = node_text(&node);
        let fail = |what: String| Problem::Node { node: text.clone(), what };
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let unread = [
            (given(&node.doc_string), "doc strings of nodes"),
            (!node.metadata_props.is_empty(), "properties of nodes"),
            (!node.device_configurations.is_empty(), "device configurations"),
        ];
        not_yet(&text, &unread)?;
        let domain = domain(node.domain.as_deref());
        if !self.context.opsets.contains_key(domain) {
            return Err(fail(format!("the model imports no operator set {domain:?}")));
        }
        if !given(&node.op_type) {
            return Err(fail("it has no operator".to_owned()));
        }
        let mut operands = vec![];
        for name in &node.input {
            // `order` saw to it that every name is one of a value before.
            operands.push(if name.is_empty() { None } else { self.values.get(name).copied() });
        }
        while operands.last() == Some(&None) {
            operands.pop();
        }
        let mut outputs = node.output;
        while outputs.last().is_some_and(String::is_empty) {
            outputs.pop();
        }
        if outputs.is_empty() {
            return Err(fail("it has no result".to_owned()));
        }
        let mut attributes = vec![];
        for proto in node.attribute {
            attributes.push(attribute::read(proto, &text, self.context)?);
        }
        let label = node.name.unwrap_or_default();
        // A name that merely repeats the result's is not the node's own.
        let label = if outputs.first() == Some(&label) { String::new() } else { label };
        let op_type = node.op_type.unwrap_or_default();
        if domain.is_empty() && op_type == "Constant" && operands.is_empty() && outputs.len() == 1 {
            let tensor = constant(attributes).map_err(fail)?;
            return self.insert(&text, label, Op::Constant(tensor), &[], outputs);
        }
        let opset = self.context.opset();
        if domain.is_empty() {
            let written = forms::Written {
                op_type: &op_type,
                opset,
                attributes: &attributes,
                operands: &operands,
                results: outputs.len(),
            };
            let base = outputs.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
            let mut name = |word: &str| fresh(&mut self.names, &format!("{base}.{word}"));
            if let Some(normal) = forms::from_opset(&mut self.graph, written, &mut name).map_err(fail)? {
                return self.insert(&text, label, normal.op, &normal.operands, outputs);
            }
        }
        if domain.is_empty() && !standard::knows(opset, &op_type) {
            return Err(fail(format!("opset {opset} of ONNX has no operator {op_type}")));
        }
        let overload = node.overload.unwrap_or_default().into();
        let kept = Kept { domain: domain.into(), op_type: op_type.into(), overload, attributes };
        self.insert(&text, label, Op::Kept(Box::new(kept)), &operands, outputs)
    }

    fn insert(
        &mut self,
        text: &str,
        label: String,
        op: Op,
        operands: &[Option<Value>],
        outputs: Vec<String>,
    ) -> Result<(), Problem> {
        // A result that nobody wants has a name here all the same.
        let base = outputs.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        let mut results: Vec<Name> = vec![];
        for (at, name) in outputs.iter().enumerate() {
            results.push(if name.is_empty() {
                fresh(&mut self.names, &format!("{base}.{at}"))
            } else {
                name.as_str().into()
            });
        }
        let place = Place { label: label.into(), results: results.into(), order: None };
        let id = self.graph.insert(place, op, operands).map_err(|error| {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            Problem::Node { node: text.to_owned(), what: format!("{error}{help}") }
        })?;
        let values: Vec<Value> = self.graph.results(id).collect();
        for (name, value) in outputs.into_iter().zip(values) {
            if !name.is_empty() {
                self.define(name, value)?;
            }
        }
        Ok(())
    }
}

/// A name that no value of the file has.
fn fresh(names: &mut HashSet<String>, base: &str) -> Arc<str> {
    let mut name = base.to_owned();
    let mut number = 0;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{base}.{number}");
    }
    name.into()
}

fn contradiction(name: &str, declared: &ValueType, inferred: &ValueType) -> Problem {
    Problem::Value { name: name.to_owned(), what: format!("it is declared {declared}, but is {inferred}") }
}

/// The tensor of a `Constant` node, in any of its forms.
fn constant(mut attributes: Vec<(Arc<str>, Attribute)>) -> Result<Tensor, String> {
    let (Some((name, value)), true) = (attributes.pop(), attributes.is_empty()) else {
        return Err("a Constant has one attribute, its value".to_owned());
    };
    let tensor = match (&*name, value) {
        ("value", Attribute::Tensor(tensor)) => Ok(tensor),
        ("value_int", Attribute::Int(value)) => Ok(Tensor::index(value)),
        ("value_ints", Attribute::Ints(values)) => Ok(Tensor::indices(&values)),
        ("value_float", Attribute::Float(value)) => Ok(Tensor::scalar(value)),
        ("value_floats", Attribute::Floats(values)) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor::from_bytes(netwright_ir::ElementType::F32, &[values.len() as u64], bytes)
        }
        ("value_string", Attribute::Text(text)) => Tensor::from_strings(&[], vec![text]),
        ("value_strings", Attribute::Texts(texts)) => Tensor::from_strings(&[texts.len() as u64], texts),
        (name, value) => return Err(format!("a Constant's {name:?} cannot be {}", value.class())),
    };
    tensor.map_err(|error| error.to_string())
}
