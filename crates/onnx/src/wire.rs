//! The wire types of ONNX: the protobuf messages of an `.onnx` file, before they are interpreted.
//!
//! The structs are those of `onnx.proto` at IR version 14 (onnx 1.23.2), declared by hand with `prost`. The file is
//! proto2, so an `optional` field is an `Option`, and decoding distinguishes absent from zero or empty. Decoding and
//! encoding a file gives its bytes back if its fields were in the order of their numbers, as protobuf's own writers do.
//! `raw_data` is [`bytes::Bytes`]: decoded from `Bytes` over a file, weights keep their place in it ([`offset_in`]).
//! Nested messages have flat names: `TypeProto.Tensor` is [`TensorTypeProto`].
//!
//! `prost` silently drops unknown fields. So [`scan()`] first checks the wire format against [`schema`], a table of the
//! same messages, and reports unknown fields and damage with their position. `prost` decodes every file that it
//! accepts.
//!
//! ```
//! use bytes::Bytes;
//! use netwright_onnx::wire::{self, schema};
//! use prost::Message;
//!
//! let graph = wire::GraphProto { name: Some("encoder".to_owned()), ..Default::default() };
//! let model = wire::ModelProto { ir_version: Some(10), graph: Some(graph), ..Default::default() };
//! let file = Bytes::from(model.encode_to_vec());
//!
//! assert_eq!(wire::scan(&schema::MODEL, &file)?, []); // no unknown field
//! assert_eq!(wire::ModelProto::decode(file.clone())?, model);
//!
//! let cut = wire::scan(&schema::MODEL, &file[..file.len() - 1]).unwrap_err();
//! assert_eq!((cut.path.as_str(), cut.offset), ("ModelProto.graph", 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod device;
mod model;
mod scan;
pub mod schema;
mod tensor;
mod types;

pub use device::{
    DeviceConfigurationProto, IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDim, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDimProto,
};
pub use model::{
    AttributeProto, AttributeType, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorAnnotation, TrainingInfoProto,
};
pub(crate) use scan::varint;
pub use scan::{MAX_DEPTH, MAX_TYPE_DEPTH, MAX_UNKNOWN_FIELDS, UnknownField, WireError, WireProblem, scan};
pub use tensor::{DataLocation, DataType, SegmentProto, SparseTensorProto, TensorProto, offset_in};
pub use types::{
    DimensionProto, DimensionValue, MapTypeProto, OpaqueTypeProto, OptionalTypeProto, SequenceTypeProto,
    SparseTensorTypeProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};

/// The newest IR version that the messages cover.
pub const IR_VERSION: i64 = 14;
