//! Conversion from the IR to the wire types: names, forms, types. The elements of tensors stay where they are.

use super::WriteError;
use crate::consume::Consumed;
use crate::forms::{self, Form, Operand, WRITTEN_OPSETS};
use crate::reader::is_opaque_opset;
use crate::types;
use crate::wire::{
    AttributeType, DeviceConfigurationProto, FunctionProto, GraphProto, ModelProto, NodeDeviceConfigurationProto,
    NodeProto, OperatorSetIdProto, TensorAnnotation, TrainingInfoProto, ValueInfoProto,
};
use names::ValueNames;
use netwright_ir::{
    Attribute, Dim, Function, Graph, GraphOutput, HashSet, Model, NodeId, Notes, Op, OpKind, Tensor, TensorNotes,
    TensorType, Training, Value, ValueType,
};
use prost::Message;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tensors::{attribute, entries, given, sparse_proto, tensor_proto};

mod names;
mod tensors;

/// The name of the tool that writes the file.
pub(crate) const PRODUCER: &str = "netwright";

/// A model in wire types, without the elements of its tensors.
#[derive(Debug)]
pub(crate) struct Emitted {
    /// The model; its graph has no nodes, and its tensors have no data, except strings.
    pub(crate) model: ModelProto,
    /// The tensors in the order of the file: of each graph those in the attributes of nodes, bodies included, then the
    /// initializers; the graph first, then training steps, then functions.
    pub(crate) tensors: Vec<Tensor>,
}

/// Converts a model to the forms of its opset; `nodes` takes the nodes of its graph, in order.
pub(crate) fn emit(model: &Model, nodes: &mut dyn FnMut(NodeProto)) -> Result<Emitted, WriteError> {
    let opset = model.opset();
    if !WRITTEN_OPSETS.contains(&opset) && !is_opaque_opset(opset) {
        return Err(WriteError::Opset { opset });
    }
    let is_untyped = |it: &&GraphOutput| it.declared.is_none() && model.graph.fact(it.value).ty == ValueType::Unknown;
    if let Some(output) = model.graph.outputs().iter().find(is_untyped) {
        return Err(WriteError::Untyped { name: output.name.to_string() });
    }
    let mut file = File {
        opsets: &model.opsets,
        opset,
        early: model.early_operators,
        types_values: model.graph.conventions().types_values,
        tensors: vec![],
        ir_version: forms::ir_version(opset),
    };
    let graph = Some(file.graph(&model.graph, nodes)?);
    let training_info = model.training.iter().map(|step| file.step(step)).collect::<Result<_, _>>()?;
    let functions = model.functions.iter().map(|function| file.function(function, model)).collect::<Result<_, _>>()?;
    let ours = || (PRODUCER.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let (producer, version) = model.producer.clone().unwrap_or_else(ours);
    let mut opsets = model.opsets.clone();
    opsets.entry(String::new()).or_insert(opset);
    let configuration: Result<Vec<_>, _> =
        model.devices.iter().map(|device| DeviceConfigurationProto::decode(device.clone())).collect();
    let configuration = configuration.map_err(|_| WriteError::Devices { node: String::new() })?;
    if !configuration.is_empty() {
        file.needs(11);
    }
    let File { tensors, ir_version, .. } = file;
    let proto = ModelProto {
        ir_version: Some(ir_version),
        opset_import: imports(&opsets),
        producer_name: Some(producer),
        producer_version: Some(version),
        domain: given(&model.domain),
        model_version: Some(model.version).filter(|version| *version != 0),
        doc_string: given(&model.doc),
        graph,
        metadata_props: entries(&model.metadata),
        training_info,
        functions,
        configuration,
    };
    Ok(Emitted { model: proto, tensors })
}

fn imports(opsets: &BTreeMap<String, i64>) -> Vec<OperatorSetIdProto> {
    let import = |(domain, version): (&String, &i64)| OperatorSetIdProto {
        domain: Some(domain.clone()),
        version: Some(*version),
    };
    opsets.iter().map(import).collect()
}

/// The state shared by the parts of a file.
struct File<'m> {
    /// The versions of the operator sets.
    opsets: &'m BTreeMap<String, i64>,
    opset: i64,
    /// Whether operators may be written before their first opset; see [`Model::early_operators`].
    early: bool,
    /// Whether the types of all values of the graph, and of its bodies, are written; a body alone has too few values to show
    /// what its file does.
    types_values: bool,
    tensors: Vec<Tensor>,
    /// The IR version that everything so far requires.
    ir_version: i64,
}

