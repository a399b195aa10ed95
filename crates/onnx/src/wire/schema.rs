//! The messages of `onnx.proto` (IR 14) as a table, against which [`scan()`](super::scan()) checks a file.
//!
//! Fields are in the order in which the structs write them: by number, a `oneof` at its lowest number.

use std::fmt;

/// A message: its name in `onnx.proto`, and its fields.
pub struct Schema {
    /// The name, e.g. `TypeProto.Tensor`.
    pub name: &'static str,
    /// The fields.
    pub fields: &'static [Field],
}

/// Messages contain one another recursively, so only the name is shown.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// The number, unique in its message.
    pub number: u32,
    /// The name.
    pub name: &'static str,
    /// What one element holds.
    pub kind: FieldKind,
    /// How many elements there may be.
    pub label: Label,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// A varint of 32 bits, or an enumeration.
    Int32,
    /// A varint of 64 bits.
    Int64,
    /// An unsigned varint of 64 bits.
    Uint64,
    /// 4 bytes.
    Float,
    /// 8 bytes.
    Double,
    /// UTF-8.
    String,
    /// Any bytes.
    Bytes,
    /// A message.
    Message(&'static Schema),
}

/// The name in the language of `onnx.proto`.
impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Message(schema) => schema.name,
        })
    }
}

/// How many elements a field may have, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// At most one. If repeated, the last scalar counts, and messages merge.
    Optional,
    /// At most one among all fields of the message with this label; the last counts. (No message has two `oneof`s.)
    Oneof,
    /// Any number, each with its own key. Numbers may also be packed.
    Repeated,
    /// Any number, packed in one run of bytes. They may also be unpacked.
    Packed,
}

use FieldKind::{Bytes, Double, Float, Int32, Int64, Message, String, Uint64};

const fn optional(number: u32, name: &'static str, kind: FieldKind) -> Field {
    Field { number, name, kind, label: Label::Optional }
}

const fn oneof(number: u32, name: &'static str, kind: FieldKind) -> Field {
    Field { number, name, kind, label: Label::Oneof }
}

const fn repeated(number: u32, name: &'static str, kind: FieldKind) -> Field {
    Field { number, name, kind, label: Label::Repeated }
}

const fn packed(number: u32, name: &'static str, kind: FieldKind) -> Field {
    Field { number, name, kind, label: Label::Packed }
}

const METADATA: FieldKind = Message(&STRING_STRING_ENTRY);

/// `ModelProto`
pub static MODEL: Schema = Schema {
    name: "ModelProto",
    fields: &[
        optional(1, "ir_version", Int64),
        optional(2, "producer_name", String),
        optional(3, "producer_version", String),
        optional(4, "domain", String),
        optional(5, "model_version", Int64),
        optional(6, "doc_string", String),
        optional(7, "graph", Message(&GRAPH)),
        repeated(8, "opset_import", Message(&OPERATOR_SET_ID)),
        repeated(14, "metadata_props", METADATA),
        repeated(20, "training_info", Message(&TRAINING_INFO)),
        repeated(25, "functions", Message(&FUNCTION)),
        repeated(26, "configuration", Message(&DEVICE_CONFIGURATION)),
    ],
};

/// `OperatorSetIdProto`
pub static OPERATOR_SET_ID: Schema =
    Schema { name: "OperatorSetIdProto", fields: &[optional(1, "domain", String), optional(2, "version", Int64)] };

/// `StringStringEntryProto`
pub static STRING_STRING_ENTRY: Schema =
    Schema { name: "StringStringEntryProto", fields: &[optional(1, "key", String), optional(2, "value", String)] };

/// `GraphProto`
pub static GRAPH: Schema = Schema {
    name: "GraphProto",
    fields: &[
        repeated(1, "node", Message(&NODE)),
        optional(2, "name", String),
        repeated(5, "initializer", Message(&TENSOR)),
        optional(10, "doc_string", String),
        repeated(11, "input", Message(&VALUE_INFO)),
        repeated(12, "output", Message(&VALUE_INFO)),
        repeated(13, "value_info", Message(&VALUE_INFO)),
        repeated(14, "quantization_annotation", Message(&TENSOR_ANNOTATION)),
        repeated(15, "sparse_initializer", Message(&SPARSE_TENSOR)),
        repeated(16, "metadata_props", METADATA),
    ],
};

