//! The runtimes that run models.

use crate::{OnnxRuntime, VerifyError, quiet};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of tract in messages.
pub(crate) const TRACT: &str = "tract";

/// The actions during which a runtime can fail, for messages.
pub(crate) const LOAD: &str = "load the model";
pub(crate) const RUN: &str = "run the model";
pub(crate) const READ: &str = "read a tensor";

/// A runtime that runs models. Displays as its name: `tract`, or `ONNX Runtime 1.32.0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// tract, which is linked into this program.
    #[default]
    Tract,
    /// ONNX Runtime, a shared library that the user installs.
    Ort(OnnxRuntime),
}

impl Runtime {
    /// Returns whether the accuracy level of a MatMulNBits changes what it computes.
    pub(crate) fn has_accuracy_levels(&self) -> bool {
        matches!(self, Runtime::Ort(runtime) if !runtime.is_exact())
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Tract => f.write_str(TRACT),
            Runtime::Ort(runtime) => runtime.fmt(f),
        }
    }
}

/// Runs `work` in a runtime, and turns failures and panics into errors with the file, the runtime and the action.
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