impl File<'_> {
    fn needs(&mut self, ir_version: i64) {
        self.ir_version = self.ir_version.max(ir_version);
    }

    /// Emits a graph that is not a body; `nodes` takes its nodes.
    fn graph(&mut self, graph: &Graph, nodes: &mut dyn FnMut(NodeProto)) -> Result<GraphProto, WriteError> {
        let schedule = schedule(graph)?;
        let names = ValueNames::of(graph, &schedule)?;
        self.types_values = graph.conventions().types_values;
        Ok(self.emit(graph, &schedule, names, nodes)?.0)
    }

    /// Emits a graph of a function or of a training step, with its nodes.
    fn whole_graph(&mut self, graph: &Graph) -> Result<GraphProto, WriteError> {
        let mut node = vec![];
        let proto = self.graph(graph, &mut |it| node.push(it))?;
        Ok(GraphProto { node, ..proto })
    }

    fn step(&mut self, step: &Training) -> Result<TrainingInfoProto, WriteError> {
        let pairs = |pairs: &[(String, String)]| entries(pairs.iter().map(|(key, value)| (key, value)));
        Ok(TrainingInfoProto {
            initialization: step.initialization.as_ref().map(|graph| self.whole_graph(graph)).transpose()?,
            algorithm: step.algorithm.as_ref().map(|graph| self.whole_graph(graph)).transpose()?,
            initialization_binding: pairs(&step.initialization_binding),
            update_binding: pairs(&step.update_binding),
        })
    }

    fn function(&mut self, function: &Function, model: &Model) -> Result<FunctionProto, WriteError> {
        self.needs(if function.overload.is_empty() { 8 } else { 10 });
        let opset = function.opsets.get("").copied().unwrap_or(model.opset());
        let mut own = File { opsets: &function.opsets, opset, tensors: vec![], ..*self };
        let graph = own.whole_graph(&function.graph)?;
        let mut attribute_proto = vec![];
        for (name, value) in &function.defaults {
            attribute_proto.push(attribute(&function.name, name, value, None, &mut own.tensors)?);
        }
        self.tensors.append(&mut own.tensors);
        self.needs(own.ir_version);
        let names = |values: Vec<ValueInfoProto>| values.into_iter().filter_map(|value| value.name).collect();
        Ok(FunctionProto {
            name: Some(function.name.to_string()),
            input: names(graph.input),
            output: names(graph.output),
            attribute: function.attributes.iter().map(ToString::to_string).collect(),
            attribute_proto,
            node: graph.node,
            doc_string: given(&function.notes.doc),
            opset_import: imports(&function.opsets),
            domain: Some(function.domain.to_string()),
            overload: given(&function.overload),
            value_info: graph.value_info,
            metadata_props: entries(&function.notes.metadata),
        })
    }

    /// Emits a graph under these names; `nodes` takes its nodes.
    fn emit<'n>(
        &mut self,
        graph: &Graph,
        schedule: &[NodeId],
        names: ValueNames<'n>,
        nodes: &mut dyn FnMut(NodeProto),
    ) -> Result<(GraphProto, ValueNames<'n>), WriteError> {
        let forms = self.forms(graph, schedule)?;
        let parameters = first_uses(graph, schedule, &forms, &names);
        let needed = needed_constants(graph, &forms, &names);
        let taken_wrongly = taken_wrongly(graph, schedule);
        let labels = OnceCell::new();
        let mut emitter = Emitter { file: self, graph, names, labels, taken_wrongly, nodes, value_info: vec![] };
        let mut forms = Consumed::new(forms);
        for &id in schedule {
            match graph.node(id).op() {
                Op::Constant(tensor) => {
                    if needed.contains(&id) {
                        emitter.constant(Value { node: id, result: 0 }, tensor)?;
                    }
                }
                op if op.kind().is_source() => {}
                _ => {
                    let form = forms.next().map(|(_, form)| form);
                    form.map_or(Ok(()), |form| emitter.node(id, form))?;
                }
            }
        }
        for (value, output) in std::mem::take(&mut emitter.names.copies) {
            let node = NodeProto {
                input: vec![emitter.names.name(value).to_string()],
                output: vec![output.to_string()],
                name: emitter.node_name("", &output),
                op_type: Some("Identity".to_owned()),
                ..Default::default()
            };
            (emitter.nodes)(node);
        }
        let (mut initializer, mut sparse) = (vec![], vec![]);
        for value in parameters {
            let name = emitter.names.name(value);
            match (graph.op(value), graph.default_of(value)) {
                (Op::Parameter(tensor), _) | (_, Some(tensor)) => {
                    let notes = graph.node(value.node).notes();
                    let notes =
                        notes.map(|notes| TensorNotes { doc: notes.doc.clone(), metadata: notes.metadata.clone() });
                    initializer.push(tensor_proto(&name, Some(name.to_string()), tensor, notes.as_ref())?);
                    emitter.file.tensors.push(tensor.clone());
                    emitter.file.needs(forms::ir_version_of(tensor.element()));
                    // The value has metadata, or more is known than its shape.
                    if graph.value_notes(value).is_some() && !matches!(graph.op(value), Op::Input) {
                        emitter.describe(value, &name);
                    }
                }
                (Op::SparseParameter(tensor), _) => sparse.push((name, tensor)),
                _ => {}
            }
        }
        let mut sparse_initializer = vec![];
        for (name, tensor) in sparse {
            emitter.file.needs(6);
            sparse_initializer.push(sparse_proto(&name, Some(name.to_string()), tensor, &mut emitter.file.tensors)?);
        }
        let Emitter { file, names, value_info, .. } = emitter;
        let mut input = vec![];
        for value in graph.inputs() {
            let notes = graph.value_notes(value);
            input.push(file.value_info(&names.name(value), &graph.written_type(value), notes));
        }
        let mut output = vec![];
        for (result, name) in graph.outputs().iter().zip(&names.results) {
            // ONNX's checker refuses the declaration of a tensor of unknown rank.
            let ranked = |ty: &&ValueType| !matches!(ty, ValueType::Tensor(tensor) if tensor.shape.is_none());
            let (declared, known) = (result.declared.as_ref(), &graph.fact(result.value).ty);
            let unknown = declared.filter(|_| *known == ValueType::Unknown);
            let ty = declared.filter(ranked).or(unknown).unwrap_or(known);
            output.push(file.value_info(name, ty, result.notes.as_deref()));
        }
        let notes = graph.notes();
        let annotations = graph.annotations().iter().map(|annotation| TensorAnnotation {
            tensor_name: Some(annotation.tensor.clone()),
            quant_parameter_tensor_names: entries(annotation.parameters.iter().map(|(key, value)| (key, value))),
        });
        let proto = GraphProto {
            node: vec![],
            name: Some(if graph.name().is_empty() { "graph" } else { graph.name() }.to_owned()),
            initializer,
            sparse_initializer,
            doc_string: given(&notes.doc),
            input,
            output,
            value_info,
            quantization_annotation: annotations.collect(),
            metadata_props: entries(&notes.metadata),
        };
        Ok((proto, names))
    }

    /// Returns the forms of all nodes except sources.
    fn forms<'g>(&self, graph: &'g Graph, schedule: &[NodeId]) -> Result<Forms<'g>, WriteError> {
        let mut forms = Vec::with_capacity(schedule.len());
        for &id in schedule {
            let op = graph.node(id).op();
            if op.kind().is_source() {
                continue;
            }
            let node =
                || graph.results(id).next().map_or_else(String::new, |value| graph.value_name(value).to_string());
            let form = match op {
                Op::Opaque(opaque) => {
                    let ours = if opaque.domain.is_empty() {
                        Some(self.opset)
                    } else {
                        self.opsets.get(&*opaque.domain).copied()
                    };
                    forms::opaque(graph, id, opaque, ours)
                }
                // The meaning of an operator at this opset is unknown.
                _ if is_opaque_opset(self.opset) => return Err(WriteError::Opset { opset: self.opset }),
                _ => forms::to_opset(graph, id, self.opset, self.early),
            };
            let form = form.map_err(|why| WriteError::Form { node: node(), why })?;
            if !form.domain.is_empty() && !self.opsets.contains_key(form.domain) {
                return Err(WriteError::Domain { node: node(), domain: form.domain.to_string() });
            }
            forms.push((id, form));
        }
        Ok(forms)
    }

    /// Returns the declaration of a value with its metadata.
    fn value_info(&mut self, name: &str, ty: &ValueType, notes: Option<&Notes>) -> ValueInfoProto {
        if let ValueType::Tensor(tensor) = ty {
            self.needs(forms::ir_version_of(tensor.element));
        }
        let mut proto = ValueInfoProto { name: Some(name.to_owned()), ..Default::default() };
        proto.r#type = types::to_wire(ty);
        if let Some(notes) = notes {
            proto.doc_string = given(&notes.doc);
            proto.metadata_props = entries(&notes.metadata);
            if let Some(proto) = &mut proto.r#type {
                types::denote(proto, &notes.denotation, &notes.axes);
                if let ValueType::Tensor(TensorType { shape: Some(shape), .. }) = ty {
                    types::spell(proto, shape, &notes.spellings);
                }
            }
        }
        proto
    }
}

