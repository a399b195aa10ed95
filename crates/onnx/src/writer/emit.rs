//! From the IR to the wire types: names, forms, types. The elements of tensors stay where they are.

use super::WriteError;
use crate::forms::{self, Form, Operand, WRITTEN_OPSETS};
use crate::types;
use crate::wire::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};
use netwright_ir::{Attribute, Data, ElementType, Graph, Model, NodeId, Op, Tensor, Value, ValueType};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The tool that writes.
pub(crate) const PRODUCER: &str = "netwright";

/// A model in wire types, but for the elements of its tensors.
#[derive(Debug)]
pub(crate) struct Emitted {
    /// All but the graph.
    pub(crate) model: ModelProto,
    /// Its tensors have no data, but for those of text.
    pub(crate) graph: GraphProto,
    /// The tensors: those in the attributes of nodes, then the initializers, in the order of the file.
    pub(crate) tensors: Vec<Tensor>,
}

/// Brings a model into the form of its opset.
pub(crate) fn emit(model: &Model) -> Result<Emitted, WriteError> {
    let opset = model.opset();
    if !WRITTEN_OPSETS.contains(&opset) {
        return Err(WriteError::Opset { opset });
    }
    let graph = &model.graph;
    let schedule = graph.schedule();
    if schedule.len() != graph.len() {
        return Err(WriteError::Cycle { scheduled: schedule.len(), nodes: graph.len() });
    }
    let names = Names::of(graph, &schedule)?;
    let forms = forms_of(model, &schedule, opset)?;
    let mut emitter = Emitter { graph, names, nodes: vec![], tensors: vec![], value_info: vec![] };
    let parameters = first_uses(graph, &schedule, &forms, &emitter.names);
    let needed = needed_constants(graph, &forms, &emitter.names);
    let mut forms = forms.into_iter();
    for &id in &schedule {
        match graph.node(id).op() {
            Op::Input | Op::Parameter(_) => {}
            Op::Constant(tensor) => {
                if needed.contains(&id) {
                    let name = emitter.names.name(Value { node: id, result: 0 });
                    emitter.constant(graph.node(id).label(), &name, tensor)?;
                }
            }
            _ => {
                let form = forms.next().map(|(_, form)| form);
                form.map_or(Ok(()), |form| emitter.node(id, form))?;
            }
        }
    }
    for (value, output) in std::mem::take(&mut emitter.names.copies) {
        emitter.nodes.push(NodeProto {
            input: vec![emitter.names.name(value).to_string()],
            output: vec![output.to_string()],
            name: Some(output.to_string()),
            op_type: Some("Identity".to_owned()),
            ..Default::default()
        });
    }
    let mut initializer = vec![];
    for value in parameters {
        if let Op::Parameter(tensor) = graph.op(value) {
            let name = emitter.names.name(value);
            initializer.push(tensor_proto(&name, Some(name.to_string()), tensor)?);
            emitter.tensors.push(tensor.clone());
        }
    }
    let Emitter { names, nodes, tensors, value_info, .. } = emitter;
    let inputs = graph.inputs().map(|value| value_info_proto(&names.name(value), &graph.fact(value).ty));
    let outputs = graph.outputs().iter().map(|output| match &graph.fact(output.value).ty {
        ValueType::Unknown => Err(WriteError::Untyped { name: output.name.to_string() }),
        ty => Ok(value_info_proto(&output.name, ty)),
    });
    let name = if graph.name().is_empty() { "graph" } else { graph.name() };
    let graph_proto = GraphProto {
        node: nodes,
        name: Some(name.to_owned()),
        initializer,
        input: inputs.collect(),
        output: outputs.collect::<Result<_, _>>()?,
        value_info,
        ..Default::default()
    };
    let elements = tensors.iter().map(Tensor::element).chain(value_elements(graph, &schedule));
    let ir_version = elements.map(forms::ir_version_of).fold(forms::ir_version(opset), i64::max);
    Ok(Emitted { model: model_proto(model, opset, ir_version), graph: graph_proto, tensors })
}

fn model_proto(model: &Model, opset: i64, ir_version: i64) -> ModelProto {
    let ours = || (PRODUCER.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let (producer, version) = model.producer.clone().unwrap_or_else(ours);
    let opsets = std::iter::once(("", opset)).chain(
        model.opsets.iter().filter(|(domain, _)| !domain.is_empty()).map(|(domain, version)| (&**domain, *version)),
    );
    let opset_import = opsets
        .map(|(domain, version)| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) })
        .collect();
    let metadata = model.metadata.iter();
    ModelProto {
        ir_version: Some(ir_version),
        opset_import,
        producer_name: Some(producer),
        producer_version: Some(version),
        doc_string: Some(model.doc.clone()).filter(|doc| !doc.is_empty()),
        metadata_props: metadata
            .map(|(key, value)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) })
            .collect(),
        ..Default::default()
    }
}

