//! What a file says beside its meaning, kept as it came.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Descriptions and properties of a graph, a node, a value, a tensor or a function.
///
/// No pass reads them; a node that takes the place of another has its notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// A description.
    pub doc: String,
    /// Properties, by key.
    pub metadata: BTreeMap<String, String>,
    /// Of a value: what its type stands for, in ONNX's standard words, such as `IMAGE`.
    pub denotation: String,
    /// Of a value: what its axes stand for, such as `DATA_BATCH`; empty where none is said.
    pub axes: Vec<String>,
    /// Of a value: how the file spells its sizes, such as `2 * n` for `2*n`; empty where there is one way only.
    pub spellings: Vec<String>,
    /// Of a node: on which devices it runs, each in the encoding of the file.
    pub devices: Vec<Bytes>,
    /// Of a node: what is said of its attributes and of the tensors in them.
    pub attributes: BTreeMap<Arc<str>, AttributeNotes>,
}

/// What is said of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeNotes {
    /// A description.
    pub doc: String,
    /// Of the tensor in it: its name, where it has one.
    pub tensor_name: String,
    /// Of the tensor in it.
    pub tensor: TensorNotes,
}

/// What is said of a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorNotes {
    /// A description.
    pub doc: String,
    /// Properties, by key.
    pub metadata: BTreeMap<String, String>,
}

impl Notes {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
