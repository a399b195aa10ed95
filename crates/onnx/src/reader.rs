//! The reader: a file becomes a model. Weights stay where they are, as ranges of the file or of its external data.
//!
//! A file is untrusted: it is scanned before it is decoded, every law that the graph is built on is checked, and what
//! has no place in the IR yet is an error that says so; nothing is dropped in silence.

use crate::forms::READ_OPSETS;
use crate::wire::{self, IR_VERSION, ModelProto, UnknownField, WireError, schema};
use bytes::Bytes;
use netwright_files::{self as files, Folder, Source};
use netwright_ir::Model;
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod attribute;
mod graph;
mod tensor;

/// How a model is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// A folder beneath which external data may lie where the model's folder has links into it.
    pub data_dir: Option<PathBuf>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] files::Error),
    /// It can, but it is no model, or not one that is read.
    #[error("{path:?}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is no protobuf file of ONNX's messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// `prost` refuses it.
    #[error("the file cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field that no version of ONNX up to IR 14 has.
    #[error("{0}; the file is of a newer version of ONNX, or not ONNX")]
    UnknownField(UnknownField),
    /// The version of the file format is not one that is read.
    #[error("the IR version is {}, and versions 1 to {IR_VERSION} are read", show(*.found))]
    IrVersion {
        /// What the file says.
        found: Option<i64>,
    },
    /// The version of the default domain is not one that is read.
    #[error(
        "the opset is {}, and opsets {} to {} are read", show(*.found), READ_OPSETS.start(), READ_OPSETS.end()
    )]
    Opset {
        /// What the file says.
        found: Option<i64>,
    },
    /// A law of models or graphs is broken.
    #[error("{0}")]
    Graph(String),
    /// A law about one value is broken.
    #[error("value {name:?}: {what}")]
    Value {
        /// Its name.
        name: String,
        /// The law, with what was found.
        what: String,
    },
    /// A law about one node is broken.
    #[error("{node}: {what}")]
    Node {
        /// Its operator and name.
        node: String,
        /// The law, with what was found.
        what: String,
    },
    /// A law about one tensor is broken.
    #[error("tensor {name:?}: {what}")]
    Tensor {
        /// Its name, or that of the node that holds it.
        name: String,
        /// The law, with what was found.
        what: String,
    },
    /// The file is sound, but holds what the IR has no place for yet.
    #[error("{place}: {what} are not read yet")]
    NotYet {
        /// Where.
        place: String,
        /// What, in plural.
        what: &'static str,
    },
}

fn show(version: Option<i64>) -> String {
    version.map_or_else(|| "missing".to_owned(), |version| version.to_string())
}

/// Reads a model.
///
/// # Errors
/// When the file is not ONNX, breaks a law of ONNX, or holds what is not read yet.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Model, ReadError> {
    let source = Source::open(path)?;
    let bytes = source.map()?;
    let mut folder = Folder::of(path)?;
    if let Some(data_dir) = &options.data_dir {
        folder = folder.with_data_dir(data_dir)?;
    }
    decode(bytes, &source, &folder).map_err(|problem| ReadError::Invalid { path: path.to_owned(), problem })
}

fn decode(bytes: Bytes, source: &Source, folder: &Folder) -> Result<Model, Problem> {
    if let Some(field) = wire::scan(&schema::MODEL, &bytes)?.into_iter().next() {
        return Err(Problem::UnknownField(field));
    }
    let mut proto = ModelProto::decode(bytes)?;
    let opsets = versions(&proto)?;
    let graph = proto.graph.take().ok_or_else(|| Problem::Graph("the model has no graph".to_owned()))?;
    let context = Context { source, folder, opsets: &opsets };
    let mut model = Model::new(graph::read(graph, &context)?);
    model.opsets = opsets;
    describe(&mut model, proto)?;
    Ok(model)
}

/// What every part of a file is read with.
struct Context<'a> {
    source: &'a Source,
    folder: &'a Folder,
    opsets: &'a BTreeMap<String, i64>,
}

impl Context<'_> {
    /// The version of the default domain; `versions` saw to it that there is one.
    fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or_default()
    }
}

/// The default domain has two names.
fn domain(name: Option<&str>) -> &str {
    name.filter(|name| *name != "ai.onnx").unwrap_or_default()
}

/// Checks the versions; those of the operator sets.
fn versions(proto: &ModelProto) -> Result<BTreeMap<String, i64>, Problem> {
    if !proto.ir_version.is_some_and(|version| (1..=IR_VERSION).contains(&version)) {
        return Err(Problem::IrVersion { found: proto.ir_version });
    }
    let mut opsets = BTreeMap::new();
    for import in &proto.opset_import {
        let domain = domain(import.domain.as_deref());
        let version = import.version.unwrap_or_default();
        if opsets.insert(domain.to_owned(), version).is_some_and(|other| other != version) {
            return Err(Problem::Graph(format!("the operator set {domain:?} has two versions")));
        }
    }
    match opsets.get("") {
        Some(opset) if READ_OPSETS.contains(opset) => Ok(opsets),
        found => Err(Problem::Opset { found: found.copied() }),
    }
}

/// What stands beside the graph.
fn describe(model: &mut Model, proto: ModelProto) -> Result<(), Problem> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let unread = [
        (!proto.functions.is_empty(), "local functions"),
        (!proto.training_info.is_empty(), "training steps"),
        (!proto.configuration.is_empty(), "device configurations"),
        (given(&proto.domain), "domains of models"),
        (proto.model_version.is_some_and(|version| version != 0), "versions of models"),
    ];
    not_yet("the model", &unread)?;
    if given(&proto.producer_name) || given(&proto.producer_version) {
        model.producer = Some((proto.producer_name.unwrap_or_default(), proto.producer_version.unwrap_or_default()));
    }
    model.doc = proto.doc_string.unwrap_or_default();
    for entry in proto.metadata_props {
        let key = entry.key.unwrap_or_default();
        if model.metadata.insert(key.clone(), entry.value.unwrap_or_default()).is_some() {
            return Err(Problem::Graph(format!("the metadata has the key {key:?} twice")));
        }
    }
    Ok(())
}

/// An error for the first of these that is there.
fn not_yet(place: &str, unread: &[(bool, &'static str)]) -> Result<(), Problem> {
    match unread.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(Problem::NotYet { place: place.to_owned(), what }),
        None => Ok(()),
    }
}
