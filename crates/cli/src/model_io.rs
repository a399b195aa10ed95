//! Reading and writing models, shared by all commands.

use crate::args::{ExternalData, Input, Opset, Reading};
use crate::failure::Failure;
use crate::output::{Output, in_line};
use crate::overwrite::Inputs;
use crate::spinner::Spinner;
use crate::suggest;
use netwright::files::{self, Code};
use netwright::ir::Model;
use netwright::onnx::{self, ReadOptions, WriteError, WriteOptions, WrittenFiles};
use serde_json::Value;
use std::path::Path;

/// The number of warnings that are printed; further ones are only counted.
const MAX_WARNINGS: usize = 10;

/// Reads the model that a command names.
pub(crate) fn read(input: &Input, output: Output) -> Result<Model, Failure> {
    read_at(&input.model, &input.reading, output)
}

/// Reads the model at `path` with the flags of a command.
///
/// An error in the contents is a failure of the model; a file that cannot be read is a failure of the call.
pub(crate) fn read_at(path: &Path, reading: &Reading, output: Output) -> Result<Model, Failure> {
    suggest::expect_onnx(path)?;
    let mut options =
        ReadOptions::default().with_inline_functions(reading.inline_functions).with_strict(reading.strict);
    options.data_dir.clone_from(&reading.data_dir);
    let model = onnx::read(path, &options).map_err(Failure::unread)?;
    let output = Output { model: Some(path), ..output };
    for warning in model.warnings.iter().take(MAX_WARNINGS) {
        output.warn(warning)?;
    }
    if let Some(more @ 1..) = model.warnings.len().checked_sub(MAX_WARNINGS) {
        output.warn(&format!("and {more} more"))?;
    }
    let (opset, understood) = (model.opset(), onnx::READ_OPSETS);
    if !understood.contains(&opset) {
        let (first, last) = (understood.start(), understood.end());
        output.warn(&format!(
            "opset {opset} is not supported ({first} to {last} are): its operators pass through unchanged"
        ))?;
    }
    Ok(model)
}

/// Reads a file of options in JSON; null if it does not exist.
pub(crate) fn read_options(path: &Path) -> Result<Value, Failure> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = files::read_json(path).map_err(Failure::usage)?;
    serde_json::from_str(&text).map_err(|error| {
        let (why, _) = files::json_error(&text, &error.to_string(), error.line(), error.column());
        Failure::model_with(Code::ConfigurationSyntax, format!("{}: {why}", in_line(path)))
    })
}

/// Writes a model without replacing any of the inputs by its external data; the spinner shows the progress.
pub(crate) fn write(
    model: &Model,
    path: &Path,
    external_data: ExternalData,
    share_weights: bool,
    inputs: &Inputs,
    spinner: &Spinner,
) -> Result<WrittenFiles, Failure> {
    let options = WriteOptions::default().with_external_data(external_data.into()).with_share_weights(share_weights);
    let options = options.with_kept_files(inputs.kept(path, model)).with_progress(spinner.progress.clone());
    onnx::write(model, path, &options).map_err(write_failure)
}

/// Warns of external data whose usual name another file has.
pub(crate) fn warn_of_data(written: &WrittenFiles, output: Output) -> Result<(), Failure> {
    let [model, data] = &written.files[..] else { return Ok(()) };
    let mut usual = model.clone().into_os_string();
    usual.push(".data");
    if data.as_os_str() == usual || !Path::new(&usual).exists() {
        return Ok(());
    }
    let (data, usual) = (in_line(data), in_line(Path::new(&usual)));
    output.warn(&format!("the weights are in {data}, because {usual} exists and may belong to another model"))
}

/// Calls `attempt`, which converts and writes a model, and calls it again with checked weights if one cannot be converted.
///
/// `attempt` is given whether to check weights before they are quantized or converted to another type. The first call does
/// not check them, unless `is_checked` says so, so that weights are read only once, while they are written. The second
/// follows if the writer finds a weight that [cannot be converted](WriteError::is_of_conversion).
pub(crate) fn write_with_retry<T>(
    is_checked: bool,
    mut attempt: impl FnMut(bool) -> Result<Result<T, WriteError>, Failure>,
) -> Result<T, Failure> {
    let result = match attempt(is_checked)? {
        Err(error) if error.is_of_conversion() && !is_checked => attempt(true)?,
        result => result,
    };
    result.map_err(write_failure)
}

/// Returns a failure of the call for a file that cannot be written, and one of the model for a model that cannot be.
pub(crate) fn write_failure(error: WriteError) -> Failure {
    match error {
        WriteError::File(error) => Failure::usage(error),
        // The path is the caller's.
        error @ WriteError::Name { .. } => Failure::usage(error),
        error if error.is_of_conversion() => {
            let help = "a weight has a number outside the range of the type to which it is converted; choose --dtype bf16, \
                        whose range is that of f32, or leave out --dtype.";
            Failure::model(error).with_help(Some(help))
        }
        error => Failure::model(error),
    }
}

/// The newest opset that models are converted to: runtimes lack kernels for newer ones.
pub(crate) const NEWEST_OPSET: i64 = 24;

/// Checks that models can be written with the opset.
pub(crate) fn check_opset(opset: Option<Opset>) -> Result<(), Failure> {
    let first = *onnx::WRITTEN_OPSETS.start();
    match opset {
        Some(Opset::Is(opset)) if !(first..=NEWEST_OPSET).contains(&opset) => {
            let text =
                format!("opset {opset} cannot be written\n  help: choose an opset from {first} to {NEWEST_OPSET}");
            Err(Failure::usage_with(WriteError::Opset { opset }.code(), text))
        }
        _ => Ok(()),
    }
}

/// Sets the opset of a model, if one is given.
pub(crate) fn set_opset(model: &mut Model, opset: Option<Opset>) -> Result<(), Failure> {
    check_opset(opset)?;
    if let Some(Opset::Is(opset)) = opset {
        onnx::set_opset(model, opset).map_err(write_failure)?;
    }
    Ok(())
}