/// Returns the nodes in the order of the file.
fn schedule(graph: &Graph) -> Result<Vec<NodeId>, WriteError> {
    let schedule = graph.schedule();
    if schedule.len() != graph.len() {
        return Err(WriteError::Cycle { scheduled: schedule.len(), nodes: graph.len() });
    }
    Ok(schedule)
}

type Forms<'g> = Vec<(NodeId, Form<'g>)>;

/// Returns the values that the file reads, in that order.
fn read_values<'g>(
    graph: &'g Graph,
    forms: &'g Forms<'_>,
    names: &'g ValueNames<'_>,
) -> impl Iterator<Item = Value> + 'g {
    let operands = forms.iter().flat_map(|(_, form)| &form.operands);
    let operands = operands.filter_map(|operand| if let Operand::Value(value) = operand { Some(*value) } else { None });
    let outputs = graph.outputs().iter().map(|output| output.value);
    operands.chain(names.copies.iter().map(|(value, _)| *value)).chain(outputs)
}

/// Returns the initializers in the order of their first use, then those without a use; not those that became attributes.
fn first_uses(graph: &Graph, schedule: &[NodeId], forms: &Forms<'_>, names: &ValueNames<'_>) -> Vec<Value> {
    let all = schedule.iter().map(|&node| Value { node, result: 0 });
    let unused = all.filter(|value| matches!(graph.op(*value), Op::Input) || graph.use_count(*value) == 0);
    let mut seen = HashSet::default();
    let used = read_values(graph, forms, names).chain(unused);
    let initializer = |value: Value| match graph.op(value) {
        Op::Parameter(_) | Op::SparseParameter(_) => true,
        Op::Input => graph.default_of(value).is_some(),
        _ => false,
    };
    used.filter(|value| initializer(*value) && seen.insert(*value)).collect()
}

