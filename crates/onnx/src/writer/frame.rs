//! The layout of a model file: encoded messages, and tensors whose elements go between them.
//!
//! The messages that hold tensors are encoded here, field by field in the order of their numbers, so the bytes are
//! those that protobuf's own writers give; `prost` encodes everything else.

use super::WriteError;
use super::emit::{self, Emitted};
use crate::wire::{
    AttributeProto, DataLocation, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TrainingInfoProto,
};
use netwright_files::{Identity, Range};
use netwright_ir::{Data, ElementType, Model, Tensor};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::collections::BTreeMap;

/// Smaller tensors are always embedded.
const SMALLEST_EXTERNAL: u64 = 1024;

/// The alignment of external tensors: a page, so that they can be mapped.
const ALIGNMENT: u64 = 4096;

/// Encoded messages from this size on are a piece of their own: they are not copied into the message around them.
const LARGE: usize = 1 << 16;

/// A part of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// Literal bytes.
    Bytes(Vec<u8>),
    /// The elements of a tensor.
    Elements(Tensor),
    /// This many zero bytes.
    Padding(u64),
}

impl Piece {
    pub(super) fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Elements(tensor) => tensor.len(),
            Piece::Padding(bytes) => *bytes,
        }
    }
}

/// A sequence of pieces.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pieces: Vec<Piece>,
    len: u64,
}

impl Frame {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.pieces.last(), Some(Piece::Bytes(_))) {
            self.pieces.push(Piece::Bytes(vec![]));
        }
        if let Some(Piece::Bytes(bytes)) = self.pieces.last_mut() {
            let before = bytes.len();
            write(bytes);
            self.len += (bytes.len() - before) as u64;
        }
    }

    fn message(&mut self, message: &impl Message) {
        self.bytes(|bytes| message.encode_raw(bytes));
    }

    /// Appends a field that holds a message.
    fn field(&mut self, number: u32, inner: Frame) {
        self.bytes(|bytes| {
            encode_key(number, WireType::LengthDelimited, bytes);
            encode_varint(inner.len, bytes);
        });
        for piece in inner.pieces {
            match piece {
                Piece::Bytes(inner) if inner.len() < LARGE => self.bytes(|bytes| bytes.extend_from_slice(&inner)),
                other => self.push(other),
            }
        }
    }

    fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push(piece);
    }
}

/// The external data file, and what has been laid out in it.
#[derive(Debug)]
pub(super) struct External {
    location: String,
    pub(super) data: Frame,
}

impl External {
    pub(super) fn new(location: &str) -> Self {
        Self { location: location.to_owned(), data: Frame::default() }
    }

    /// Appends a tensor and returns its location.
    fn place(&mut self, tensor: &Tensor) -> Vec<StringStringEntryProto> {
        let offset = self.data.len.next_multiple_of(ALIGNMENT);
        if offset > self.data.len {
            self.data.push(Piece::Padding(offset - self.data.len));
        }
        self.data.push(Piece::Elements(tensor.clone()));
        place(&self.location, offset, tensor.len())
    }
}

/// Returns the `external_data` entries of a tensor's elements.
fn place(location: &str, offset: u64, length: u64) -> Vec<StringStringEntryProto> {
    let entries = [("location", location.to_owned()), ("offset", offset.to_string()), ("length", length.to_string())];
    entries.map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }).into()
}

/// The locations of files that the model may refer to, so that their contents need not be copied.
pub(super) type Shared = BTreeMap<Identity, String>;

/// Returns the file range of the elements, if it is large enough to refer to.
pub(super) fn shareable(tensor: &Tensor) -> Option<&Range> {
    match tensor.data() {
        Data::File(range) if range.len() >= SMALLEST_EXTERNAL => Some(range),
        _ => None,
    }
}

/// A model in wire types, except the nodes of its graph that hold no tensors: they are encoded, which takes a tenth of
/// the memory.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) emitted: Emitted,
    nodes: Vec<Nodes>,
}

/// Nodes of the model's graph.
#[derive(Debug)]
enum Nodes {
    /// Adjacent nodes without tensors, as encoded fields of the graph.
    Encoded(Vec<u8>),
    /// A node with tensors, whose elements go between the parts of its message.
    Message(Box<NodeProto>),
}

impl Draft {
    /// Converts a model to the forms of its opset.
    ///
    /// # Errors
    /// If the model has no ONNX form.
    pub(super) fn of(model: &Model) -> Result<Self, WriteError> {
        let mut nodes = vec![];
        let emitted = emit::emit(model, &mut |node| {
            if node.attribute.iter().any(holds_tensors) {
                nodes.push(Nodes::Message(Box::new(node)));
                return;
            }
            if !matches!(nodes.last(), Some(Nodes::Encoded(_))) {
                nodes.push(Nodes::Encoded(vec![]));
            }
            if let Some(Nodes::Encoded(bytes)) = nodes.last_mut() {
                prost::encoding::message::encode(1, &node, bytes);
            }
        })?;
        Ok(Self { emitted, nodes })
    }
}

