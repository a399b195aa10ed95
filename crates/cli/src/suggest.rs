//! What to do instead, if a path names something else than a command reads.

use crate::contents;
use crate::failure::{Failure, Misuse};
use crate::output::in_line;
use crate::overwrite::folder_of;
use netwright::files::{FileError, entries};
use netwright::ir::nearest::meant;
use netwright::onnx;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The maximum number of files of a folder that are listed.
const MAX_LISTED: usize = 8;

/// Checks that a path may be an ONNX file.
///
/// # Errors
/// If it is a folder, another kind of file, or does not exist; the help names what it may mean.
pub(crate) fn expect_onnx(path: &Path) -> Result<(), Failure> {
    let name = in_line(path);
    let fail = |what: &str, help: String| Err(Misuse::Path.failure(format!("{path:?} {what}\n  help: {help}")));
    if path.is_dir() {
        let help = match models_of(path).as_slice() {
            [] if path.join("config.json").is_file() || with_extensions(path, &["gguf"]).len() == 1 => {
                contents::build(&name)
            }
            [model] => format!("name the file {}", in_line(model)),
            models => files_help(models, "an ONNX file"),
        };
        return fail("is a folder", help);
    }
    if let Some((what, help)) = contents::recognized(path, "name an ONNX model") {
        let text = format!("{path:?} is {what}, not an ONNX model\n  help: {help}");
        return Err(Failure::model_with(Misuse::Path.code(), text));
    }
    if is_missing(path) {
        let neighbors = with_extensions(folder_of(path), &["onnx"]);
        let help = meant_path(path, &neighbors).map(|near| format!("did you mean {near}?"));
        return Err(missing(path, help.or_else(|| download(&name, UseOf::File)).as_deref().unwrap_or(CORRECT)));
    }
    Ok(())
}

/// Checks that a path is a complete ONNX file, for commands that let a runtime read it.
///
/// # Errors
/// As [`expect_onnx`], and if the file is damaged, with the message of commands that read it themselves.
pub(crate) fn expect_model(path: &Path) -> Result<(), Failure> {
    expect_onnx(path)?;
    onnx::expect_model(path).map_err(Failure::unread)
}

/// The help for a path that is not a source of `build`.
const NAME_FOLDER: &str = "name a Hugging Face folder, which has the weights and a config.json";

/// The help for a path of the call that resembles no other.
const CORRECT: &str = "correct the path";

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn missing(path: &Path, help: &str) -> Failure {
    Failure::usage(FileError::NotFound { path: path.to_owned() }).with_help(Some(help))
}

/// Returns the ONNX files in a folder, and those in its folder `onnx`, as on the Hugging Face Hub; none if the path is not a
/// folder.
pub(crate) fn models_of(path: &Path) -> Vec<PathBuf> {
    let folders = [path.to_owned(), path.join("onnx")];
    folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| with_extensions(folder, &["onnx"])).collect()
}

/// Returns whether `build` recognizes a folder, if only to say what it is instead.
pub(crate) fn is_source_folder(path: &Path) -> bool {
    let known = ["config.json", "modules.json", "adapter_config.json"];
    known.iter().any(|file| path.join(file).exists()) || with_extensions(path, &["gguf"]).len() == 1
}

/// Checks that a path may be the source of `build`.
///
/// # Errors
/// If it is an ONNX file, a folder without a configuration, or does not exist; the help names what it may mean.
pub(crate) fn expect_source(source: &str, presets: &[&str], use_of: UseOf) -> Result<(), Failure> {
    suggest_source(source, presets, use_of)?;
    let path = Path::new(source);
    if is_missing(path) {
        return Err(missing(path, CORRECT));
    }
    if path.is_dir() && !is_source_folder(path) {
        let text = "has no config.json, so it is not a Hugging Face folder\n  help: name a folder such as `hf download NAME \
                    --local-dir DIR` writes";
        return Err(Misuse::Path.failure(format!("{path:?} {text}")));
    }
    Ok(())
}

