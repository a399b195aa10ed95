//! The reader: a file becomes a model. Weights stay where they are, as ranges of the file or of its external data.
//!
//! A file is untrusted: it is scanned before it is decoded, every law that the graph is built on is checked, and what
//! has no place in the IR is an error that says so; nothing is dropped in silence.

use crate::forms::READ_OPSETS;
use crate::wire::{
    self, GraphProto, IR_VERSION, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto,
    UnknownField, WireError, schema,
};
use bytes::Bytes;
use function::Functions;
use graph::{Scope, Surroundings};
use netwright_files::{self as files, Folder, Source};
use netwright_ir::{Fact, Graph, Model, Training};
use prost::Message;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

mod attribute;
mod frames;
mod function;
mod graph;
mod names;
mod notes;
mod tensor;

/// The opsets newer than those that are understood: their operators are kept as they came.
pub const KEPT_OPSETS: RangeInclusive<i64> = 29..=40;

/// The operators of ONNX Runtime, which runs them in models that do not import them; not so in their functions.
const CONTRIB: &str = "com.microsoft";

/// Whether the operators of an opset are kept as they came, for it is newer or older than those that are understood.
pub(crate) fn is_kept(opset: i64) -> bool {
    KEPT_OPSETS.contains(&opset) || (1..*READ_OPSETS.start()).contains(&opset)
}

/// How a model is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// A folder beneath which external data may lie where the model's folder has links into it.
    pub data_dir: Option<PathBuf>,
    /// Whether functions of the model are put in place of the nodes that call them.
    pub inline_functions: bool,
    /// Whether what is otherwise a [warning](Model::warnings) is an error: a declared type that is wrong, a size of -1, an
    /// operator set that is not imported.
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
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] files::FileError),
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
        "the opset is {}, and opsets {} to {} are read", show(*.found), 1, KEPT_OPSETS.end()
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
}

fn show(version: Option<i64>) -> String {
    version.map_or_else(|| "missing".to_owned(), |version| version.to_string())
}

/// Reads a model.
///
/// # Errors
/// When the file is not ONNX, breaks a law of ONNX, or holds what is not read yet.
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

fn decode(bytes: Bytes, source: &Source, folder: &Folder, options: &ReadOptions) -> Result<Model, Problem> {
    if let Some(field) = wire::scan(&schema::MODEL, &bytes)?.into_iter().next() {
        return Err(Problem::UnknownField(field));
    }
    let mut proto = ModelProto::decode(bytes.clone())?;
    let ir_version = proto.ir_version.filter(|version| (1..=IR_VERSION).contains(version));
    let ir_version = ir_version.ok_or(Problem::IrVersion { found: proto.ir_version })?;
    let mut opsets = imports(&proto.opset_import)?;
    let opset = opsets.get("").copied();
    let known = opset.is_some_and(|opset| READ_OPSETS.contains(&opset) || is_kept(opset));
    // A model of other domains alone needs none of ONNX's own.
    if !known && (opset.is_some() || opsets.is_empty()) {
        return Err(Problem::Opset { found: opset });
    }
    let graph = proto.graph.take().ok_or_else(|| Problem::Graph("the model has no graph".to_owned()))?;
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
    if !opsets.contains_key(CONTRIB)
        && let Some(node) = names::nodes(&graph).find(|node| node.domain.as_deref() == Some(CONTRIB))
    {
        let what = format!("the model imports no operator set {CONTRIB:?}; version 1, the only one, is imported");
        context.warn(Problem::Node { node: node_text(node), what })?;
        opsets.insert(CONTRIB.to_owned(), 1);
    }
    let keep = opset.is_some_and(is_kept);
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

/// What every part of a file is read with.
struct Context<'a> {
    source: &'a Source,
    /// Its [frames](frames::read).
    bytes: Bytes,
    folder: &'a Folder,
    ir_version: i64,
    functions: Functions,
    /// Whether functions are put in place of their calls.
    inline: bool,
    /// How many nodes of functions were put in place.
    inlined: Cell<usize>,
    /// Whether an operator was found before the opset that brings it.
    early_operators: Cell<bool>,
    /// Whether a warning is an error.
    strict: bool,
    warnings: RefCell<Vec<String>>,
    /// Whether the file was found to declare a size below 0, which is reported once.
    has_negative_size: Cell<bool>,
}

impl Context<'_> {
    /// Reports what is wrong with the file and harmless.
    ///
    /// # Errors
    /// The problem itself where the reader is strict.
    fn warn(&self, problem: Problem) -> Result<(), Problem> {
        if self.strict {
            return Err(problem);
        }
        self.warnings.borrow_mut().push(problem.to_string());
        Ok(())
    }
}

/// The default domain has two names.
fn domain(name: Option<&str>) -> &str {
    name.filter(|name| *name != "ai.onnx").unwrap_or_default()
}

/// The versions of the operator sets.
fn imports(protos: &[OperatorSetIdProto]) -> Result<BTreeMap<String, i64>, Problem> {
    let mut opsets = BTreeMap::new();
    for import in protos {
        let domain = domain(import.domain.as_deref());
        let version = import.version.unwrap_or_default();
        if opsets.insert(domain.to_owned(), version).is_some_and(|other| other != version) {
            return Err(Problem::Graph(format!("the operator set {domain:?} has two versions")));
        }
    }
    Ok(opsets)
}

/// A step that trains the model; its graphs see the values of the model's.
fn step<'a>(
    proto: TrainingInfoProto,
    around: &Graph,
    context: &'a Context<'a>,
    scope: Scope<'a>,
) -> Result<Training, Problem> {
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

/// What stands beside the graph.
fn describe(model: &mut Model, proto: ModelProto) -> Result<(), Problem> {
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

/// A node in errors: its operator and its name, or that of its first result.
fn node_text(node: &NodeProto) -> String {
    let operator = node.op_type.as_deref().unwrap_or_default();
    let domain = domain(node.domain.as_deref());
    let dot = if domain.is_empty() { "" } else { "." };
    let named = node.name.as_deref().filter(|name| !name.is_empty());
    let name = named.or_else(|| node.output.iter().map(String::as_str).find(|name| !name.is_empty()));
    let (domain, operator) = (domain.escape_debug(), operator.escape_debug());
    format!("node {:?} ({domain}{dot}{operator})", name.unwrap_or_default())
}