/// Encodes a model; tensors in `shared` files stay there, and other large tensors go to `external`, if given.
pub(super) fn encode(draft: &Draft, external: Option<&mut External>, shared: Option<&Shared>) -> Frame {
    let Draft { emitted, nodes } = draft;
    let mut tensors = Tensors { rest: emitted.tensors.iter(), external, shared };
    let ModelProto {
        ir_version,
        opset_import,
        producer_name,
        producer_version,
        domain,
        model_version,
        doc_string,
        graph,
        metadata_props,
        training_info,
        functions,
        configuration,
    } = &emitted.model;
    let mut frame = Frame::default();
    frame.message(&ModelProto {
        ir_version: *ir_version,
        producer_name: producer_name.clone(),
        producer_version: producer_version.clone(),
        domain: domain.clone(),
        model_version: *model_version,
        doc_string: doc_string.clone(),
        ..Default::default()
    });
    if let Some(graph) = graph {
        let mut inner = Frame::default();
        for nodes in nodes {
            match nodes {
                Nodes::Encoded(nodes) => inner.bytes(|bytes| bytes.extend_from_slice(nodes)),
                Nodes::Message(node) => inner.field(1, node_frame(node, &mut tensors)),
            }
        }
        frame.field(7, graph_frame(inner, graph, &mut tensors));
    }
    let (opset_import, metadata_props) = (opset_import.clone(), metadata_props.clone());
    frame.message(&ModelProto { opset_import, metadata_props, ..Default::default() });
    for step in training_info {
        frame.field(20, step_frame(step, &mut tensors));
    }
    for function in functions {
        frame.field(25, function_frame(function, &mut tensors));
    }
    frame.message(&ModelProto { configuration: configuration.clone(), ..Default::default() });
    frame
}

fn step_frame(step: &TrainingInfoProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    for (number, graph) in [(1, &step.initialization), (2, &step.algorithm)] {
        if let Some(graph) = graph {
            frame.field(number, graph_frame(Frame::default(), graph, tensors));
        }
    }
    let TrainingInfoProto { initialization: _, algorithm: _, initialization_binding, update_binding } = step;
    let (initialization_binding, update_binding) = (initialization_binding.clone(), update_binding.clone());
    frame.message(&TrainingInfoProto { initialization_binding, update_binding, ..Default::default() });
    frame
}

fn function_frame(function: &FunctionProto, tensors: &mut Tensors<'_>) -> Frame {
    let FunctionProto { name, input, output, attribute, node, attribute_proto, .. } = function;
    let mut frame = Frame::default();
    let (name, input, output, attribute) = (name.clone(), input.clone(), output.clone(), attribute.clone());
    frame.message(&FunctionProto { name, input, output, attribute, ..Default::default() });
    nodes(&mut frame, 7, node, tensors);
    let (doc_string, opset_import) = (function.doc_string.clone(), function.opset_import.clone());
    let domain = function.domain.clone();
    frame.message(&FunctionProto { doc_string, opset_import, domain, ..Default::default() });
    for attribute in attribute_proto {
        frame.field(11, attribute_frame(attribute, tensors));
    }
    let (value_info, overload) = (function.value_info.clone(), function.overload.clone());
    let metadata_props = function.metadata_props.clone();
    frame.message(&FunctionProto { overload, value_info, metadata_props, ..Default::default() });
    frame
}

fn nodes(frame: &mut Frame, number: u32, nodes: &[NodeProto], tensors: &mut Tensors<'_>) {
    for node in nodes {
        if node.attribute.iter().any(holds_tensors) {
            frame.field(number, node_frame(node, tensors));
        } else {
            frame.bytes(|bytes| prost::encoding::message::encode(number, node, bytes));
        }
    }
}

/// Encodes a graph after its first nodes, which `frame` holds; recurses on bodies, whose depth is bounded.
fn graph_frame(mut frame: Frame, graph: &GraphProto, tensors: &mut Tensors<'_>) -> Frame {
    nodes(&mut frame, 1, &graph.node, tensors);
    frame.message(&GraphProto { name: graph.name.clone(), ..Default::default() });
    for initializer in &graph.initializer {
        let inner = tensors.frame(initializer);
        frame.field(5, inner);
    }
    frame.message(&GraphProto { doc_string: graph.doc_string.clone(), ..Default::default() });
    frame.bytes(|bytes| {
        graph.input.iter().for_each(|value| prost::encoding::message::encode(11, value, bytes));
        graph.output.iter().for_each(|value| prost::encoding::message::encode(12, value, bytes));
        graph.value_info.iter().for_each(|value| prost::encoding::message::encode(13, value, bytes));
        for annotation in &graph.quantization_annotation {
            prost::encoding::message::encode(14, annotation, bytes);
        }
    });
    for sparse in &graph.sparse_initializer {
        frame.field(15, sparse_frame(sparse, tensors));
    }
    frame.message(&GraphProto { metadata_props: graph.metadata_props.clone(), ..Default::default() });
    frame
}