/// `TensorAnnotation`
pub static TENSOR_ANNOTATION: Schema = Schema {
    name: "TensorAnnotation",
    fields: &[optional(1, "tensor_name", String), repeated(2, "quant_parameter_tensor_names", METADATA)],
};

/// `NodeProto`
pub static NODE: Schema = Schema {
    name: "NodeProto",
    fields: &[
        repeated(1, "input", String),
        repeated(2, "output", String),
        optional(3, "name", String),
        optional(4, "op_type", String),
        repeated(5, "attribute", Message(&ATTRIBUTE)),
        optional(6, "doc_string", String),
        optional(7, "domain", String),
        optional(8, "overload", String),
        repeated(9, "metadata_props", METADATA),
        repeated(10, "device_configurations", Message(&NODE_DEVICE_CONFIGURATION)),
    ],
};

/// `AttributeProto`
pub static ATTRIBUTE: Schema = Schema {
    name: "AttributeProto",
    fields: &[
        optional(1, "name", String),
        optional(2, "f", Float),
        optional(3, "i", Int64),
        optional(4, "s", Bytes),
        optional(5, "t", Message(&TENSOR)),
        optional(6, "g", Message(&GRAPH)),
        repeated(7, "floats", Float),
        repeated(8, "ints", Int64),
        repeated(9, "strings", Bytes),
        repeated(10, "tensors", Message(&TENSOR)),
        repeated(11, "graphs", Message(&GRAPH)),
        optional(13, "doc_string", String),
        optional(14, "tp", Message(&TYPE)),
        repeated(15, "type_protos", Message(&TYPE)),
        optional(20, "type", Int32),
        optional(21, "ref_attr_name", String),
        optional(22, "sparse_tensor", Message(&SPARSE_TENSOR)),
        repeated(23, "sparse_tensors", Message(&SPARSE_TENSOR)),
    ],
};

/// `FunctionProto`
pub static FUNCTION: Schema = Schema {
    name: "FunctionProto",
    fields: &[
        optional(1, "name", String),
        repeated(4, "input", String),
        repeated(5, "output", String),
        repeated(6, "attribute", String),
        repeated(7, "node", Message(&NODE)),
        optional(8, "doc_string", String),
        repeated(9, "opset_import", Message(&OPERATOR_SET_ID)),
        optional(10, "domain", String),
        repeated(11, "attribute_proto", Message(&ATTRIBUTE)),
        repeated(12, "value_info", Message(&VALUE_INFO)),
        optional(13, "overload", String),
        repeated(14, "metadata_props", METADATA),
    ],
};

/// `TrainingInfoProto`
pub static TRAINING_INFO: Schema = Schema {
    name: "TrainingInfoProto",
    fields: &[
        optional(1, "initialization", Message(&GRAPH)),
        optional(2, "algorithm", Message(&GRAPH)),
        repeated(3, "initialization_binding", METADATA),
        repeated(4, "update_binding", METADATA),
    ],
};

/// `TensorProto`
pub static TENSOR: Schema = Schema {
    name: "TensorProto",
    fields: &[
        repeated(1, "dims", Int64),
        optional(2, "data_type", Int32),
        optional(3, "segment", Message(&SEGMENT)),
        packed(4, "float_data", Float),
        packed(5, "int32_data", Int32),
        repeated(6, "string_data", Bytes),
        packed(7, "int64_data", Int64),
        optional(8, "name", String),
        optional(9, "raw_data", Bytes),
        packed(10, "double_data", Double),
        packed(11, "uint64_data", Uint64),
        optional(12, "doc_string", String),
        repeated(13, "external_data", METADATA),
        optional(14, "data_location", Int32),
        repeated(16, "metadata_props", METADATA),
    ],
};

/// `TensorProto.Segment`
pub static SEGMENT: Schema =
    Schema { name: "TensorProto.Segment", fields: &[optional(1, "begin", Int64), optional(2, "end", Int64)] };

/// `SparseTensorProto`
pub static SPARSE_TENSOR: Schema = Schema {
    name: "SparseTensorProto",
    fields: &[
        optional(1, "values", Message(&TENSOR)),
        optional(2, "indices", Message(&TENSOR)),
        repeated(3, "dims", Int64),
    ],
};

/// `ValueInfoProto`
pub static VALUE_INFO: Schema = Schema {
    name: "ValueInfoProto",
    fields: &[
        optional(1, "name", String),
        optional(2, "type", Message(&TYPE)),
        optional(3, "doc_string", String),
        repeated(4, "metadata_props", METADATA),
    ],
};

