//! The bytes of a model as pieces: encoded frames, and tensors whose elements stand between them.
//!
//! The messages that hold tensors are taken apart here, in the order of their field numbers, so that the bytes are
//! those that protobuf's own writers give; `prost` encodes everything else.

use super::emit::Emitted;
use crate::wire::{
    AttributeProto, DataLocation, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use netwright_ir::{ElementType, Tensor};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// Smaller tensors are embedded always.
const SMALLEST_EXTERNAL: u64 = 1024;

/// External tensors begin at a multiple of this: a page, so that they can be mapped.
const ALIGNMENT: u64 = 4096;

/// A part of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// As it is.
    Bytes(Vec<u8>),
    /// The elements of a tensor.
    Elements(Tensor),
    /// So many bytes that are zero.
    Padding(u64),
}

/// Pieces, one after the other.
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

    /// A field that holds a message.
    fn field(&mut self, number: u32, inner: Frame) {
        self.bytes(|bytes| {
            encode_key(number, WireType::LengthDelimited, bytes);
            encode_varint(inner.len, bytes);
        });
        for piece in inner.pieces {
            match piece {
                Piece::Bytes(inner) => self.bytes(|bytes| bytes.extend_from_slice(&inner)),
                other => self.push(other),
            }
        }
    }

    fn push(&mut self, piece: Piece) {
        self.len += match &piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Elements(tensor) => tensor.len(),
            Piece::Padding(bytes) => *bytes,
        };
        self.pieces.push(piece);
    }
}

/// The file beside the model, and what has been laid out in it.
#[derive(Debug)]
pub(super) struct External {
    location: String,
    pub(super) data: Frame,
}

impl External {
    pub(super) fn new(location: &str) -> Self {
        Self { location: location.to_owned(), data: Frame::default() }
    }

    /// Appends a tensor; where it stands.
    fn place(&mut self, tensor: &Tensor) -> Vec<StringStringEntryProto> {
        let offset = self.data.len.next_multiple_of(ALIGNMENT);
        if offset > self.data.len {
            self.data.push(Piece::Padding(offset - self.data.len));
        }
        self.data.push(Piece::Elements(tensor.clone()));
        let entries =
            [("location", self.location.clone()), ("offset", offset.to_string()), ("length", tensor.len().to_string())];
        entries.map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }).into()
    }
}

/// Encodes a model; its larger tensors go to `external`, where it is given.
pub(super) fn encode(emitted: &Emitted, external: Option<&mut External>) -> Frame {
    let mut tensors = Tensors { rest: emitted.tensors.iter(), external };
    let ModelProto { opset_import, metadata_props, .. } = emitted.model.clone();
    let mut frame = Frame::default();
    frame.message(&ModelProto { opset_import: vec![], metadata_props: vec![], ..emitted.model.clone() });
    frame.field(7, graph_frame(&emitted.graph, &mut tensors));
    frame.message(&ModelProto { opset_import, metadata_props, ..Default::default() });
    frame
}

fn graph_frame(graph: &GraphProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    for node in &graph.node {
        if node.attribute.iter().any(|attribute| attribute.t.is_some()) {
            frame.field(1, node_frame(node, tensors));
        } else {
            frame.bytes(|bytes| prost::encoding::message::encode(1, node, bytes));
        }
    }
    frame.message(&GraphProto { name: graph.name.clone(), ..Default::default() });
    for initializer in &graph.initializer {
        let inner = tensors.frame(initializer);
        frame.field(5, inner);
    }
    frame.bytes(|bytes| {
        graph.input.iter().for_each(|value| prost::encoding::message::encode(11, value, bytes));
        graph.output.iter().for_each(|value| prost::encoding::message::encode(12, value, bytes));
        graph.value_info.iter().for_each(|value| prost::encoding::message::encode(13, value, bytes));
    });
    frame
}

fn node_frame(node: &NodeProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    frame.message(&NodeProto { attribute: vec![], domain: None, overload: None, ..node.clone() });
    for attribute in &node.attribute {
        frame.field(5, attribute_frame(attribute, tensors));
    }
    let (domain, overload) = (node.domain.clone(), node.overload.clone());
    frame.message(&NodeProto { domain, overload, ..Default::default() });
    frame
}

fn attribute_frame(attribute: &AttributeProto, tensors: &mut Tensors<'_>) -> Frame {
    let mut frame = Frame::default();
    let Some(tensor) = &attribute.t else {
        frame.message(attribute);
        return frame;
    };
    frame.message(&AttributeProto { name: attribute.name.clone(), ..Default::default() });
    frame.field(5, tensors.frame(tensor));
    frame.message(&AttributeProto { r#type: attribute.r#type, ..Default::default() });
    frame
}

/// The tensors in the order of the file, and where the larger ones go.
struct Tensors<'a> {
    rest: std::slice::Iter<'a, Tensor>,
    external: Option<&'a mut External>,
}

impl Tensors<'_> {
    /// The frame of the next tensor.
    fn frame(&mut self, proto: &TensorProto) -> Frame {
        let mut frame = Frame::default();
        match (self.rest.next(), &mut self.external) {
            (Some(tensor), Some(external)) if tensor.len() >= SMALLEST_EXTERNAL => {
                frame.message(&TensorProto {
                    external_data: external.place(tensor),
                    data_location: Some(DataLocation::External.into()),
                    ..proto.clone()
                });
            }
            (Some(tensor), _) if tensor.element() != ElementType::String => {
                frame.message(proto);
                // `raw_data`
                frame.bytes(|bytes| {
                    encode_key(9, WireType::LengthDelimited, bytes);
                    encode_varint(tensor.len(), bytes);
                });
                frame.push(Piece::Elements(tensor.clone()));
            }
            // Text stands in the message itself.
            _ => frame.message(proto),
        }
        frame
    }
}