/// Like [`expect_source`], but fails only if something else may be meant.
pub(crate) fn suggest_source(source: &str, presets: &[&str], use_of: UseOf) -> Result<(), Failure> {
    let path = Path::new(source);
    let name = in_line(path);
    let fail = |what: &str, help: String| Err(Misuse::Path.failure(format!("{path:?} {what}\n  help: {help}")));
    let missing = |help: String| Err(missing(path, &help));
    let is_part = has_extension(path, &["safetensors", "json", "pt", "pth", "bin", "ckpt"]);
    if path.is_file() && is_part {
        let folder = path.parent().map(in_line).filter(|folder| !folder.is_empty());
        let folder = folder.as_deref().unwrap_or(".");
        let help = if is_source_folder(Path::new(folder)) {
            format!("build its folder: `netwright build {folder} -o model.onnx`")
        } else {
            format!("{NAME_FOLDER}, or export the model with torch.onnx.export")
        };
        return fail("is a file of a model", help);
    }
    if path.is_file() && has_extension(path, &["onnx"]) {
        if let Some((what, help)) = contents::recognized(path, NAME_FOLDER) {
            return fail(&format!("is {what}, not an ONNX model"), help);
        }
        return fail(
            "is an ONNX model already",
            format!("use optimize: `netwright optimize {name}`; other commands need the folder that it was built from"),
        );
    }
    if path.is_dir() && path.join("snapshots").is_dir() {
        let snapshots = entries(path.join("snapshots"));
        return fail("is a folder of the download cache", files_help(&snapshots, "a folder in snapshots"));
    }
    if path.is_dir() && !is_source_folder(path) {
        let is_folder = |path: &PathBuf| path.join("config.json").is_file();
        let mut models: Vec<PathBuf> = entries(path).into_iter().filter(is_folder).collect();
        models.extend(with_extensions(path, &["gguf"]));
        if !models.is_empty() {
            return fail("has no config.json", files_help(&models, "a model"));
        }
        return match with_extensions(path, &["onnx"]).first() {
            Some(model) => fail("has no config.json", format!("use optimize: `netwright optimize {}`", in_line(model))),
            None => Ok(()),
        };
    }
    if is_missing(path) {
        if let Some(preset) = meant(source, presets.iter().copied()) {
            return missing(format!("did you mean the preset {preset}?"));
        }
        if let Some(near) = meant_path(path, &entries(folder_of(path))) {
            return missing(format!("did you mean {near}?"));
        }
        if let Some(help) = download(source, use_of) {
            return missing(help);
        }
    }
    Ok(())
}

/// What a command does with the folder of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UseOf {
    /// It reads the folder.
    Folder,
    /// It reads an ONNX file that `build` writes, or is `build`.
    File,
}

/// Returns how to get a model of the Hugging Face Hub, if a missing path may name one.
fn download(source: &str, use_of: UseOf) -> Option<String> {
    let id = hub_id(source)?;
    let model = id.rsplit('/').next().unwrap_or(id);
    let next = match use_of {
        UseOf::Folder => format!("name {model}"),
        UseOf::File => format!("`netwright build {model} -o {model}.onnx`"),
    };
    Some(format!(
        "a model of the Hugging Face Hub is downloaded first: `hf download {id} --local-dir {model}`, then {next}"
    ))
}

/// Returns the name of a model on the Hugging Face Hub that a missing path may mean: `owner/model`, its address, or the name
/// of one of the oldest models, which have no owner. The name of an existing folder is not that of an owner.
pub(crate) fn hub_id(source: &str) -> Option<&str> {
    let address = ["https://", "http://", ""].iter().find_map(|scheme| source.strip_prefix(scheme));
    let id = address.and_then(|address| address.strip_prefix("huggingface.co/").or(address.strip_prefix("hf.co/")));
    let id = match id {
        // What follows the name is a page about the model.
        Some(id) => id.match_indices('/').nth(1).map_or(id, |(end, _)| &id[..end]),
        None => source,
    };
    let words: Vec<&str> = id.split('/').collect();
    let is_file = has_extension(Path::new(id), &["onnx", "gguf", "safetensors", "json", "bin", "pt"]);
    let is_name = match words.as_slice() {
        [model] => model.contains('-') && is_word(model),
        [owner, model] => is_word(owner) && is_word(model) && !Path::new(owner).is_dir(),
        _ => false,
    };
    (is_name && !is_file).then_some(id)
}

/// Whether a word may be part of the name of a model on the Hugging Face Hub.
fn is_word(word: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !word.is_empty() && !word.starts_with(['.', '-']) && word.chars().all(is_allowed)
}

/// Returns the path of the most similar name, without its extension, if it is similar.
fn meant_path(path: &Path, others: &[PathBuf]) -> Option<String> {
    let word = path.file_stem()?.to_str()?;
    let near = meant(word, others.iter().filter_map(|other| other.file_stem()?.to_str()))?;
    let other = others.iter().find(|other| other.file_stem().is_some_and(|stem| stem == near))?;
    Some(in_line(&path.with_file_name(other.file_name()?)))
}

/// Returns whether the name of a file ends in one of these extensions, in letters of either case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|extension| own.eq_ignore_ascii_case(extension)))
}

/// Returns the files of a folder with one of these extensions.
pub(crate) fn with_extensions(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| has_extension(path, extensions)).collect()
}

/// Returns the help that lists files, of which one is to be named.
fn files_help(files: &[PathBuf], what: &str) -> String {
    if files.is_empty() {
        return format!("name {what}");
    }
    let mut names: Vec<String> = files.iter().take(MAX_LISTED).map(|path| in_line(path)).collect();
    let more = files.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        names.push(format!("or one of {more} more"));
    }
    let one_of = if files.len() == 1 { "" } else { "one of " };
    format!("name {one_of}{}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_no_similarity() {
        let meant = |path: &str, other: &str| meant_path(Path::new(path), &[PathBuf::from(other)]);
        assert_eq!(meant("a/modle.onnx", "a/model.onnx"), Some("a/model.onnx".to_owned()));
        assert_eq!(meant("nope.onnx", "o_s.onnx"), None);
    }
}
