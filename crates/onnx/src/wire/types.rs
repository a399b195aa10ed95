//! Types of values.

use super::StringStringEntryProto;

/// A value's name and type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfoProto {
    /// The name; it must be present.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The type; it must be present on the inputs and outputs of the main graph.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "3")]
    pub doc_string: Option<String>,
    /// Named metadata; keys are distinct (IR 10).
    #[prost(message, repeated, tag = "4")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A type: usually a tensor, else a sequence, a map, an optional, a sparse tensor or an opaque type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// The type itself; absent if unknown.
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 7, 8, 9")]
    pub value: Option<TypeValue>,
    /// What the value means, e.g. `IMAGE`.
    #[prost(string, optional, tag = "6")]
    pub denotation: Option<String>,
}

/// The kinds of type.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TypeValue {
    /// `tensor_type`
    #[prost(message, tag = "1")]
    Tensor(TensorTypeProto),
    /// `sequence_type`
    #[prost(message, tag = "4")]
    Sequence(SequenceTypeProto),
    /// `map_type`
    #[prost(message, tag = "5")]
    Map(MapTypeProto),
    /// `opaque_type`
    #[prost(message, tag = "7")]
    Opaque(OpaqueTypeProto),
    /// `sparse_tensor_type` (IR 8)
    #[prost(message, tag = "8")]
    SparseTensor(SparseTensorTypeProto),
    /// `optional_type` (IR 8)
    #[prost(message, tag = "9")]
    Optional(OptionalTypeProto),
}

/// `TypeProto.Tensor`: an element type and a shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorTypeProto {
    /// The number of a [`DataType`](super::DataType).
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// The shape. Absent: the rank is unknown. Present without dimensions: a scalar.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// `TypeProto.Sequence`: a list of values of one type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SequenceTypeProto {
    /// The type of each element.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// `TypeProto.Map`
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapTypeProto {
    /// The number of a [`DataType`](super::DataType): an integer type or `String`.
    #[prost(int32, optional, tag = "1")]
    pub key_type: Option<i32>,
    /// The type of the values.
    #[prost(message, optional, boxed, tag = "2")]
    pub value_type: Option<Box<TypeProto>>,
}

/// `TypeProto.Optional`: a value or nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionalTypeProto {
    /// The type of the value, if there is one.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// `TypeProto.SparseTensor`: an element type and a shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorTypeProto {
    /// The number of a [`DataType`](super::DataType).
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// The dense shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// `TypeProto.Opaque`: a type that only its domain understands.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpaqueTypeProto {
    /// The domain; absent for the model's own.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// The name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// A shape: one entry for each axis.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// `TensorShapeProto.Dimension`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DimensionProto {
    /// The size; absent if unknown.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
    /// What the axis means, e.g. `DATA_BATCH`.
    #[prost(string, optional, tag = "3")]
    pub denotation: Option<String>,
}

/// The size of a dimension.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum DimensionValue {
    /// `dim_value`: a number.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// `dim_param`: a symbol, equal wherever it occurs in the model.
    #[prost(string, tag = "2")]
    Param(String),
}
