//! Helpers to create ONNX messages.

use crate::element::Elem;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto;
use onnx_protobuf::{AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto};
use protobuf::MessageField;

/// Creates an attribute of a node.
pub(crate) type Attribute = AttributeProto;

fn attribute(name: &str, type_: AttributeType, value: AttributeProto) -> Attribute {
    AttributeProto { name: name.to_owned(), type_: type_.into(), ..value }
}

pub(crate) fn int(name: &str, i: i64) -> Attribute {
    attribute(name, AttributeType::INT, AttributeProto { i, ..Default::default() })
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Attribute {
    attribute(name, AttributeType::INTS, AttributeProto { ints: values.to_vec(), ..Default::default() })
}

#[expect(clippy::cast_possible_truncation, reason = "attributes are f32")]
pub(crate) fn float(name: &str, f: f64) -> Attribute {
    attribute(name, AttributeType::FLOAT, AttributeProto { f: f as f32, ..Default::default() })
}

pub(crate) fn string(name: &str, s: &str) -> Attribute {
    attribute(name, AttributeType::STRING, AttributeProto { s: s.as_bytes().to_vec(), ..Default::default() })
}

pub(crate) fn tensor(name: &str, t: TensorProto) -> Attribute {
    attribute(name, AttributeType::TENSOR, AttributeProto { t: MessageField::some(t), ..Default::default() })
}

pub(crate) fn graph(name: &str, g: GraphProto) -> Attribute {
    attribute(name, AttributeType::GRAPH, AttributeProto { g: MessageField::some(g), ..Default::default() })
}

/// Creates a node with one result.
pub(crate) fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// Creates an Identity.
pub(crate) fn copy(from: &str, to: &str) -> NodeProto {
    node("Identity", &[from], to)
}

/// Creates a Cast.
pub(crate) fn cast(from: &str, to: &str, elem: Elem) -> NodeProto {
    NodeProto { attribute: vec![int("to", elem as i64)], ..node("Cast", &[from], to) }
}

/// Creates a tensor with its elements as bytes.
pub(crate) fn tensor_of(name: &str, elem: Elem, dims: &[i64], values: &[f64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: elem as i32,
        dims: dims.to_vec(),
        raw_data: elem.encode(values),
        ..Default::default()
    }
}

/// A dim: a number, or a name whose size is known when the model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Known(i64),
    /// A name, such as `batch` or `past + seq`.
    Symbol(String),
}

impl From<i64> for Dim {
    fn from(size: i64) -> Self {
        Self::Known(size)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Self::Symbol(name.to_owned())
    }
}

/// Creates the declaration of a value; `None` in its shape is an undeclared dim.
pub(crate) fn declaration(name: &str, elem: Elem, shape: Option<&[Option<Dim>]>) -> ValueInfoProto {
    let dim = |dim: &Option<Dim>| {
        let value = dim.as_ref().map(|dim| match dim {
            Dim::Known(size) => dimension::Value::DimValue(*size),
            Dim::Symbol(name) => dimension::Value::DimParam(name.clone()),
        });
        Dimension { value, ..Default::default() }
    };
    let shape = shape.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect(), ..Default::default() });
    let shape = shape.map_or_else(MessageField::none, MessageField::some);
    let tensor = type_proto::Tensor { elem_type: elem as i32, shape, ..Default::default() };
    let type_ = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), type_: MessageField::some(type_), ..Default::default() }
}