fn value_elements<'g>(graph: &'g Graph, schedule: &'g [NodeId]) -> impl Iterator<Item = ElementType> + 'g {
    schedule.iter().flat_map(|&id| graph.results(id)).filter_map(|value| graph.fact(value).element())
}

type Forms = Vec<(NodeId, Form)>;

/// The forms of all nodes but inputs and tensors.
fn forms_of(model: &Model, schedule: &[NodeId], opset: i64) -> Result<Forms, WriteError> {
    let graph = &model.graph;
    let mut forms = Vec::with_capacity(schedule.len());
    for &id in schedule {
        if matches!(graph.node(id).op(), Op::Input | Op::Parameter(_) | Op::Constant(_)) {
            continue;
        }
        let node = || graph.results(id).next().map_or_else(String::new, |value| graph.value_name(value).to_string());
        let form = forms::to_opset(graph, id, opset).map_err(|why| WriteError::Form { node: node(), why })?;
        if !form.domain.is_empty() && !model.opsets.contains_key(&*form.domain) {
            return Err(WriteError::Domain { node: node(), domain: form.domain.to_string() });
        }
        forms.push((id, form));
    }
    Ok(forms)
}

/// The values that the file reads, in the order in which it does.
fn read_values<'g>(graph: &'g Graph, forms: &'g Forms, names: &'g Names) -> impl Iterator<Item = Value> + 'g {
    let operands = forms.iter().flat_map(|(_, form)| &form.operands);
    let operands = operands.filter_map(|operand| if let Operand::Value(value) = operand { Some(*value) } else { None });
    let outputs = graph.outputs().iter().map(|output| output.value);
    operands.chain(names.copies.iter().map(|(value, _)| *value)).chain(outputs)
}

/// The parameters in the order of their first use; behind them those without one.
fn first_uses(graph: &Graph, schedule: &[NodeId], forms: &Forms, names: &Names) -> Vec<Value> {
    let all = schedule.iter().map(|&node| Value { node, result: 0 });
    let mut seen = HashSet::new();
    let used = read_values(graph, forms, names).chain(all);
    used.filter(|value| matches!(graph.op(*value), Op::Parameter(_)) && seen.insert(*value)).collect()
}

/// The constants that the file reads: not those that became attributes.
fn needed_constants(graph: &Graph, forms: &Forms, names: &Names) -> HashSet<NodeId> {
    let read = read_values(graph, forms, names).map(|value| value.node);
    read.filter(|id| matches!(graph.node(*id).op(), Op::Constant(_))).collect()
}

/// The names of values in the file.
#[derive(Default)]
struct Names {
    of: HashMap<Value, Arc<str>>,
    taken: HashSet<Arc<str>>,
    outputs: HashSet<Arc<str>>,
    /// Outputs that need an `Identity`, as their value goes by another name.
    copies: Vec<(Value, Arc<str>)>,
}

impl Names {
    /// Inputs and outputs have the names of the interface; the others keep theirs where those are not taken.
    fn of(graph: &Graph, schedule: &[NodeId]) -> Result<Self, WriteError> {
        let mut names = Names::default();
        for input in graph.inputs() {
            names.claim(input, graph.value_name(input))?;
        }
        for (at, output) in graph.outputs().iter().enumerate() {
            let value = output.value;
            let own = graph.value_name(value) == &output.name;
            if output.name.is_empty() {
                return Err(WriteError::Unnamed { at });
            }
            if !names.outputs.insert(output.name.clone()) {
                return Err(WriteError::Duplicate { name: output.name.to_string() });
            }
            match graph.op(value) {
                // The caller's names of inputs and weights stay.
                Op::Input if own => {}
                Op::Parameter(_) if own => names.claim(value, &output.name)?,
                Op::Input | Op::Parameter(_) => names.copy(value, &output.name)?,
                _ if names.of.contains_key(&value) => names.copy(value, &output.name)?,
                _ => names.claim(value, &output.name)?,
            }
        }
        for value in schedule.iter().flat_map(|&id| graph.results(id)) {
            if !names.of.contains_key(&value) {
                let name = names.fresh(graph.value_name(value));
                names.of.insert(value, name);
            }
        }
        Ok(names)
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

    /// The base, or the base with a number behind it.
    fn fresh(&mut self, base: &str) -> Arc<str> {
        let base = if base.is_empty() { "value" } else { base };
        let mut name: Arc<str> = base.into();
        let mut number = 0;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{base}.{number}").into();
        }
        name
    }

