//! The reader: reads a file into a model. Weights stay where they are, as ranges of the file or of its external data.
//!
//! A file is untrusted: it is scanned before it is decoded, and the graph's rules are checked. What the IR cannot
//! represent is an error; nothing is dropped silently.

use crate::forms::READ_OPSETS;
use crate::wire::{
    self, GraphProto, IR_VERSION, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto,
    UnknownField, WireError, WireProblem, schema,
};
use bytes::Bytes;
use function::Functions;
use graph::{Scope, Surroundings};
use netwright_files::{self as files, Code, Folder, Source};
use netwright_ir::{Fact, Graph, HashMap, Model, Training};
use prost::Message;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

mod attribute;
mod frames;
mod function;
mod graph;
mod names;
mod notes;
mod tensor;

/// The opsets newer than those with known operators: their operators are opaque.
pub const OPAQUE_OPSETS: RangeInclusive<i64> = 29..=40;

/// The domains whose operators ONNX Runtime runs even in models that do not import them, with the version that it
/// assumes; not so in their functions.
const ASSUMED: [(&str, i64, &str); 2] =
    [("com.microsoft", 1, "the only one"), ("ai.onnx.ml", 5, "the newest that ONNX Runtime knows")];

/// Whether the operators of an opset are opaque because it is newer or older than those with known operators.
pub(crate) fn is_opaque_opset(opset: i64) -> bool {
    OPAQUE_OPSETS.contains(&opset) || (1..*READ_OPSETS.start()).contains(&opset)
}

/// Options for reading a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// A folder that external data may be in if the model's folder has links into it.
    pub data_dir: Option<PathBuf>,
    /// Whether functions of the model are inlined.
    pub inline_functions: bool,
    /// Whether [warnings](Model::warnings) are errors: a wrong declared type, a negative size, an operator set that is
    /// not imported.
    pub strict: bool,
}

impl ReadOptions {
    /// Sets [`data_dir`](Self::data_dir).
    pub fn with_data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(data_dir.into());
        self
    }

    /// Sets [`inline_functions`](Self::inline_functions).
    pub fn with_inline_functions(mut self, inline_functions: bool) -> Self {
        self.inline_functions = inline_functions;
        self
    }

    /// Sets [`strict`](Self::strict).
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// The file is not a model, or not one that can be read.
    #[error("{path:?}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: ReadProblem,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProblem {
    /// The file is not a protobuf file of ONNX messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// `prost` cannot decode it.
    #[error("the file cannot be decoded: {0}\n  help: check that the file is an ONNX model, and complete")]
    Decode(#[from] prost::DecodeError),
    /// The file has a field that no version of ONNX up to IR 14 has.
    #[error("{0}\n  help: check that the file is an ONNX model of IR version {IR_VERSION} or older")]
    UnknownField(UnknownField),
    /// The IR version is not supported.
    #[error(
        "the IR version is {}, but must be from 1 to {IR_VERSION}\n  help: check that the file is an ONNX model of such \
         a version", show(*.found)
    )]
    IrVersion {
        /// The version in the file.
        found: Option<i64>,
    },
    /// The opset is not supported.
    #[error(
        "the opset is {}, but must be from {} to {}\n  help: export the model again with such an opset",
        show(*.found), 1, OPAQUE_OPSETS.end()
    )]
    Opset {
        /// The version in the file.
        found: Option<i64>,
    },
    /// The model or a graph is not valid.
    #[error("{0}")]
    Graph(String),
    /// A value is not valid.
    #[error("value {name:?}: {what}")]
    Value {
        /// The name.
        name: String,
        /// The problem.
        what: String,
    },
    /// A node is not valid.
    #[error("{node}: {what}")]
    Node {
        /// The node's operator and name.
        node: String,
        /// The problem.
        what: String,
    },
    /// A tensor is not valid.
    #[error("tensor {name:?}: {what}")]
    Tensor {
        /// The tensor's name, or that of the node that holds it.
        name: String,
        /// The problem.
        what: String,
    },
    /// The external data of a tensor cannot be read.
    #[error("tensor {name:?}: its external data: {}", chain(cause))]
    ExternalData {
        /// The tensor's name, or that of the node that holds it.
        name: String,
        /// The error of the file.
        cause: files::FileError,
    },
}

impl ReadError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Invalid { problem, .. } => problem.code(),
        }
    }
}

impl ReadProblem {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Wire(error) => match error.problem {
                WireProblem::Cut | WireProblem::Length { .. } => Code::ModelIncomplete,
                WireProblem::Depth | WireProblem::TypeDepth => Code::TooDeep,
                _ => Code::NotOnnx,
            },
            Self::Decode(_) => Code::NotOnnx,
            Self::UnknownField(_) => Code::UnknownField,
            Self::IrVersion { .. } => Code::IrVersion,
            Self::Opset { .. } => Code::ReadOpset,
            Self::Graph(_) => Code::InvalidGraph,
            Self::Value { .. } => Code::InvalidValue,
            Self::Node { .. } => Code::InvalidNode,
            Self::Tensor { .. } => Code::InvalidTensor,
            Self::ExternalData { cause, .. } => cause.code(),
        }
    }
}