/// Returns the constants that the file reads, without those that became attributes.
fn needed_constants(graph: &Graph, forms: &Forms<'_>, names: &ValueNames<'_>) -> HashSet<NodeId> {
    let read = read_values(graph, forms, names).map(|value| value.node);
    read.filter(|id| matches!(graph.node(*id).op(), Op::Constant(_))).collect()
}

/// Returns the values without whose type ONNX Runtime cannot load a model: if it cannot infer the last size of the values
/// of a flat Attention, `[batch, key, hidden]`, it takes it for 0 (version 1.32).
fn taken_wrongly(graph: &Graph, schedule: &[NodeId]) -> HashSet<Value> {
    let attentions = schedule.iter().filter(|id| graph.node(**id).op().kind() == OpKind::Attention);
    let values = attentions.filter_map(|id| graph.operand(*id, 2));
    values.filter(|value| graph.shape(*value).is_some_and(|shape| matches!(shape, [_, _, Dim::Known(_)]))).collect()
}

struct Emitter<'e, 'm, 'n> {
    file: &'e mut File<'m>,
    graph: &'e Graph,
    names: ValueNames<'n>,
    /// The nodes' own names, if another node was given one.
    labels: OnceCell<HashSet<&'e str>>,
    /// The inner values whose types are declared whatever the file declared.
    taken_wrongly: HashSet<Value>,
    nodes: &'e mut dyn FnMut(NodeProto),
    value_info: Vec<ValueInfoProto>,
}

