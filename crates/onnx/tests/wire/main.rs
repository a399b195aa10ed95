//! The wire types against the schema table, against `onnx-protobuf` (an independent implementation), and against
//! damage.

mod agreement;
mod damage;
mod encode;

use bytes::Bytes;
use netwright_onnx::wire;

/// Returns a model with a tensor, a symbolic dimension and a subgraph.
fn model() -> wire::ModelProto {
    let name = |name: &str| Some(name.to_owned());
    let dim = wire::DimensionProto { value: Some(wire::DimensionValue::Param("batch".into())), denotation: None };
    let tensor_type =
        wire::TensorTypeProto { elem_type: Some(1), shape: Some(wire::TensorShapeProto { dim: vec![dim] }) };
    let r#type = wire::TypeProto { value: Some(wire::TypeValue::Tensor(tensor_type)), denotation: None };
    let branch = wire::AttributeProto {
        name: name("then_branch"),
        r#type: Some(wire::AttributeType::Graph.into()),
        g: Some(Box::new(wire::GraphProto { name: name("then"), ..Default::default() })),
        ..Default::default()
    };
    let node = wire::NodeProto {
        input: vec!["x".into(), String::new()],
        output: vec!["y".into()],
        op_type: name("If"),
        attribute: vec![branch],
        ..Default::default()
    };
    let weight = wire::TensorProto {
        dims: vec![2],
        data_type: Some(wire::DataType::Float.into()),
        name: name("w"),
        raw_data: Some(Bytes::from_static(&[0, 0, 128, 63, 0, 0, 0, 64])),
        ..Default::default()
    };
    let graph = wire::GraphProto {
        node: vec![node],
        name: name("g"),
        initializer: vec![weight],
        input: vec![wire::ValueInfoProto { name: name("x"), r#type: Some(r#type), ..Default::default() }],
        ..Default::default()
    };
    wire::ModelProto {
        ir_version: Some(10),
        opset_import: vec![wire::OperatorSetIdProto { domain: Some(String::new()), version: Some(21) }],
        graph: Some(graph),
        ..Default::default()
    }
}