/// Returns an error with its cause.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn show(version: Option<i64>) -> String {
    version.map_or_else(|| "missing".to_owned(), |version| version.to_string())
}

/// Reads a model.
///
/// # Errors
/// If the file cannot be read, is not a valid model, or has a part that is not supported.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Model, ReadError> {
    let path = path.as_ref();
    let source = Source::open(path)?;
    let bytes = frames::read(&source)?;
    let mut folder = Folder::of(path)?;
    if let Some(data_dir) = &options.data_dir {
        folder = folder.with_data_dir(data_dir)?;
    }
    decode(bytes, &source, &folder, options).map_err(|problem| ReadError::Invalid { path: path.to_owned(), problem })
}

/// Checks that a file is complete and an ONNX model, as [`read()`] does first: a runtime may run models that [`read()`]
/// refuses later.
///
/// # Errors
/// If the file cannot be read, is not an ONNX model, or is cut short.
pub fn expect_model(path: impl AsRef<Path>) -> Result<(), ReadError> {
    let path = path.as_ref();
    let bytes = frames::read(&Source::open(path)?)?;
    let decoded = wire::scan(&schema::MODEL, &bytes)
        .map_err(ReadProblem::from)
        .and_then(|_| graph(&mut ModelProto::decode(bytes)?));
    decoded.map(drop).map_err(|problem| ReadError::Invalid { path: path.to_owned(), problem })
}

/// Takes the graph of a model.
fn graph(proto: &mut ModelProto) -> Result<GraphProto, ReadProblem> {
    proto.graph.take().ok_or_else(|| ReadProblem::Graph("the model has no graph".to_owned()))
}

fn decode(bytes: Bytes, source: &Source, folder: &Folder, options: &ReadOptions) -> Result<Model, ReadProblem> {
    if let Some(field) = wire::scan(&schema::MODEL, &bytes)?.into_iter().next() {
        return Err(ReadProblem::UnknownField(field));
    }
    let mut proto = ModelProto::decode(bytes.clone())?;
    let ir_version = proto.ir_version.filter(|version| (1..=IR_VERSION).contains(version));
    let ir_version = ir_version.ok_or(ReadProblem::IrVersion { found: proto.ir_version })?;
    let graph = graph(&mut proto)?;
    let mut opsets = imports(&proto.opset_import)?;
    let opset = opsets.get("").copied();
    let known = opset.is_some_and(|opset| READ_OPSETS.contains(&opset) || is_opaque_opset(opset));
    // A model that uses only other domains needs no opset.
    if !known && (opset.is_some() || opsets.is_empty()) {
        return Err(ReadProblem::Opset { found: opset });
    }
    let functions = Functions::new(std::mem::take(&mut proto.functions))?;
    functions.check_expansion(&graph)?;
    let inline = options.inline_functions;
    let context = Context {
        source,
        bytes,
        folder,
        ir_version,
        functions,
        inline,
        inlined: Cell::new(0),
        early_operators: Cell::new(false),
        strict: options.strict,
        warnings: RefCell::new(vec![]),
        has_negative_size: Cell::new(false),
    };
    for (domain, version, which) in ASSUMED {
        let reads = |node: &&NodeProto| node.domain.as_deref() == Some(domain) && !opsets.contains_key(domain);
        let Some(node) = names::nodes(&graph).find(reads) else { continue };
        let what =
            format!("the model does not import the operator set {domain:?}; assuming version {version}, {which}");
        context.warn(ReadProblem::Node { node: node_text(node), what })?;
        opsets.insert(domain.to_owned(), version);
    }
    if let Some(name) = names::hidden_by_result(&graph) {
        let what = format!("{name:?} is the name of a result in a body and of a value around it, which ONNX forbids");
        context.warn(ReadProblem::Graph(what))?;
    }
    let keep = opset.is_some_and(is_opaque_opset);
    let scope = Scope { opsets: &opsets, keep, given: None, calls: 0, bodies: 0 };
    let mut model = Model::new(graph::read(graph, Surroundings::default(), &context, scope)?);
    for training in std::mem::take(&mut proto.training_info) {
        model.training.push(step(training, &model.graph, &context, Scope { keep: true, ..scope })?);
    }
    if inline {
        context.functions.add_imports(&mut opsets);
    } else {
        model.functions = context.functions.read(&context)?;
    }
    model.opsets = opsets;
    model.early_operators = context.early_operators.get();
    describe(&mut model, proto)?;
    model.warnings = context.warnings.into_inner();
    Ok(model)
}