/// `TypeProto`
pub static TYPE: Schema = Schema {
    name: "TypeProto",
    fields: &[
        oneof(1, "tensor_type", Message(&TENSOR_TYPE)),
        oneof(4, "sequence_type", Message(&SEQUENCE_TYPE)),
        oneof(5, "map_type", Message(&MAP_TYPE)),
        oneof(7, "opaque_type", Message(&OPAQUE_TYPE)),
        oneof(8, "sparse_tensor_type", Message(&SPARSE_TENSOR_TYPE)),
        oneof(9, "optional_type", Message(&OPTIONAL_TYPE)),
        optional(6, "denotation", String),
    ],
};

/// `TypeProto.Tensor`
pub static TENSOR_TYPE: Schema = Schema {
    name: "TypeProto.Tensor",
    fields: &[optional(1, "elem_type", Int32), optional(2, "shape", Message(&TENSOR_SHAPE))],
};

/// `TypeProto.Sequence`
pub static SEQUENCE_TYPE: Schema =
    Schema { name: "TypeProto.Sequence", fields: &[optional(1, "elem_type", Message(&TYPE))] };

/// `TypeProto.Map`
pub static MAP_TYPE: Schema = Schema {
    name: "TypeProto.Map",
    fields: &[optional(1, "key_type", Int32), optional(2, "value_type", Message(&TYPE))],
};

/// `TypeProto.Optional`
pub static OPTIONAL_TYPE: Schema =
    Schema { name: "TypeProto.Optional", fields: &[optional(1, "elem_type", Message(&TYPE))] };

/// `TypeProto.SparseTensor`
pub static SPARSE_TENSOR_TYPE: Schema = Schema {
    name: "TypeProto.SparseTensor",
    fields: &[optional(1, "elem_type", Int32), optional(2, "shape", Message(&TENSOR_SHAPE))],
};

/// `TypeProto.Opaque`
pub static OPAQUE_TYPE: Schema =
    Schema { name: "TypeProto.Opaque", fields: &[optional(1, "domain", String), optional(2, "name", String)] };

/// `TensorShapeProto`
pub static TENSOR_SHAPE: Schema =
    Schema { name: "TensorShapeProto", fields: &[repeated(1, "dim", Message(&DIMENSION))] };

/// `TensorShapeProto.Dimension`
pub static DIMENSION: Schema = Schema {
    name: "TensorShapeProto.Dimension",
    fields: &[oneof(1, "dim_value", Int64), oneof(2, "dim_param", String), optional(3, "denotation", String)],
};

/// `DeviceConfigurationProto`
pub static DEVICE_CONFIGURATION: Schema = Schema {
    name: "DeviceConfigurationProto",
    fields: &[optional(1, "name", String), optional(2, "num_devices", Int32), repeated(3, "device", String)],
};

/// `NodeDeviceConfigurationProto`
pub static NODE_DEVICE_CONFIGURATION: Schema = Schema {
    name: "NodeDeviceConfigurationProto",
    fields: &[
        optional(1, "configuration_id", String),
        repeated(2, "sharding_spec", Message(&SHARDING_SPEC)),
        optional(3, "pipeline_stage", Int32),
    ],
};

/// `ShardingSpecProto`
pub static SHARDING_SPEC: Schema = Schema {
    name: "ShardingSpecProto",
    fields: &[
        optional(1, "tensor_name", String),
        repeated(2, "device", Int64),
        repeated(3, "index_to_device_group_map", Message(&INT_INT_LIST_ENTRY)),
        repeated(4, "sharded_dim", Message(&SHARDED_DIM)),
    ],
};

/// `IntIntListEntryProto`
pub static INT_INT_LIST_ENTRY: Schema =
    Schema { name: "IntIntListEntryProto", fields: &[optional(1, "key", Int64), repeated(2, "value", Int64)] };

/// `ShardedDimProto`
pub static SHARDED_DIM: Schema = Schema {
    name: "ShardedDimProto",
    fields: &[optional(1, "axis", Int64), repeated(2, "simple_sharding", Message(&SIMPLE_SHARDED_DIM))],
};

/// `SimpleShardedDimProto`
pub static SIMPLE_SHARDED_DIM: Schema = Schema {
    name: "SimpleShardedDimProto",
    fields: &[oneof(1, "dim_value", Int64), oneof(2, "dim_param", String), optional(3, "num_shards", Int64)],
};