    fn name(&self, value: Value) -> Arc<str> {
        // Every value of the schedule has one.
        self.of.get(&value).cloned().unwrap_or_default()
    }
}

struct Emitter<'g> {
    graph: &'g Graph,
    names: Names,
    nodes: Vec<NodeProto>,
    tensors: Vec<Tensor>,
    value_info: Vec<ValueInfoProto>,
}

impl Emitter<'_> {
    fn node(&mut self, id: NodeId, form: Form) -> Result<(), WriteError> {
        let output: Vec<_> = self.graph.results(id).map(|value| self.names.name(value).to_string()).collect();
        let first = output.first().map_or("", |name| name.as_str()).to_owned();
        let mut input = vec![];
        for operand in form.operands {
            input.push(match operand {
                Operand::Absent => String::new(),
                Operand::Value(value) => self.names.name(value).to_string(),
                Operand::New(word, tensor) => {
                    let name = self.names.fresh(&format!("{first}.{word}"));
                    self.constant("", &name, &tensor)?;
                    name.to_string()
                }
            });
        }
        let mut attribute = vec![];
        for (key, value) in form.attributes {
            attribute.push(self.attribute(&first, &key, value)?);
        }
        for value in self.graph.results(id) {
            let name = self.names.name(value);
            self.describe(&name, &self.graph.fact(value).ty);
        }
        self.nodes.push(NodeProto {
            input,
            output,
            name: Some(self.node_name(id, first)),
            op_type: Some(form.op_type.to_string()),
            domain: Some(form.domain.to_string()).filter(|domain| !domain.is_empty()),
            overload: Some(form.overload.to_string()).filter(|overload| !overload.is_empty()),
            attribute,
            ..Default::default()
        });
        Ok(())
    }

    /// The node's own name, and that of its first result where it has none.
    fn node_name(&self, id: NodeId, first: String) -> String {
        let label = self.graph.node(id).label();
        if label.is_empty() { first } else { label.to_owned() }
    }

    fn constant(&mut self, label: &str, name: &str, tensor: &Tensor) -> Result<(), WriteError> {
        let attribute = self.attribute(name, "value", Attribute::Tensor(tensor.clone()))?;
        self.describe(name, &tensor.ty().into());
        self.nodes.push(NodeProto {
            output: vec![name.to_string()],
            name: Some(if label.is_empty() { name } else { label }.to_owned()),
            op_type: Some("Constant".to_owned()),
            attribute: vec![attribute],
            ..Default::default()
        });
        Ok(())
    }

    /// Declares the type of an inner value; those of outputs stand with them.
    fn describe(&mut self, name: &str, ty: &ValueType) {
        if *ty != ValueType::Unknown && !self.names.outputs.contains(name) {
            self.value_info.push(value_info_proto(name, ty));
        }
    }

    fn attribute(&mut self, node: &str, name: &str, value: Attribute) -> Result<AttributeProto, WriteError> {
        let mut proto = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
        let ty = match value {
            Attribute::Int(value) => {
                proto.i = Some(value);
                AttributeType::Int
            }
            Attribute::Bool(value) => {
                proto.i = Some(value.into());
                AttributeType::Int
            }
            Attribute::Element(element) => {
                proto.i = Some(element.number());
                AttributeType::Int
            }
            Attribute::Float(value) => {
                proto.f = Some(value);
                AttributeType::Float
            }
            Attribute::Text(text) => {
                proto.s = Some(text);
                AttributeType::String
            }
            Attribute::Ints(values) => {
                proto.ints = values;
                AttributeType::Ints
            }
            Attribute::Floats(values) => {
                proto.floats = values;
                AttributeType::Floats
            }
            Attribute::Texts(texts) => {
                proto.strings = texts;
                AttributeType::Strings
            }
            Attribute::Tensor(tensor) => {
                proto.t = Some(Box::new(tensor_proto(node, None, &tensor)?));
                self.tensors.push(tensor);
                AttributeType::Tensor
            }
        };
        proto.r#type = Some(ty.into());
        Ok(proto)
    }
}

fn value_info_proto(name: &str, ty: &ValueType) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), r#type: types::to_wire(ty), ..Default::default() }
}

/// The tensor without its elements, but for those of text.
fn tensor_proto(place: &str, name: Option<String>, tensor: &Tensor) -> Result<TensorProto, WriteError> {
    let dim = |&size: &u64| i64::try_from(size).map_err(|_| WriteError::Dim { name: place.to_owned(), size });
    let dims = tensor.dims().iter().map(dim).collect::<Result<_, _>>()?;
    let string_data = match tensor.data() {
        Data::Strings(strings) => strings.to_vec(),
        _ => vec![],
    };
    Ok(TensorProto { dims, data_type: Some(types::number(tensor.element())), name, string_data, ..Default::default() })
}