/// The state shared while reading the parts of a file.
struct Context<'a> {
    source: &'a Source,
    /// The [bytes without large weights](frames::read).
    bytes: Bytes,
    folder: &'a Folder,
    ir_version: i64,
    functions: Functions,
    /// Whether functions are inlined.
    inline: bool,
    /// The number of nodes inlined from functions.
    inlined: Cell<usize>,
    /// Whether an operator was found before its first opset.
    early_operators: Cell<bool>,
    /// Whether warnings are errors.
    strict: bool,
    warnings: RefCell<Vec<String>>,
    /// Whether a negative size was found in the file, which is reported once.
    has_negative_size: Cell<bool>,
}

impl Context<'_> {
    /// Reports a harmless problem of the file as a warning.
    ///
    /// # Errors
    /// The problem itself if the reader is strict.
    fn warn(&self, problem: ReadProblem) -> Result<(), ReadProblem> {
        if self.strict {
            return Err(problem);
        }
        self.warnings.borrow_mut().push(problem.to_string());
        Ok(())
    }
}

/// Normalizes the name of a domain: the default domain has two.
fn domain(name: Option<&str>) -> &str {
    name.filter(|name| *name != "ai.onnx").unwrap_or_default()
}

/// Reads the versions of the operator sets.
fn imports(protos: &[OperatorSetIdProto]) -> Result<BTreeMap<String, i64>, ReadProblem> {
    let mut opsets = BTreeMap::new();
    for import in protos {
        let domain = domain(import.domain.as_deref());
        let version = import.version.unwrap_or_default();
        if opsets.insert(domain.to_owned(), version).is_some_and(|other| other != version) {
            return Err(ReadProblem::Graph(format!("the operator set {domain:?} is imported twice")));
        }
    }
    Ok(opsets)
}

/// Reads a training step; its graphs see the values of the model's graph.
fn step<'a>(
    proto: TrainingInfoProto,
    around: &Graph,
    context: &'a Context<'a>,
    scope: Scope<'a>,
) -> Result<Training, ReadProblem> {
    let values = around.schedule().into_iter().flat_map(|id| around.results(id));
    let facts: HashMap<&str, &Fact> = values.map(|value| (&**around.value_name(value), around.fact(value))).collect();
    let read = |graph: Option<GraphProto>| match graph {
        None => Ok(None),
        Some(graph) => {
            let free = names::free(&graph).into_iter();
            let captured = free.filter_map(|name| Some((name.to_owned(), (*facts.get(name)?).clone()))).collect();
            let surroundings = Surroundings { captured, ..Surroundings::default() };
            graph::read(graph, surroundings, context, scope).map(Some)
        }
    };
    let pairs = |entries: Vec<StringStringEntryProto>| {
        let text = |text: Option<String>| text.unwrap_or_default();
        entries.into_iter().map(|entry| (text(entry.key), text(entry.value))).collect()
    };
    Ok(Training {
        initialization: read(proto.initialization)?,
        algorithm: read(proto.algorithm)?,
        initialization_binding: pairs(proto.initialization_binding),
        update_binding: pairs(proto.update_binding),
    })
}

/// Reads the model's metadata.
fn describe(model: &mut Model, proto: ModelProto) -> Result<(), ReadProblem> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if given(&proto.producer_name) || given(&proto.producer_version) {
        model.producer = Some((proto.producer_name.unwrap_or_default(), proto.producer_version.unwrap_or_default()));
    }
    model.domain = proto.domain.unwrap_or_default();
    model.version = proto.model_version.unwrap_or_default();
    model.doc = proto.doc_string.unwrap_or_default();
    model.metadata = notes::metadata("the model", proto.metadata_props)?;
    model.devices = proto.configuration.iter().map(|device| Bytes::from(device.encode_to_vec())).collect();
    Ok(())
}

/// Returns a node for messages: its operator and its name, or that of its first result.
fn node_text(node: &NodeProto) -> String {
    let operator = node.op_type.as_deref().unwrap_or_default();
    let domain = domain(node.domain.as_deref());
    let dot = if domain.is_empty() { "" } else { "." };
    let named = node.name.as_deref().filter(|name| !name.is_empty());
    let name = named.or_else(|| node.output.iter().map(String::as_str).find(|name| !name.is_empty()));
    let (name, domain, operator) = (escaped(name.unwrap_or_default()), escaped(domain), escaped(operator));
    format!("node \"{name}\" ({domain}{dot}{operator})")
}

/// Escapes what is not printable. This runs for every node, and few names need escapes, so plain names are not copied.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) { text.into() } else { escape(text).into() }
}

/// Escapes as in a literal of Rust, where a single quote is plain.
fn escape(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_escaped_as_in_a_literal() {
        for (name, expected) in
            [("/layer'0/Add", "/layer'0/Add"), ("layer 0's sum", "layer 0's sum"), ("a \"b\"\n", "a \\\"b\\\"\\n")]
        {
            assert_eq!(escaped(name), expected, "{name}");
        }
    }
}