impl Emitter<'_, '_, '_> {
    fn node(&mut self, id: NodeId, form: Form<'_>) -> Result<(), WriteError> {
        let name = |value| if self.graph.is_omitted(value) { Arc::default() } else { self.names.name(value) };
        let output: Vec<_> = self.graph.results(id).map(|value| name(value).to_string()).collect();
        let first = output.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        let bodies = form.attributes.iter().flat_map(|(_, value)| value.bodies());
        let captures: usize = bodies.map(|body| body.captures().len()).sum();
        let own = form.operands.len().saturating_sub(captures);
        let mut input = vec![];
        for operand in form.operands {
            input.push(match operand {
                Operand::Absent => Arc::default(),
                Operand::Value(value) => self.names.name(value),
                Operand::New(word, tensor) => {
                    let name = self.names.fresh(&format!("{first}.{word}").into());
                    self.constant_node("", &name, &tensor, None)?;
                    name
                }
            });
        }
        // A body finds its captured values by name.
        let captured = input.split_off(own);
        while input.last().is_some_and(|name| name.is_empty()) {
            input.pop();
        }
        // A Loop always has a trip count and a condition, even if both are absent.
        if matches!(self.graph.node(id).op(), Op::Loop { .. }) {
            input.resize(input.len().max(2), "".into());
        }
        let notes = self.graph.node(id).notes().cloned().unwrap_or_default();
        let mut captured = captured.as_slice();
        let mut attributes = vec![];
        for (key, value) in &form.attributes {
            let notes = notes.attributes.get(key);
            let mut proto = attribute(&first, key, value, notes, &mut self.file.tensors)?;
            for body in value.bodies() {
                let (own, rest) = captured.split_at(body.captures().len().min(captured.len()));
                captured = rest;
                let body = self.body(id, body, own)?;
                if proto.r#type == Some(AttributeType::Graph.into()) {
                    proto.g = Some(Box::new(body));
                } else {
                    proto.graphs.push(body);
                }
            }
            attributes.push(proto);
        }
        for value in self.graph.results(id).filter(|value| !self.graph.is_omitted(*value)) {
            self.describe(value, &self.names.name(value));
        }
        let input = input.iter().map(ToString::to_string).collect();
        let Form { domain, op_type, overload, .. } = form;
        let name = self.node_name(self.graph.node(id).label(), &first);
        self.push(
            id,
            NodeProto {
                input,
                output,
                name,
                op_type: Some(op_type.to_string()),
                domain: given(domain),
                overload: given(overload),
                attribute: attributes,
                ..Default::default()
            },
            &notes,
        )
    }

    /// Adds the node with its metadata.
    fn push(&mut self, id: NodeId, node: NodeProto, notes: &Notes) -> Result<(), WriteError> {
        let devices: Result<Vec<_>, _> =
            notes.devices.iter().map(|device| NodeDeviceConfigurationProto::decode(device.clone())).collect();
        let device_configurations = devices.map_err(|_| {
            let node = self.graph.results(id).next().map(|value| self.names.name(value).to_string());
            WriteError::Devices { node: node.unwrap_or_default() }
        })?;
        if !device_configurations.is_empty() {
            self.file.needs(11);
        }
        if !notes.metadata.is_empty() || node.overload.is_some() {
            self.file.needs(10);
        }
        let (doc_string, metadata_props) = (given(&notes.doc), entries(&notes.metadata));
        (self.nodes)(NodeProto { doc_string, metadata_props, device_configurations, ..node });
        Ok(())
    }

    /// Emits a body of a node; `captured` are the names of what it captures.
    fn body(&mut self, id: NodeId, body: &Graph, captured: &[Arc<str>]) -> Result<GraphProto, WriteError> {
        let schedule = schedule(body)?;
        let names = ValueNames::of_body(body, &schedule, captured, &self.names, id)?;
        let mut node = vec![];
        let (proto, names) = self.file.emit(body, &schedule, names, &mut |it| node.push(it))?;
        let inner: Vec<_> = names.into_all().collect();
        self.names.reserve(inner);
        Ok(GraphProto { node, ..proto })
    }

    /// Returns the node's own name, or one after its first result if it has none.
    fn node_name(&mut self, label: &str, first: &str) -> Option<String> {
        if !label.is_empty() {
            return Some(label.to_owned());
        }
        let graph = self.graph;
        if !graph.conventions().names_nodes || first.is_empty() {
            return None;
        }
        let label = |id| graph.node(id).label();
        let labels = self.labels.get_or_init(|| graph.schedule().into_iter().map(label).collect());
        Some(self.names.of_node(first, |name| labels.contains(name)).to_string())
    }

    fn constant(&mut self, value: Value, tensor: &Tensor) -> Result<(), WriteError> {
        let name = self.names.name(value);
        self.describe(value, &name);
        self.constant_node(self.graph.node(value.node).label(), &name, tensor, Some(value.node))
    }

    fn constant_node(
        &mut self,
        label: &str,
        name: &str,
        tensor: &Tensor,
        id: Option<NodeId>,
    ) -> Result<(), WriteError> {
        let notes = id.and_then(|id| self.graph.node(id).notes()).cloned().unwrap_or_default();
        let value = Attribute::Tensor(tensor.clone());
        let attribute = attribute(name, "value", &value, notes.attributes.get("value"), &mut self.file.tensors)?;
        self.file.needs(forms::ir_version_of(tensor.element()));
        if id.is_none() && self.types_values() {
            let ty = types::to_wire(&tensor.ty().into());
            self.value_info.push(ValueInfoProto { name: Some(name.to_owned()), r#type: ty, ..Default::default() });
        }
        let node = NodeProto {
            output: vec![name.to_string()],
            name: self.node_name(label, name),
            op_type: Some("Constant".to_owned()),
            attribute: vec![attribute],
            ..Default::default()
        };
        if let Some(id) = id {
            return self.push(id, node, &notes);
        }
        (self.nodes)(node);
        Ok(())
    }

    fn types_values(&self) -> bool {
        self.file.types_values && self.graph.conventions().types_values
    }

    /// Declares the type of an inner value; those of outputs are declared with them. For a graph that was read, only
    /// what the file declared is declared again, and what ONNX Runtime would infer wrongly.
    fn describe(&mut self, value: Value, name: &str) {
        let ty = self.graph.written_type(value);
        let is_declared = self.graph.declared(value).is_some()
            || self.types_values() && types::is_declared_by_default(&ty)
            || self.taken_wrongly.contains(&value);
        if !is_declared || self.names.outputs.contains(name) {
            return;
        }
        if types::can_be_declared(&ty) {
            let info = self.file.value_info(name, &ty, self.graph.value_notes(value));
            self.value_info.push(info);
        }
    }
}
