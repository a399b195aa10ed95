//! The structs, the schema table and `onnx-protobuf` agree.

use std::collections::BTreeSet;
use std::ptr;

use bytes::Bytes;
use netwright_onnx::wire::schema::{self, FieldKind, Schema};
use netwright_onnx::wire::{self, scan};
use prost::Message;

use super::encode::sample;
use super::model;

/// The fields that `onnx-protobuf` does not know: its schema is that of IR 10, without the ONNX-ML parts.
const UNKNOWN_TO_PROTOBUF: [(&str, u32); 3] = [
    ("ModelProto", 26), // configuration, IR 11
    ("NodeProto", 10),  // device_configurations, IR 11
    ("TypeProto", 7),   // opaque_type, outside ONNX-ML since IR 14
];

/// Checks that `M` agrees with `schema`: every field round-trips, byte for byte.
fn ours<M: Message + Default>(schema: &'static Schema) -> &'static str {
    for (nth, depth) in (0..6).zip([0, 1, 2, 3].into_iter().cycle()) {
        let bytes = sample(schema, nth, depth);
        assert_eq!(scan(schema, &bytes), Ok(vec![]));
        assert!(M::decode(&*bytes).unwrap().encode_to_vec() == bytes, "{} differs from its schema", schema.name);
    }
    schema.name
}

/// Checks that `P`, of an independent implementation, agrees too, in both directions.
fn both<M: Message + Default + PartialEq, P: protobuf::Message>(schema: &'static Schema) -> &'static str {
    let mut unknown = BTreeSet::new();
    for nth in 0..6 {
        let ours = M::decode(&*sample(schema, nth, 3)).unwrap();
        let theirs = P::parse_from_bytes(&ours.encode_to_vec()).unwrap();
        unknown.extend(theirs.special_fields().unknown_fields().iter().map(|(number, _)| number));
        let back = M::decode(&*theirs.write_to_bytes().unwrap()).unwrap();
        assert!(back == ours, "{} does not round-trip", schema.name);
    }
    let listed = UNKNOWN_TO_PROTOBUF.iter().filter(|field| field.0 == schema.name);
    assert!(listed.map(|field| &field.1).eq(&unknown), "{}: {unknown:?}", schema.name);
    self::ours::<M>(schema)
}

#[test]
fn every_field_of_every_message() {
    use onnx_protobuf as pb;
    let mut checked = [
        both::<wire::ModelProto, pb::ModelProto>(&schema::MODEL),
        both::<wire::OperatorSetIdProto, pb::OperatorSetIdProto>(&schema::OPERATOR_SET_ID),
        both::<wire::StringStringEntryProto, pb::StringStringEntryProto>(&schema::STRING_STRING_ENTRY),
        both::<wire::GraphProto, pb::GraphProto>(&schema::GRAPH),
        both::<wire::TensorAnnotation, pb::TensorAnnotation>(&schema::TENSOR_ANNOTATION),
        both::<wire::NodeProto, pb::NodeProto>(&schema::NODE),
        both::<wire::AttributeProto, pb::AttributeProto>(&schema::ATTRIBUTE),
        both::<wire::FunctionProto, pb::FunctionProto>(&schema::FUNCTION),
        both::<wire::TrainingInfoProto, pb::TrainingInfoProto>(&schema::TRAINING_INFO),
        both::<wire::TensorProto, pb::TensorProto>(&schema::TENSOR),
        both::<wire::SegmentProto, pb::tensor_proto::Segment>(&schema::SEGMENT),
        both::<wire::SparseTensorProto, pb::SparseTensorProto>(&schema::SPARSE_TENSOR),
        both::<wire::ValueInfoProto, pb::ValueInfoProto>(&schema::VALUE_INFO),
        both::<wire::TypeProto, pb::TypeProto>(&schema::TYPE),
        both::<wire::TensorTypeProto, pb::type_proto::Tensor>(&schema::TENSOR_TYPE),
        both::<wire::SequenceTypeProto, pb::type_proto::Sequence>(&schema::SEQUENCE_TYPE),
        both::<wire::MapTypeProto, pb::type_proto::Map>(&schema::MAP_TYPE),
        both::<wire::OptionalTypeProto, pb::type_proto::Optional>(&schema::OPTIONAL_TYPE),
        both::<wire::SparseTensorTypeProto, pb::type_proto::SparseTensor>(&schema::SPARSE_TENSOR_TYPE),
        both::<wire::TensorShapeProto, pb::TensorShapeProto>(&schema::TENSOR_SHAPE),
        both::<wire::DimensionProto, pb::tensor_shape_proto::Dimension>(&schema::DIMENSION),
        // The messages of the fields that `onnx-protobuf` does not know.
        ours::<wire::OpaqueTypeProto>(&schema::OPAQUE_TYPE),
        ours::<wire::DeviceConfigurationProto>(&schema::DEVICE_CONFIGURATION),
        ours::<wire::NodeDeviceConfigurationProto>(&schema::NODE_DEVICE_CONFIGURATION),
        ours::<wire::ShardingSpecProto>(&schema::SHARDING_SPEC),
        ours::<wire::IntIntListEntryProto>(&schema::INT_INT_LIST_ENTRY),
        ours::<wire::ShardedDimProto>(&schema::SHARDED_DIM),
        ours::<wire::SimpleShardedDimProto>(&schema::SIMPLE_SHARDED_DIM),
    ];
    let mut reachable = vec![&schema::MODEL];
    let mut next = 0;
    while let Some(&message) = reachable.get(next) {
        for field in message.fields {
            if let FieldKind::Message(inner) = field.kind
                && !reachable.iter().any(|known| ptr::eq(*known, inner))
            {
                reachable.push(inner);
            }
        }
        next += 1;
    }
    let mut reachable: Vec<_> = reachable.iter().map(|message| message.name).collect();
    checked.sort_unstable();
    reachable.sort_unstable();
    assert_eq!(checked[..], reachable[..]);
}

#[test]
fn raw_data_stays_in_the_file() {
    let file = Bytes::from(model().encode_to_vec());
    let decoded = wire::ModelProto::decode(file.clone()).unwrap();
    assert_eq!(decoded, model());
    let raw = decoded.graph.unwrap().initializer.remove(0).raw_data.unwrap();
    let offset = usize::try_from(wire::offset_in(&file, &raw).unwrap()).unwrap();
    assert_eq!(file[offset..offset + raw.len()], raw);
}
