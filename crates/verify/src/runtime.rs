//! The runtimes that can run a model.

use crate::{OnnxRuntime, VerifyError, quiet};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of tract in messages.
pub(crate) const TRACT: &str = "tract";

/// What a runtime was doing when it failed.
pub(crate) const LOAD: &str = "load the model";
pub(crate) const RUN: &str = "run the model";

/// A runtime that runs models. Displays as its name: `tract`, or `ONNX Runtime 1.32.0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// tract, which is a part of this program.
    #[default]
    Tract,
    /// ONNX Runtime, a shared library of the user's.
    Ort(OnnxRuntime),
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Tract => f.write_str(TRACT),
            Runtime::Ort(runtime) => runtime.fmt(f),
        }
    }
}

/// Does some work in a runtime; a failure, or a panic, becomes an error that names the file, the runtime and the action.
pub(crate) fn guard<T>(
    file: &str,
    runtime: &str,
    action: &'static str,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, VerifyError> {
    let (file, runtime) = (file.to_owned(), runtime.to_owned());
    match quiet::catch(work) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(cause)) => Err(VerifyError::Runtime { file, runtime, action, cause }),
        Err(cause) => Err(VerifyError::Panic { file, runtime, action, cause }),
    }
}
