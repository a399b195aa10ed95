//! How a command fails: what it prints, with a code of the index of errors, and its exit code.

use crate::errors;
use crate::output::{in_line, printable};
use netwright::attention::AttentionError;
use netwright::files::{Code, FileError};
use netwright::generate::GenerateError;
use netwright::ir::{TensorError, Violations};
use netwright::nn::{BuildErrors, OpenError, RangeError, SettingsError, WeightError};
use netwright::onnx::{ReadError, WriteError};
use netwright::passes::surgery::SurgeryError;
use netwright::passes::{PassError, PrecisionError, QuantizationError};
use netwright::surgery::MergeError;
use netwright::verify::VerifyError;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model is invalid, differs, or has bad external data. Exit code 1.
    Model(Message),
    /// The call is wrong, or a file cannot be read or written. Exit code 2.
    Usage(Message),
    /// No available runtime can run or judge the model. Exit code 3.
    NotVerifiable(Message),
    /// The reader of the output closed it. Exit code 0.
    BrokenPipe,
    /// Failures that are printed already, with the exit code of the worst.
    Reported(u8),
}

/// What is printed.
#[derive(Debug)]
pub(crate) struct Message {
    code: Code,
    pub(crate) text: String,
}

/// An error with a code.
pub(crate) trait Coded: Error {
    fn code(&self) -> Code;
}

/// Implements [`Coded`] by the method of each error.
macro_rules! coded {
    ($($error:ty)*) => {
        $(impl Coded for $error {
            fn code(&self) -> Code {
                self.code()
            }
        })*
    };
}

coded! {
    AttentionError BuildErrors FileError GenerateError RangeError MergeError OpenError PassError PrecisionError QuantizationError ReadError SettingsError
    SurgeryError TensorError VerifyError Violations WeightError WriteError
}

/// What is wrong with a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Misuse {
    /// An argument or subcommand that does not exist.
    Unknown,
    /// A flag has a value that it does not accept.
    Value,
    /// An argument is missing.
    Missing,
    /// Two flags conflict.
    Conflict,
    /// A flag has no effect without another.
    Requires,
    /// A flag is not for this model, target or scheme.
    NotFor,
    /// Something is given twice.
    Twice,
    /// An output cannot be written where it is named.
    Place,
    /// An output would replace an input or another output.
    Replaces,
    /// A folder that should be empty has files.
    Occupied,
    /// It is not clear which path is an output.
    Ambiguous,
    /// A path names something else than the command reads.
    Path,
    /// A manifest of parts is invalid.
    Manifest,
    /// The requested opset is older than that of the model.
    Older,
    /// The output cannot be printed, or not in the format of the file.
    Output,
    /// A code that does not exist.
    Code,
}

impl Misuse {
    /// Returns the code.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Unknown => Code::ArgumentUnknown,
            Self::Value => Code::ArgumentValue,
            Self::Missing => Code::ArgumentMissing,
            Self::Conflict => Code::FlagsConflict,
            Self::Requires => Code::FlagRequires,
            Self::NotFor => Code::FlagNotFor,
            Self::Twice => Code::GivenTwice,
            Self::Place => Code::OutputPlace,
            Self::Replaces => Code::OutputReplaces,
            Self::Occupied => Code::FolderOccupied,
            Self::Ambiguous => Code::OutputAmbiguous,
            Self::Path => Code::PathKind,
            Self::Manifest => Code::Manifest,
            Self::Older => Code::OpsetOlder,
            Self::Output => Code::OutputUnprinted,
            Self::Code => Code::CodeUnknown,
        }
    }

    /// Returns the failure with a message.
    pub(crate) fn failure(self, text: impl Into<String>) -> Failure {
        Failure::usage_with(self.code(), text)
    }
}

impl Failure {
    /// Returns a failure of the model, from an error and its causes.
    #[expect(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
    pub(crate) fn model(error: impl Coded) -> Self {
        Failure::model_with(error.code(), chain(&error))
    }

    /// Returns a failure of the model with a message.
    pub(crate) fn model_with(code: Code, text: impl Into<String>) -> Self {
        Failure::Model(Message { code, text: text.into() })
    }

    /// Returns a failure of the call with a message.
    pub(crate) fn usage_with(code: Code, text: impl Into<String>) -> Self {
        Failure::Usage(Message { code, text: text.into() })
    }

