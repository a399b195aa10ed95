//! Runs a model with symbolic dims, or loads it for the sizes of each run.

use crate::dims::needs_known_sizes;
use crate::file::ModelFile;
use crate::interface::with_types_of;
use crate::runs::borrowed;
use crate::{Array, Runtime, Session, VerifyError};
use netwright_ir::Bindings;

/// A model in a runtime: loaded once with symbolic dims, or, if tract cannot do that or would compute something wrongly,
/// for the sizes of each run.
pub(crate) struct Runner<'m> {
    file: &'m ModelFile,
    runtime: &'m Runtime,
    outputs: Vec<String>,
    symbolic: Option<Session>,
}

impl<'m> Runner<'m> {
    /// Creates a runner that computes the outputs of a model.
    pub(crate) fn new(file: &'m ModelFile, runtime: &'m Runtime) -> Result<Self, VerifyError> {
        Self::of(file, runtime, file.output_names())
    }

    /// Creates a runner that computes any values of the main graph.
    pub(crate) fn of(file: &'m ModelFile, runtime: &'m Runtime, outputs: Vec<String>) -> Result<Self, VerifyError> {
        let is_wrong = *runtime == Runtime::Tract && needs_known_sizes(&file.graph);
        let symbolic = (!is_wrong).then(|| Session::of(file, runtime, outputs.clone(), None));
        let symbolic = match symbolic.transpose() {
            Ok(session) => session,
            Err(VerifyError::Runtime { .. } | VerifyError::Panic { .. }) if *runtime == Runtime::Tract => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, runtime, outputs, symbolic })
    }

    /// Returns the session, loaded for these sizes if tract cannot load the model with symbolic dims.
    pub(crate) fn into_session(self, sizes: &Bindings) -> Result<Session, VerifyError> {
        match self.symbolic {
            Some(session) => Ok(session),
            None => Session::of(self.file, self.runtime, self.outputs, Some(sizes)),
        }
    }

    pub(crate) fn run(&self, inputs: &[(&str, &Array)], sizes: &Bindings) -> Result<Vec<(String, Array)>, VerifyError> {
        let typed = with_types_of(&self.file.inputs(), inputs);
        let inputs = &borrowed(&typed)[..];
        match (&self.symbolic, self.runtime) {
            (Some(session), Runtime::Ort(_)) => return session.run(inputs),
            (Some(session), Runtime::Tract) => {
                if let Ok(outputs) = session.run(inputs) {
                    return Ok(outputs);
                }
            }
            (None, _) => {}
        }
        Session::of(self.file, self.runtime, self.outputs.clone(), Some(sizes))?.run(inputs)
    }
}
