//! The errors of running and verifying models.

use crate::gate::Reason;
use netwright_files::Code;
use netwright_ir::Symbol;
use std::path::PathBuf;

/// An error that keeps a model from being run or judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file that the user named could not be opened or read.
    #[error(transparent)]
    File(#[from] netwright_files::FileError),

    /// The bytes are not an ONNX model.
    #[error("{file} is not an ONNX model: {cause}")]
    Decode {
        /// The model.
        file: String,
        /// What is wrong with it.
        cause: String,
    },

    /// The external data of a tensor cannot be read.
    #[error("{file}: the external data of tensor `{tensor}` cannot be read: {cause}")]
    ExternalData {
        /// The model.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        cause: String,
    },

    /// The runtime is known to compute the model wrong, or not at all, so it was not run.
    #[error("{file} is not verifiable in {runtime}: {}", crate::gate::list(reasons))]
    NotVerifiable {
        /// The model.
        file: String,
        /// The runtime.
        runtime: String,
        /// Every reason.
        reasons: Vec<Reason>,
    },

    /// The runtime returned an error.
    #[error("{file}: {runtime} failed to {action}: {cause}")]
    Runtime {
        /// The model.
        file: String,
        /// The runtime.
        runtime: String,
        /// "load the model" or "run the model".
        action: &'static str,
        /// The runtime's message.
        cause: String,
    },

    /// The runtime panicked.
    #[error("{file}: {runtime} panicked when trying to {action}: {cause}")]
    Panic {
        /// The model.
        file: String,
        /// The runtime.
        runtime: String,
        /// "load the model" or "run the model".
        action: &'static str,
        /// The message of the panic and its place in the source.
        cause: String,
    },

    /// No library of ONNX Runtime was found.
    #[error(
        "the shared library of ONNX Runtime was not found\n  help: install it with `pip install onnxruntime` in the active \
         Python environment, or pass its path with --ort-library or ORT_DYLIB_PATH"
    )]
    NoOnnxRuntime,

    /// A file cannot be loaded as the library of ONNX Runtime.
    #[error(
        "{library:?} cannot be used as ONNX Runtime: {cause}\n  help: pass the path of libonnxruntime, version 1.17 or newer, \
         with --ort-library"
    )]
    OnnxRuntimeLibrary {
        /// The file.
        library: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// An input was given that the model does not have.
    #[error("{file} has no input `{input}`; its inputs are {inputs}")]
    UnknownInput {
        /// The model.
        file: String,
        /// The name given.
        input: String,
        /// The names of the model's inputs.
        inputs: String,
    },

    /// An input of the model was not given.
    #[error("{file}: input `{input}` of type {expected} was not given")]
    MissingInput {
        /// The model.
        file: String,
        /// The input.
        input: String,
        /// Its type.
        expected: String,
    },

    /// An input has the wrong element type.
    #[error("{file}: input `{input}` has type {expected}, but {found} was given")]
    InputType {
        /// The model.
        file: String,
        /// The input.
        input: String,
        /// Its declared type.
        expected: String,
        /// The type of the array given.
        found: String,
    },

    /// The values of an input cannot be generated, because its type or shape is not known.
    #[error("{file}: no values can be generated for input `{input}`: {cause}")]
    Unmakable {
        /// The model.
        file: String,
        /// The input.
        input: String,
        /// What is missing.
        cause: String,
    },

    /// The given inputs cannot be read, or do not fit the model.
    #[error("{}: {cause}", path.display())]
    Inputs {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// The number of elements does not match the shape.
    #[error("{found} elements do not fit the shape {shape:?}")]
    ElementCount {
        /// The shape.
        shape: Vec<usize>,
        /// The number of elements given.
        found: usize,
    },

    /// A symbol was given a size that the model does not have.
    #[error("no input has the symbolic dim `{symbol}`\n  help: {help}")]
    UnknownSymbol {
        /// The symbol.
        symbol: Symbol,
        /// The symbol that is likely meant, or those that the model has.
        help: String,
    },

    /// The size of a symbol cannot be computed.
    #[error("symbol `{symbol}` cannot have the size `{dim}`: {cause}")]
    Binding {
        /// The symbol.
        symbol: Symbol,
        /// The size that was given.
        dim: String,
        /// Why that is not a size.
        cause: &'static str,
    },

    /// The child process could not be started, or communication with it failed.
    #[error("the worker process {program:?} failed: {cause}")]
    Worker {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        cause: String,
    },

    /// No sizes of the symbolic dims fit the model.
    #[error("{0}")]
    Sizes(&'static str),

    /// The child process cannot read its request or write its answer.
    #[error("the worker process cannot serve: {0}")]
    Request(String),

    /// An error that the child process reported instead of a verdict.
    #[error("{message}")]
    Answered {
        /// The code of the error.
        code: Code,
        /// Its message.
        message: String,
    },
}

impl VerifyError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Decode { .. } => Code::Undecodable,
            Self::ExternalData { .. } => Code::DataUnreadable,
            Self::NotVerifiable { .. } => Code::NotVerifiable,
            Self::Runtime { .. } => Code::RuntimeFailed,
            Self::Panic { .. } => Code::RuntimePanicked,
            Self::NoOnnxRuntime => Code::OnnxRuntimeMissing,
            Self::OnnxRuntimeLibrary { .. } => Code::OnnxRuntimeLibrary,
            Self::UnknownInput { .. } => Code::InputUnknown,
            Self::MissingInput { .. } => Code::InputMissing,
            Self::InputType { .. } => Code::InputType,
            Self::Unmakable { .. } => Code::InputNotGenerated,
            Self::Inputs { .. } => Code::InputsMisfit,
            Self::ElementCount { .. } => Code::ElementCount,
            Self::UnknownSymbol { .. } => Code::SymbolUnknown,
            Self::Binding { .. } => Code::SymbolSize,
            Self::Worker { .. } => Code::WorkerFailed,
            Self::Sizes(_) => Code::SizesMisfit,
            Self::Request(_) => Code::WorkerRequest,
            Self::Answered { code, .. } => *code,
        }
    }
}

/// The number of characters that are kept of each line of a runtime's message.
const MAX_LINE: usize = 600;

/// Returns the first two lines of a runtime's message: after them, tract prints its graph.
pub(crate) fn shortened(message: &str) -> String {
    message.lines().take(2).map(shortened_line).collect::<Vec<_>>().join("\n")
}

fn shortened_line(line: &str) -> String {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