    /// Returns the failure of a model that cannot be judged.
    pub(crate) fn not_verifiable(text: String) -> Self {
        Failure::NotVerifiable(Message { code: Code::NotVerifiable, text })
    }

    /// Returns the failure of a model that a runtime does not run.
    #[expect(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
    pub(crate) fn not_run(error: impl Coded) -> Self {
        Failure::NotVerifiable(Message { code: error.code(), text: chain(&error) })
    }

    /// Returns the failure of a model that was not read: of the model for its contents, and of the call for a file that
    /// cannot be read.
    pub(crate) fn unread(error: ReadError) -> Self {
        match error {
            ReadError::File(error) => Failure::usage(error),
            error => Failure::model(error),
        }
    }

    /// Returns a failure of the model in the file `path`.
    #[expect(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
    pub(crate) fn model_at(path: &Path, error: impl Coded) -> Self {
        Failure::model_with(error.code(), format!("\"{}\": {error}", path.to_string_lossy().escape_debug()))
    }

    /// Returns a failure of the call, from an error and its causes.
    #[expect(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
    pub(crate) fn usage(error: impl Coded) -> Self {
        Failure::usage_with(error.code(), chain(&error))
    }

    /// Adds a line of help to the message, if there is one.
    pub(crate) fn with_help(self, help: Option<&str>) -> Self {
        self.map(|text| help.map_or(text.clone(), |help| format!("{text}\n  help: {help}")))
    }

    /// Returns whether a runtime does not run the model, and another may.
    pub(crate) fn is_not_runnable(&self) -> bool {
        matches!(self, Failure::NotVerifiable(_))
    }

    /// Returns whether a tokenizer is missing, or is not one.
    pub(crate) fn is_of_tokenizer(&self) -> bool {
        matches!(self, Failure::Usage(Message { code: Code::Tokenizer, .. }))
    }

    /// Changes the text of the message.
    pub(crate) fn map(mut self, change: impl FnOnce(String) -> String) -> Self {
        if let Failure::Model(message) | Failure::Usage(message) | Failure::NotVerifiable(message) = &mut self {
            message.text = change(std::mem::take(&mut message.text));
        }
        self
    }

    /// Prints the failure to standard error, and returns its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let message = match self {
            Failure::BrokenPipe | Failure::Reported(_) => return ExitCode::from(self.exit_code()),
            Failure::Model(message) | Failure::Usage(message) | Failure::NotVerifiable(message) => message,
        };
        // Errors of a declaration begin with the word.
        let text = message.text.strip_prefix("error: ").unwrap_or(&message.text);
        let cure = errors::cure(message.code).filter(|_| !text.contains("\n  help: "));
        let text = cure.map_or_else(|| text.to_owned(), |cure| format!("{text}\n  help: {}", errors::as_help(cure)));
        // If standard error is closed, there is nowhere to report that.
        let _ = writeln!(io::stderr(), "error[{}]: {}", message.code, printable(&shortened(&text)));
        ExitCode::from(self.exit_code())
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::BrokenPipe => 0,
            Failure::Model(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NotVerifiable(_) => 3,
            Failure::Reported(code) => *code,
        }
    }

    /// Returns the failure as that of one of several models: the message names it.
    pub(crate) fn of(self, model: &Path) -> Self {
        let model = in_line(model);
        self.map(|text| if text.contains(&model) { text } else { format!("{model}: {text}") })
    }
}

/// The number of characters to which a line is shortened: a model may have names of a megabyte.
const LONGEST: usize = 900;

fn shortened(message: &str) -> String {
    let line = |line: &str| {
        let count = line.chars().count();
        if count <= LONGEST {
            return line.to_owned();
        }
        let start: String = line.chars().take(LONGEST * 2 / 3).collect();
        let end: String = line.chars().skip(count - LONGEST / 3).collect();
        // Between words, unless a name is longer than what is shown.
        let start = start.rsplit_once(' ').map_or(&*start, |(words, _)| words);
        let end = end.split_once(' ').map_or(&*end, |(_, words)| words);
        format!("{start} … {end}")
    };
    message.lines().map(line).collect::<Vec<_>>().join("\n")
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        Failure::model(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::BrokenPipe
        } else {
            Misuse::Output.failure(error.to_string())
        }
    }
}

/// Returns the messages of an error and its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
