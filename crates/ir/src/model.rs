//! A model: a graph, and what a file says beside it.

use crate::Graph;
use std::collections::BTreeMap;

/// The version of the default domain's operators that a model is written in.
pub const DEFAULT_OPSET: i64 = 21;

/// A graph with the versions of its operators and what describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The graph.
    pub graph: Graph,
    /// The version of each operator set, by domain; ONNX's default domain is the empty one.
    pub opsets: BTreeMap<String, i64>,
    /// The tool that made it, and its version.
    pub producer: Option<(String, String)>,
    /// A description.
    pub doc: String,
    /// Further properties, by key.
    pub metadata: BTreeMap<String, String>,
}

impl Model {
    /// A model in the [default opset](DEFAULT_OPSET).
    pub fn new(graph: Graph) -> Self {
        Self {
            graph,
            opsets: BTreeMap::from([(String::new(), DEFAULT_OPSET)]),
            producer: None,
            doc: String::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// The version of the default domain.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(DEFAULT_OPSET)
    }
}
