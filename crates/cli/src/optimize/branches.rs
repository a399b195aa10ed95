//! `optimize --split-branches`: a job for each branch of a model.

use super::jobs::{Job, expect_alone};
use crate::args::{ExternalData, Optimize};
use crate::failure::{Failure, Misuse};
use crate::model_io;
use crate::output::{Output, in_line};
use crate::overwrite::{Inputs, expect_place, folder_of, same_file};
use crate::suggest::has_extension;
use crate::surgery::refused;
use netwright::files::{self, Identity, Source};
use netwright::surgery::branch_input;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One of the two branches of a model.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Branch {
    /// The input that selects it.
    pub(super) condition: String,
    /// The value of the input.
    pub(super) value: bool,
    /// The files with external data whose copies lie in the folder of the outputs, and the locations of the copies.
    #[serde(skip)]
    pub(super) copies: Vec<(Identity, String)>,
}

/// The input that selects the branch of a merged decoder.
const MERGED: &str = "use_cache_branch";

/// Returns a job for each branch: for false, and for true.
pub(super) fn jobs(args: &Optimize, output: Output) -> Result<Vec<Job>, Failure> {
    let path = &args.input.model;
    if !args.more.is_empty() {
        let text =
            "--split-branches is for one model\n  help: name the output with -o, and split other models one at a time";
        return Err(Misuse::NotFor.failure(text));
    }
    if args.sharing.share_weights {
        let text = "--split-branches chooses which weights are shared: those in external data\n  help: leave out \
                    --share-weights";
        return Err(Misuse::Conflict.failure(text));
    }
    expect_alone(args, 2)?;
    let model = model_io::read_at(path, &args.input.reading, Output { quiet: true, ..output })?;
    let condition = branch_input(&model.graph).map_err(refused)?.to_string();
    let outputs = args.output.as_deref().map(|output| outputs(path, output, &condition)).transpose()?;
    let mut copies = vec![];
    if let Some([first, _]) = &outputs
        && !matches!(args.emit.storage.external_data, ExternalData::Never)
    {
        copies = copied(&Inputs::of_model(path, &model), path, folder_of(first))?;
    }
    let [first, second] = outputs.map_or([None, None], |outputs| outputs.map(Some));
    let job = |output, value| Job {
        model: path.clone(),
        output,
        branch: Some(Branch { condition: condition.clone(), value, copies: copies.clone() }),
    };
    Ok(vec![job(first, false), job(second, true)])
}

/// Returns the files of the branches for false and for true. A name that ends in `.onnx` is the start of theirs; another
/// is that of a folder, which is created.
fn outputs(model: &Path, output: &Path, condition: &str) -> Result<[PathBuf; 2], Failure> {
    let numbered = |stem: &Path| {
        let stem = stem.file_stem().unwrap_or_default().to_string_lossy();
        [false, true].map(|value| format!("{stem}_{value}.onnx"))
    };
    let is_file = has_extension(output, &["onnx"]) && !output.is_dir();
    let (folder, names) = match (is_file, condition) {
        (true, _) => (folder_of(output), numbered(output)),
        (false, MERGED) => (output, ["decoder_model.onnx", "decoder_with_past_model.onnx"].map(ToOwned::to_owned)),
        (false, _) => (output, numbered(model)),
    };
    if !is_file {
        files::create_folder(folder).map_err(Failure::usage)?;
    }
    let outputs = names.map(|name| folder.join(name));
    outputs.iter().try_for_each(|output| expect_place("the output", output))?;
    Ok(outputs)
}

/// Copies the external data of a model to a folder, unless it lies there, and returns its locations in the folder.
fn copied(inputs: &Inputs, model: &Path, folder: &Path) -> Result<Vec<(Identity, String)>, Failure> {
    let mut copies = vec![];
    for (path, identity) in inputs.external(model) {
        let beside = path.strip_prefix(folder_of(model)).ok().filter(|path| path.is_relative());
        let Some(location) = beside.or(path.file_name().map(Path::new)) else { continue };
        let Some(names) = location.iter().map(|name| name.to_str()).collect::<Option<Vec<_>>>() else { continue };
        let to = folder.join(location);
        if !same_file(path, &to) && !has_bytes_of(path, &to)? {
            inputs.expect_other("the copy of the weights", &to)?;
            if to.exists() {
                return Err(Misuse::Replaces.failure(format!(
                    "the copy of the weights {} would replace {}\n  help: write to another folder, or remove that file",
                    in_line(path),
                    in_line(&to)
                )));
            }
            files::create_folder(folder_of(&to)).map_err(Failure::usage)?;
            files::copy_file(path, &to).map_err(Failure::usage)?;
        }
        copies.push((identity.clone(), names.join("/")));
    }
    Ok(copies)
}

/// Returns whether `copy` is a file with the bytes of `path`.
fn has_bytes_of(path: &Path, copy: &Path) -> Result<bool, Failure> {
    let map = |path| Source::open(path).and_then(|file| file.map()).map_err(Failure::usage);
    Ok(copy.is_file() && map(path)? == map(copy)?)
}
