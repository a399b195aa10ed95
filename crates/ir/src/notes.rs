//! Metadata of a file that does not affect what it computes, passed through unchanged.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metadata of a graph, a node, a value, a tensor or a function.
///
/// No pass reads it; a node that replaces another inherits its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// A description.
    pub doc: String,
    /// Properties, by key.
    pub metadata: BTreeMap<String, String>,
    /// Of a value: what it means, in ONNX's standard words, such as `IMAGE`.
    pub denotation: String,
    /// Of a value: what each axis means, such as `DATA_BATCH`; empty if the file does not say.
    pub axes: Vec<String>,
    /// Of a value: how the file spells its symbolic sizes, such as `2 * n` for `2*n`; empty if the spelling is the
    /// canonical one.
    pub spellings: Vec<String>,
    /// Of a node: the devices it runs on, each in its protobuf encoding.
    pub devices: Vec<Bytes>,
    /// Of a node: the metadata of its attributes and of the tensors in them.
    pub attributes: BTreeMap<Arc<str>, AttributeNotes>,
}

/// The metadata of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeNotes {
    /// A description.
    pub doc: String,
    /// The name of the tensor in it, if it has one.
    pub tensor_name: String,
    /// The metadata of the tensor in it.
    pub tensor: TensorNotes,
}

/// The metadata of a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorNotes {
    /// A description.
    pub doc: String,
    /// Properties, by key.
    pub metadata: BTreeMap<String, String>,
}

impl Notes {
    /// Whether there is no metadata.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
