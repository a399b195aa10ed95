//! Reading and writing models, as all commands do it.

use crate::args::{ExternalData, Input, Opset};
use crate::failure::Failure;
use crate::output::{Output, in_line};
use crate::overwrite::Inputs;
use netwright::files::Source;
use netwright::ir::Model;
use netwright::onnx::{self, ReadError, ReadOptions, WriteError, WriteOptions, Written};
use std::path::Path;

/// The other warnings are counted.
const MOST_WARNINGS: usize = 10;

/// Reads the model of a command.
pub(crate) fn read(input: &Input, output: Output) -> Result<Model, Failure> {
    read_at(&input.model, input, output)
}

/// Reads a model, as the flags of a command say.
///
/// An error in the contents is the fault of the model; one that keeps the file from being read is that of the call.
pub(crate) fn read_at(path: &Path, input: &Input, output: Output) -> Result<Model, Failure> {
    let mut options = ReadOptions::default().with_inline_functions(input.inline_functions).with_strict(input.strict);
    options.data_dir.clone_from(&input.data_dir);
    let model = onnx::read(path, &options).map_err(|error| match error {
        ReadError::File(error) => Failure::usage(error),
        error => Failure::model(error),
    })?;
    for warning in model.warnings.iter().take(MOST_WARNINGS) {
        output.warn(&format!("{}: {warning}", in_line(path)))?;
    }
    if let Some(more @ 1..) = model.warnings.len().checked_sub(MOST_WARNINGS) {
        output.warn(&format!("{}: and {more} more", in_line(path)))?;
    }
    let (opset, understood) = (model.opset(), onnx::READ_OPSETS);
    if !understood.contains(&opset) {
        let (first, last) = (understood.start(), understood.end());
        output.warn(&format!(
            "opset {opset} is none of those that are understood ({first} to {last}): its operators are kept as they came"
        ))?;
    }
    Ok(model)
}

/// Writes a model; its external data replaces none of the inputs.
pub(crate) fn write(
    model: &Model,
    path: &Path,
    external_data: ExternalData,
    share_weights: bool,
    inputs: &Inputs,
) -> Result<Written, Failure> {
    let options = WriteOptions::default()
        .with_external_data(external_data.into())
        .with_share_weights(share_weights)
        .with_kept_files(inputs.identities());
    onnx::write(model, path, &options).map_err(write_failure)
}

/// A file that cannot be written is the call's fault, a model that cannot be is its own.
fn write_failure(error: WriteError) -> Failure {
    match error {
        WriteError::File(error) => Failure::usage(error),
        error => Failure::model(error),
    }
}

/// The newest opset that a model is brought to: those behind it lose kernels in runtimes.
const NEWEST_OPSET: i64 = 24;

/// Checks that the version of the operators is one that a model is brought to.
pub(crate) fn check_opset(opset: Option<Opset>) -> Result<(), Failure> {
    let first = *onnx::WRITTEN_OPSETS.start();
    match opset {
        Some(Opset::Is(opset)) if !(first..=NEWEST_OPSET).contains(&opset) => {
            let message = format!("opset {opset} cannot be written; those from {first} to {NEWEST_OPSET} can");
            Err(Failure::Usage(message))
        }
        _ => Ok(()),
    }
}

/// Sets the version of the operators that is to be written, where it is given.
pub(crate) fn set_opset(model: &mut Model, opset: Option<Opset>) -> Result<(), Failure> {
    check_opset(opset)?;
    if let Some(Opset::Is(opset)) = opset {
        onnx::set_opset(model, opset).map_err(write_failure)?;
    }
    Ok(())
}

/// Returns the size of a file.
pub(crate) fn file_size(path: &Path) -> Result<u64, Failure> {
    let source = Source::open(path).map_err(Failure::usage)?;
    Ok(source.len())
}
