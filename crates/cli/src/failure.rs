//! How a command fails: what it prints, and its exit code.

use crate::output::printable;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model is at fault: invalid, different, or with bad external data. Exit code 1.
    Model(String),
    /// The call is: a wrong name, a file that cannot be read or written. Exit code 2.
    Usage(String),
    /// tract cannot judge the model. Exit code 3.
    NotVerifiable(String),
    /// Whoever reads our output has seen enough. Exit code 0.
    BrokenPipe,
}

impl Failure {
    /// A failure of the model, from an error and what caused it.
    pub(crate) fn model(error: impl Error) -> Self {
        Failure::Model(chain(&error))
    }

    /// A failure of the model of a file, from what is wrong with it.
    pub(crate) fn model_at(path: &Path, error: impl Display) -> Self {
        Failure::Model(format!("\"{}\": {error}", path.to_string_lossy().escape_debug()))
    }

    /// A failure of the call, from an error and what caused it.
    pub(crate) fn usage(error: impl Error) -> Self {
        Failure::Usage(chain(&error))
    }

    /// Prints it to standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (message, code) = match self {
            Failure::BrokenPipe => return ExitCode::SUCCESS,
            Failure::Model(message) => (message, 1),
            Failure::Usage(message) => (message, 2),
            Failure::NotVerifiable(message) => (message, 3),
        };
        let prefix = if message.starts_with("error") { "" } else { "error: " };
        // Nobody is left to tell when standard error is gone too.
        let _ = writeln!(io::stderr(), "{prefix}{}", printable(&shortened(message)));
        ExitCode::from(code)
    }
}

/// A model may have names of a megabyte; beyond so many characters the middle of a line says nothing more.
const LONGEST: usize = 900;

fn shortened(message: &str) -> String {
    let line = |line: &str| {
        let count = line.chars().count();
        if count <= LONGEST {
            return line.to_owned();
        }
        let start: String = line.chars().take(LONGEST * 2 / 3).collect();
        let end: String = line.chars().skip(count - LONGEST / 3).collect();
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

/// An error and its causes, each once.
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
