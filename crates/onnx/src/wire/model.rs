//! Models, graphs, nodes, attributes and functions.

use super::{
    DeviceConfigurationProto, NodeDeviceConfigurationProto, SparseTensorProto, TensorProto, TypeProto, ValueInfoProto,
};

/// A model file: one graph, its operator sets, and its local functions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    /// The version of the file format; it must be present.
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// The imported operator sets, one per domain; at least one.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// The tool that wrote the file.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// The version of that tool.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// The model's name space, as a reverse domain name.
    #[prost(string, optional, tag = "4")]
    pub domain: Option<String>,
    /// The version of the model itself.
    #[prost(int64, optional, tag = "5")]
    pub model_version: Option<i64>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// The graph that is evaluated.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Named metadata; keys are distinct.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Steps of a training iteration, in order (IR 7).
    #[prost(message, repeated, tag = "20")]
    pub training_info: Vec<TrainingInfoProto>,
    /// Functions local to the model, unique by (domain, name, overload) and not recursive (IR 8).
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
    /// Ways to spread the model over several devices (IR 11).
    #[prost(message, repeated, tag = "26")]
    pub configuration: Vec<DeviceConfigurationProto>,
}

/// An operator set: a domain at a version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetIdProto {
    /// The domain; absent or empty for ONNX's own operators.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// The version of the set ("opset").
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// A pair of strings, the entry of ONNX's maps.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    /// The value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// A graph: nodes in topological order, inputs, outputs and initializers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphProto {
    /// The nodes, sorted topologically.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// The name of the graph.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Constants by name; one that is listed in `input` too is a default that the caller may override.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Constants in sparse form, named by their `values`.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "10")]
    pub doc_string: Option<String>,
    /// The inputs, in the caller's order.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// The outputs, in the caller's order.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of inner values, for those that have one.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// The quantization parameters of tensors.
    #[prost(message, repeated, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Named metadata; keys are distinct (IR 10).
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// The quantization parameters of one tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorAnnotation {
    /// The tensor that is described.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// Tensors by role, e.g. `SCALE_TENSOR` or `ZERO_POINT_TENSOR`.
    #[prost(message, repeated, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}

/// A node: one call of an operator or of a local function.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeProto {
    /// The operands by value name; an empty name is an absent operand.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The results by value name; an empty name is an unused result.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// The name of the node, which nothing refers to.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// The operator.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// The domain of the operator; absent or empty for ONNX's own.
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    /// Distinguishes local functions of the same domain and name (IR 10).
    #[prost(string, optional, tag = "8")]
    pub overload: Option<String>,
    /// The attributes; names are distinct.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// Named metadata; keys are distinct (IR 10).
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// How the node is spread over devices, for each configuration of the model (IR 11).
    #[prost(message, repeated, tag = "10")]
    pub device_configurations: Vec<NodeDeviceConfigurationProto>,
}

/// An attribute: a name and exactly one value, in the field given by `type`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeProto {
    /// The name; it must be present.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// In a function body: the function's attribute whose value this one takes, in place of a value
    /// of its own.
    #[prost(string, optional, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "13")]
    pub doc_string: Option<String>,
    /// The number of an [`AttributeType`]; it must be present from IR 2 on.
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
    /// A float.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// A string; UTF-8 according to the standard, bytes in protobuf.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<bytes::Bytes>,
    /// A tensor.
    #[prost(message, optional, boxed, tag = "5")]
    pub t: Option<Box<TensorProto>>,
    /// A graph, such as a branch of `If`.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// A sparse tensor.
    #[prost(message, optional, boxed, tag = "22")]
    pub sparse_tensor: Option<Box<SparseTensorProto>>,
    /// A type.
    #[prost(message, optional, boxed, tag = "14")]
    pub tp: Option<Box<TypeProto>>,
    /// Floats.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// Integers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Strings, as bytes.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<bytes::Bytes>,
    /// Tensors.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// Graphs.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// Sparse tensors.
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
    /// Types.
    #[prost(message, repeated, tag = "15")]
    pub type_protos: Vec<TypeProto>,
}

/// Which field of an [`AttributeProto`] holds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Not set.
    Undefined = 0,
    /// `f`
    Float = 1,
    /// `i`
    Int = 2,
    /// `s`
    String = 3,
    /// `t`
    Tensor = 4,
    /// `g`
    Graph = 5,
    /// `sparse_tensor`
    SparseTensor = 11,
    /// `tp`
    TypeProto = 13,
    /// `floats`
    Floats = 6,
    /// `ints`
    Ints = 7,
    /// `strings`
    Strings = 8,
    /// `tensors`
    Tensors = 9,
    /// `graphs`
    Graphs = 10,
    /// `sparse_tensors`
    SparseTensors = 12,
    /// `type_protos`
    TypeProtos = 14,
}

/// A function local to the model: an operator defined by nodes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionProto {
    /// The name, which calls give as their `op_type`.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The parameters by value name.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// The results by value name.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// The attributes without a default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// The attributes with a default (IR 9).
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// The body, sorted topologically.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "8")]
    pub doc_string: Option<String>,
    /// The operator sets of the body; they may differ from the model's.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// The domain of the function.
    #[prost(string, optional, tag = "10")]
    pub domain: Option<String>,
    /// Distinguishes functions of the same domain and name (IR 10).
    #[prost(string, optional, tag = "13")]
    pub overload: Option<String>,
    /// Types of inner values, for those that have one (IR 10).
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Named metadata; keys are distinct (IR 10).
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// One step of training: how to set initializers at the start, and how to update them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainingInfoProto {
    /// Computes the initial tensors; it has no inputs.
    #[prost(message, optional, tag = "1")]
    pub initialization: Option<GraphProto>,
    /// Computes one step; it sees the values of the model's graph.
    #[prost(message, optional, tag = "2")]
    pub algorithm: Option<GraphProto>,
    /// The initializer (key) that each output (value) of `initialization` sets.
    #[prost(message, repeated, tag = "3")]
    pub initialization_binding: Vec<StringStringEntryProto>,
    /// The initializer (key) that each output (value) of `algorithm` updates.
    #[prost(message, repeated, tag = "4")]
    pub update_binding: Vec<StringStringEntryProto>,
}
