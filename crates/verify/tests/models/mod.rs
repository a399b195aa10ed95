//! Small models, as the bytes of their files.

#![allow(dead_code, reason = "each test uses its share")]

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension, type_proto,
};

pub(crate) const F32: i32 = 1;
pub(crate) const I64: i32 = 7;
pub(crate) const U64: i32 = 13;
pub(crate) const BF16: i32 = 16;

/// A value as `x: f32[batch, 3]`, or `x` alone where no type is declared.
pub(crate) fn value(text: &str) -> ValueInfoProto {
    let Some((name, ty)) = text.split_once(": ") else {
        return ValueInfoProto { name: text.to_owned(), ..Default::default() };
    };
    let (element, dims) = ty.trim_end_matches(']').split_once('[').expect("a shape");
    let element: netwright_ir::ElementType = element.parse().expect("an element type");
    let dim = |dim: &str| Dimension {
        value: Some(
            dim.parse().map_or_else(|_| dimension::Value::DimParam(dim.to_owned()), dimension::Value::DimValue),
        ),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: dims.split(", ").filter(|dim| !dim.is_empty()).map(dim).collect() };
    let tensor =
        type_proto::Tensor { elem_type: i32::try_from(element.number()).expect("a small number"), shape: Some(shape) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(ty), ..Default::default() }
}

/// A node as `y, z = domain::Op(x, , w)`.
pub(crate) fn node(text: &str) -> NodeProto {
    let (results, call) = text.split_once(" = ").expect("a call");
    let (operator, operands) = call.trim_end_matches(')').split_once('(').expect("operands");
    let (domain, operator) = operator.rsplit_once("::").unwrap_or(("", operator));
    let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    NodeProto {
        input: if operands.is_empty() { vec![] } else { names(operands) },
        output: names(results),
        op_type: operator.to_owned(),
        domain: domain.to_owned(),
        ..Default::default()
    }
}

/// A graph of values and nodes in that notation.
pub(crate) fn graph(inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> GraphProto {
    GraphProto {
        name: "graph".to_owned(),
        input: inputs.iter().map(|text| value(text)).collect(),
        output: outputs.iter().map(|text| value(text)).collect(),
        node: nodes,
        ..Default::default()
    }
}

/// A model of the newest opset that the gate knows.
pub(crate) fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: String::new(), version: 24 };
    ModelProto { ir_version: 10, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

pub(crate) fn function(domain: &str, name: &str) -> FunctionProto {
    FunctionProto { domain: Some(domain.to_owned()), name: Some(name.to_owned()), ..Default::default() }
}

pub(crate) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { name: name.to_owned(), data_type: F32, dims: dims.to_vec(), raw_data, ..Default::default() }
}

pub(crate) fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { name: name.to_owned(), data_type: I64, dims: dims.to_vec(), raw_data, ..Default::default() }
}

/// Attributes, added to what they are called on.
pub(crate) trait With: Sized {
    fn attribute(self, attribute: AttributeProto) -> Self;

    fn int(self, name: &str, i: i64) -> Self {
        self.attribute(AttributeProto { i, ..attribute(name, AttributeType::Int) })
    }

    fn float(self, name: &str, f: f32) -> Self {
        self.attribute(AttributeProto { f, ..attribute(name, AttributeType::Float) })
    }

    fn graph(self, name: &str, graph: GraphProto) -> Self {
        self.attribute(AttributeProto { g: Some(graph), ..attribute(name, AttributeType::Graph) })
    }

    fn tensor(self, name: &str, tensor: TensorProto) -> Self {
        self.attribute(AttributeProto { t: Some(tensor), ..attribute(name, AttributeType::Tensor) })
    }
}

impl With for NodeProto {
    fn attribute(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..Default::default() }
}

pub(crate) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}
