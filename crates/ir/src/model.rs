//! A model: a graph, its operator sets, functions and metadata.

use crate::attribute::Attribute;
use crate::{Graph, Notes};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The opset that a model is written in by default.
pub const DEFAULT_OPSET: i64 = 21;

/// A graph with the versions of its operator sets, its functions and its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The graph.
    pub graph: Graph,
    /// The version of each operator set, by domain; ONNX's default domain is the empty one.
    pub opsets: BTreeMap<String, i64>,
    /// The functions that nodes may call, in the order of the file.
    pub functions: Vec<Function>,
    /// The training steps, in the order of the file.
    pub training: Vec<Training>,
    /// The tool that created the model, and its version.
    pub producer: Option<(String, String)>,
    /// The model's domain, such as `com.example`.
    pub domain: String,
    /// The version of the model itself.
    pub version: i64,
    /// A description.
    pub doc: String,
    /// Metadata properties, by key.
    pub metadata: BTreeMap<String, String>,
    /// Whether the file has operators of the default domain before the opset that introduces them, which ONNX Runtime
    /// accepts (`LayerNormalization` at any opset): they are written unchanged, not decomposed.
    pub early_operators: bool,
    /// The device configurations that nodes refer to, each in its protobuf encoding.
    pub devices: Vec<Bytes>,
    /// What the reader found wrong with the file but accepted, one sentence each.
    pub warnings: Vec<String>,
}

/// A function that nodes call by its domain, name and overload.
///
/// Its operators are opaque: they may refer to attributes of the calling node, and the types of its inputs depend on
/// the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The domain.
    pub domain: Arc<str>,
    /// The name: the operator type of the nodes that call it.
    pub name: Arc<str>,
    /// The overload, which distinguishes functions of the same name.
    pub overload: Arc<str>,
    /// The graph of the function.
    pub graph: Graph,
    /// The attributes that a call must give.
    pub attributes: Vec<Arc<str>>,
    /// The attributes that a call may give, with their defaults.
    pub defaults: Vec<(Arc<str>, Attribute)>,
    /// The version of each operator set that its nodes use.
    pub opsets: BTreeMap<String, i64>,
    /// The metadata.
    pub notes: Notes,
}

/// A training step of a model, passed through unchanged.
///
/// Its graphs capture values of the model's graph under their names there.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The graph that computes the initial values of the trained tensors.
    pub initialization: Option<Graph>,
    /// The graph that computes their next values.
    pub algorithm: Option<Graph>,
    /// The tensor that each output of `initialization` sets: pairs of tensor and output.
    pub initialization_binding: Vec<(String, String)>,
    /// The tensor that each output of `algorithm` sets: pairs of tensor and output.
    pub update_binding: Vec<(String, String)>,
}

impl Model {
    /// Creates a model in the [default opset](DEFAULT_OPSET).
    pub fn new(graph: Graph) -> Self {
        Self {
            graph,
            opsets: BTreeMap::from([(String::new(), DEFAULT_OPSET)]),
            functions: vec![],
            training: vec![],
            producer: None,
            domain: String::new(),
            version: 0,
            doc: String::new(),
            metadata: BTreeMap::new(),
            early_operators: false,
            devices: vec![],
            warnings: vec![],
        }
    }

    /// Returns the opset: the version of the default domain.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(DEFAULT_OPSET)
    }
}
