//! The model of `write.rs` in the types of `onnx-protobuf`, field by field.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto::{Tensor, Value};
use onnx_protobuf::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};
use protobuf::MessageField;

fn value(name: &str, elem_type: i32, dims: Option<Vec<Option<dimension::Value>>>) -> ValueInfoProto {
    let dim = |value| Dimension { value, ..Default::default() };
    let shape = dims
        .map(|dims| TensorShapeProto { dim: dims.into_iter().map(dim).collect(), ..Default::default() })
        .map_or_else(MessageField::none, MessageField::some);
    let tensor = Tensor { elem_type, shape, ..Default::default() };
    let type_ = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), type_: MessageField::some(type_), ..Default::default() }
}

fn node(label: &str, op_type: &str, input: &[&str], output: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        name: label.to_owned(),
        op_type: op_type.to_owned(),
        input: names(input),
        output: names(output),
        attribute,
        ..Default::default()
    }
}

fn attribute(name: &str, type_: AttributeType, value: AttributeProto) -> AttributeProto {
    AttributeProto { name: name.to_owned(), type_: type_.into(), ..value }
}

pub(super) fn small() -> ModelProto {
    let symbol = |name: &str| Some(dimension::Value::DimParam(name.to_owned()));
    let size = |size| Some(dimension::Value::DimValue(size));
    let rows = |last| Some(vec![symbol("batch"), symbol("past + seq"), size(last)]);
    let shape = TensorProto {
        dims: vec![3],
        data_type: 7,
        raw_data: [0i64, 0, 1].iter().flat_map(|size| size.to_le_bytes()).collect(),
        ..Default::default()
    };
    let shape = AttributeProto { t: MessageField::some(shape), ..Default::default() };
    let two = vec![
        attribute("mode", AttributeType::STRING, AttributeProto { s: b"fast".to_vec(), ..Default::default() }),
        attribute("scales", AttributeType::FLOATS, AttributeProto { floats: vec![0.5], ..Default::default() }),
    ];
    let axis = attribute("axis", AttributeType::INT, AttributeProto { i: -1, ..Default::default() });
    let graph = GraphProto {
        name: "small".to_owned(),
        node: vec![
            node("shape", "Constant", &[], &["shape"], vec![attribute("value", AttributeType::TENSOR, shape)]),
            node("project", "MatMul", &["x", "w"], &["y.raw"], vec![]),
            NodeProto {
                domain: "com.example".to_owned(),
                ..node("kept", "Two", &["y.raw", "", "mask"], &["kept", "other"], two)
            },
            node("z", "Reshape", &["kept", "shape"], &["z"], vec![]),
            node("y", "Softmax", &["y.raw"], &["y"], vec![axis]),
        ],
        initializer: vec![TensorProto {
            name: "w".to_owned(),
            dims: vec![2, 1],
            data_type: 1,
            raw_data: vec![0, 0, 0, 63, 0, 0, 128, 62],
            ..Default::default()
        }],
        input: vec![value("x", 1, rows(2)), value("mask", 9, None)],
        output: vec![value("y", 1, rows(1)), value("other", 7, Some(vec![None, symbol("a name")]))],
        value_info: vec![value("shape", 7, Some(vec![size(3)])), value("y.raw", 1, rows(1))],
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version, ..Default::default() };
    ModelProto {
        ir_version: 10,
        opset_import: vec![opset("", 21), opset("com.example", 3)],
        producer_name: "netwright".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Two results.".to_owned(),
        graph: MessageField::some(graph),
        metadata_props: vec![StringStringEntryProto {
            key: "task".to_owned(),
            value: "test".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}
