use crate::gate::Reason;
use netwright_ir::Symbol;
use std::path::PathBuf;

/// Why something could not be run or judged at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file that the user named could not be opened or read.
    #[error(transparent)]
    File(#[from] netwright_files::FileError),

    /// The bytes are no ONNX model.
    #[error("{file} is not an ONNX model: {cause}")]
    Decode {
        /// The model.
        file: String,
        /// What is wrong with it.
        cause: String,
    },

    /// A weight that lies in another file could not be had.
    #[error("{file}: the external data of tensor `{tensor}`: {cause}")]
    ExternalData {
        /// The model.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        cause: String,
    },

    /// The runtime would compute something else than the standard says, or nothing; it was not asked.
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
    #[error("{file}: {runtime} panicked when it was to {action}: {cause}")]
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
        "the shared library of ONNX Runtime was not found\nhelp: install it with `pip install onnxruntime` in the active \
         Python environment, or give its path by --ort-library or ORT_DYLIB_PATH"
    )]
    NoOnnxRuntime,

    /// A file cannot be loaded as ONNX Runtime.
    #[error("{library:?} cannot be used as ONNX Runtime: {cause}")]
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

    /// An input has elements of another type.
    #[error("{file}: input `{input}` is of type {expected} and was given {found}")]
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

    /// An input whose values cannot be made up, because its shape is not known.
    #[error("{file}: no values can be made for input `{input}`: {cause}")]
    Unmakable {
        /// The model.
        file: String,
        /// The input.
        input: String,
        /// What is not known of it.
        cause: String,
    },

    /// The inputs that the user gave cannot be read, or do not fit the model.
    #[error("{}: {cause}", path.display())]
    Inputs {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// A shape and its elements do not fit.
    #[error("{found} elements were given for the shape {shape:?}")]
    ElementCount {
        /// The shape.
        shape: Vec<usize>,
        /// The number of elements given.
        found: usize,
    },

    /// A symbol was bound that the model does not have.
    #[error("no dim of the models' inputs holds the symbol `{symbol}`; they hold {symbols}")]
    UnknownSymbol {
        /// The symbol.
        symbol: Symbol,
        /// Those that there are.
        symbols: String,
    },

    /// What symbols are bound to does not come down to numbers.
    #[error("`{symbol}` cannot be bound to `{dim}`: {cause}")]
    Binding {
        /// The symbol.
        symbol: Symbol,
        /// What it was bound to.
        dim: String,
        /// Why that is no size.
        cause: &'static str,
    },

    /// The child process could not be started or spoken to.
    #[error("the verify worker {program:?}: {cause}")]
    Worker {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        cause: String,
    },

    /// What the child process reported in place of a verdict.
    #[error("{0}")]
    Answered(String),
}