fn node_frame(node: &NodeProto, tensors: &mut Tensors<'_>) -> Frame {
    let NodeProto { input, output, name, op_type, domain, overload, attribute, doc_string, .. } = node.clone();
    let mut frame = Frame::default();
    frame.message(&NodeProto { input, output, name, op_type, ..Default::default() });
    for attribute in &attribute {
        frame.field(5, attribute_frame(attribute, tensors));
    }
    let NodeProto { metadata_props, device_configurations, .. } = node.clone();
    frame.message(&NodeProto {
        domain,
        overload,
        doc_string,
        metadata_props,
        device_configurations,
        ..Default::default()
    });
    frame
}

fn holds_tensors(attribute: &AttributeProto) -> bool {
    attribute.t.is_some()
        || attribute.g.is_some()
        || attribute.sparse_tensor.is_some()
        || !attribute.tensors.is_empty()
        || !attribute.graphs.is_empty()
        || !attribute.sparse_tensors.is_empty()
}

fn attribute_frame(attribute: &AttributeProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    if !holds_tensors(attribute) {
        frame.message(attribute);
        return frame;
    }
    frame.message(&AttributeProto { name: attribute.name.clone(), ..Default::default() });
    if let Some(tensor) = &attribute.t {
        frame.field(5, tensors.frame(tensor));
    }
    if let Some(graph) = &attribute.g {
        frame.field(6, graph_frame(Frame::default(), graph, tensors));
    }
    for tensor in &attribute.tensors {
        let inner = tensors.frame(tensor);
        frame.field(10, inner);
    }
    for graph in &attribute.graphs {
        frame.field(11, graph_frame(Frame::default(), graph, tensors));
    }
    let (doc_string, r#type) = (attribute.doc_string.clone(), attribute.r#type);
    frame.message(&AttributeProto { doc_string, r#type, ..Default::default() });
    if let Some(sparse) = &attribute.sparse_tensor {
        frame.field(22, sparse_frame(sparse, tensors));
    }
    for sparse in &attribute.sparse_tensors {
        frame.field(23, sparse_frame(sparse, tensors));
    }
    frame
}

fn sparse_frame(sparse: &SparseTensorProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    for (number, tensor) in [(1, &sparse.values), (2, &sparse.indices)] {
        if let Some(tensor) = tensor {
            let inner = tensors.frame(tensor);
            frame.field(number, inner);
        }
    }
    frame.message(&SparseTensorProto { dims: sparse.dims.clone(), ..Default::default() });
    frame
}

/// The tensors in the order of the file, and where the large ones go.
struct Tensors<'a> {
    rest: std::slice::Iter<'a, Tensor>,
    external: Option<&'a mut External>,
    shared: Option<&'a Shared>,
}

impl Tensors<'_> {
    /// Encodes the next tensor.
    fn frame(&mut self, proto: &TensorProto) -> Frame {
        let mut frame = Frame::default();
        let tensor = self.rest.next();
        let range = tensor.and_then(shareable);
        let location = range.and_then(|range| Some((range, self.shared?.get(range.source().identity())?)));
        let external_data = match (location, tensor, &mut self.external) {
            (Some((range, location)), ..) => Some(place(location, range.offset(), range.len())),
            (None, Some(tensor), Some(external)) if tensor.len() >= SMALLEST_EXTERNAL => Some(external.place(tensor)),
            _ => None,
        };
        match (tensor, external_data) {
            (_, Some(external_data)) => {
                let data_location = Some(DataLocation::External.into());
                frame.message(&TensorProto { external_data, data_location, ..proto.clone() });
            }
            (Some(tensor), None) if tensor.element() != ElementType::String => {
                let (doc_string, metadata_props) = (proto.doc_string.clone(), proto.metadata_props.clone());
                frame.message(&TensorProto { doc_string: None, metadata_props: vec![], ..proto.clone() });
                // `raw_data`
                frame.bytes(|bytes| {
                    encode_key(9, WireType::LengthDelimited, bytes);
                    encode_varint(tensor.len(), bytes);
                });
                frame.push(Piece::Elements(tensor.clone()));
                frame.message(&TensorProto { doc_string, metadata_props, ..Default::default() });
            }
            // Strings are in the message itself.
            _ => frame.message(proto),
        }
        frame
    }
}
