//! ONNX Runtime, as the judge.

use netwright::verify::{Array, ModelFile, OnnxRuntime, Runtime, Session};
use std::sync::OnceLock;

static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();

/// Finds the library of ONNX Runtime.
pub(crate) fn find() -> Result<&'static Runtime, String> {
    let find = || OnnxRuntime::find().map(Runtime::Ort).map_err(|error| error.to_string());
    RUNTIME.get_or_init(find).as_ref().map_err(Clone::clone)
}

/// Loads a model without optimizations.
pub(crate) fn load(bytes: &[u8]) -> Result<Session, String> {
    let file = ModelFile::from_bytes("model", bytes).map_err(|error| error.to_string())?;
    Session::new_in(&file, find()?).map_err(|error| error.to_string())
}

/// Runs a model.
pub(crate) fn run(session: &Session, given: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (name.as_str(), array)).collect();
    session.run(&given).map_err(|error| error.to_string())
}
