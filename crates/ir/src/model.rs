//! A model: a graph, and what a file says beside it.

use crate::attribute::Attribute;
use crate::{Graph, Notes};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of the default domain's operators that a model is written in.
pub const DEFAULT_OPSET: i64 = 21;

/// A graph with the versions of its operators and what describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The graph.
    pub graph: Graph,
    /// The version of each operator set, by domain; ONNX's default domain is the empty one.
    pub opsets: BTreeMap<String, i64>,
    /// Functions that nodes may call, in the order of the file.
    pub functions: Vec<Function>,
    /// Steps that train it, in the order of the file.
    pub training: Vec<Training>,
    /// The tool that made it, and its version.
    pub producer: Option<(String, String)>,
    /// The domain of its name, such as `com.example`.
    pub domain: String,
    /// The version of the model itself.
    pub version: i64,
    /// A description.
    pub doc: String,
    /// Further properties, by key.
    pub metadata: BTreeMap<String, String>,
    /// Whether the file has operators of the default domain before the opset that brings them, as ONNX Runtime runs
    /// `LayerNormalization` at any: they are written as they came, not as what they stand for.
    pub early_operators: bool,
    /// Configurations of devices that nodes are assigned to, each in the encoding of the file.
    pub devices: Vec<Bytes>,
    /// What the reader found wrong with the file and read all the same, each a sentence.
    pub warnings: Vec<String>,
}

/// A function that nodes call by its domain, name and overload.
///
/// Its operators are kept as they came: they may take attributes of the calling node, and the types of its inputs are
/// those of the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The domain.
    pub domain: Arc<str>,
    /// The operator's type that calls it.
    pub name: Arc<str>,
    /// Which of the functions of that name.
    pub overload: Arc<str>,
    /// What it computes.
    pub graph: Graph,
    /// The attributes that a call must give.
    pub attributes: Vec<Arc<str>>,
    /// The attributes that a call may give, with their defaults.
    pub defaults: Vec<(Arc<str>, Attribute)>,
    /// The version of each operator set that its nodes are of.
    pub opsets: BTreeMap<String, i64>,
    /// What is said of it.
    pub notes: Notes,
}

/// A step that trains a model, kept as it came.
///
/// Its graphs capture values of the model's graph; the captures have their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// What gives the trained tensors their first values.
    pub initialization: Option<Graph>,
    /// What computes their next values.
    pub algorithm: Option<Graph>,
    /// Which tensor gets which output of the initialization.
    pub initialization_binding: Vec<(String, String)>,
    /// Which tensor gets which output of the algorithm.
    pub update_binding: Vec<(String, String)>,
}

impl Model {
    /// A model in the [default opset](DEFAULT_OPSET).
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

    /// The version of the default domain.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(DEFAULT_OPSET)
    }
}
