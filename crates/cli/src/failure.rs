//! How a command fails: what it prints, and its exit code.

use crate::output::{in_line, printable};
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model is invalid, differs, or has bad external data. Exit code 1.
    Model(String),
    /// The call is wrong, or a file cannot be read or written. Exit code 2.
    Usage(String),
    /// No available runtime can judge the model. Exit code 3.
    NotVerifiable(String),
    /// The reader of the output closed it. Exit code 0.
    BrokenPipe,
    /// Failures that are printed already, with the exit code of the worst.
    Reported(u8),
}

impl Failure {
    /// Returns a failure of the model, from an error and its causes.
    pub(crate) fn model(error: impl Error) -> Self {
        Failure::Model(chain(&error))
    }

    /// Returns a failure of the model in the file `path`.
    pub(crate) fn model_at(path: &Path, error: impl Display) -> Self {
        Failure::Model(format!("\"{}\": {error}", path.to_string_lossy().escape_debug()))
    }

    /// Returns a failure of the call, from an error and its causes.
    pub(crate) fn usage(error: impl Error) -> Self {
        Failure::Usage(chain(&error))
    }

    /// Adds a line of help to the message, if there is one.
    pub(crate) fn with_help(self, help: Option<&str>) -> Self {
        let added = |message: String| help.map_or(message.clone(), |help| format!("{message}\n  help: {help}"));
        match self {
            Failure::Model(message) => Failure::Model(added(message)),
            Failure::Usage(message) => Failure::Usage(added(message)),
            Failure::NotVerifiable(message) => Failure::NotVerifiable(added(message)),
            other => other,
        }
    }

    /// Prints the failure to standard error, and returns its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let message = match self {
            Failure::BrokenPipe | Failure::Reported(_) => return ExitCode::from(self.code()),
            Failure::Model(message) | Failure::Usage(message) | Failure::NotVerifiable(message) => message,
        };
        let prefix = if message.starts_with("error") { "" } else { "error: " };
        // If standard error is closed, there is nowhere to report that.
        let _ = writeln!(io::stderr(), "{prefix}{}", printable(&shortened(message)));
        ExitCode::from(self.code())
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
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
        let named = |message: String| {
            let model = in_line(model);
            if message.contains(&model) { message } else { format!("{model}: {message}") }
        };
        match self {
            Failure::Model(message) => Failure::Model(named(message)),
            Failure::Usage(message) => Failure::Usage(named(message)),
            Failure::NotVerifiable(message) => Failure::NotVerifiable(named(message)),
            other => other,
        }
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

impl From<netwright::passes::PassError> for Failure {
    fn from(error: netwright::passes::PassError) -> Self {
        Failure::model(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Failure::BrokenPipe } else { Failure::usage(error) }
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
