//! Finds the graphs of a model in a folder.

use crate::GenerateError;
use std::path::{Path, PathBuf};

const ENCODER: &str = "encoder_model.onnx";
const DECODER: &str = "decoder_model.onnx";
const LATER: &str = "decoder_with_past_model.onnx";
const MERGED: &str = "decoder_model_merged.onnx";
const WHOLE: &str = "model.onnx";

/// The files of a model.
pub(crate) struct Parts {
    pub(crate) encoder: Option<PathBuf>,
    pub(crate) decoder: PathBuf,
    /// The decoder of later steps.
    pub(crate) later: Option<PathBuf>,
}

/// The folder in which transformers.js keeps the graphs of a model.
const INNER: &str = "onnx";

/// The ends of files with weights, which `build` reads.
const WEIGHTS: [&str; 4] = ["safetensors", "bin", "pt", "gguf"];

/// Returns the folder with the configuration and the tokenizer of a model, which is a folder or a file: that of the file,
/// or the one above `onnx`, as transformers.js keeps them.
pub fn folder(model: impl AsRef<Path>) -> PathBuf {
    let model = model.as_ref();
    if model.is_dir() {
        return model.to_owned();
    }
    let of = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let own = of(model);
    let has_files = |folder: &Path| ["tokenizer.json", "config.json"].iter().any(|name| folder.join(name).is_file());
    let upper = if own == Path::new(".") { PathBuf::from("..") } else { of(&own) };
    let is_inner = own.canonicalize().is_ok_and(|own| own.file_name().is_some_and(|name| name == INNER));
    if is_inner && !has_files(&own) && has_files(&upper) { upper } else { own }
}

/// Returns whether a folder holds ONNX files, itself or in `onnx`.
pub fn has_graphs(folder: impl AsRef<Path>) -> bool {
    !graphs(&graph_folder(folder.as_ref())).is_empty()
}

/// Returns whether a folder itself holds ONNX files, and all have names that `netwright build` gives them.
pub fn has_built_graphs(folder: impl AsRef<Path>) -> bool {
    let graphs = graphs(folder.as_ref());
    !graphs.is_empty() && graphs.iter().all(|graph| is_usual(graph))
}

/// Returns the graphs of a model, which is a folder or a file; none if the folder does not tell which they are.
pub fn used_graphs(model: impl AsRef<Path>) -> Vec<PathBuf> {
    let parts = parts(model.as_ref()).ok();
    parts.into_iter().flat_map(|parts| parts.encoder.into_iter().chain([parts.decoder]).chain(parts.later)).collect()
}

/// Returns the graphs of a folder that are not used, where others of them are.
pub fn unused_graphs(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let folder = folder.as_ref();
    let inner = graph_folder(folder);
    let (all, used) = (graphs(&inner), usual(graphs(&inner)));
    if inner == folder { vec![] } else { all.into_iter().filter(|graph| !used.contains(graph)).collect() }
}

/// Returns the folder with the graphs: `onnx` in a folder without graphs and weights of its own.
fn graph_folder(folder: &Path) -> PathBuf {
    let is_own = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "onnx" && path.is_file() || WEIGHTS.iter().any(|own| end == *own))
    };
    let inner = folder.join(INNER);
    let is_inner = inner.is_dir() && !netwright_files::entries(folder).iter().any(is_own);
    if is_inner { inner } else { folder.to_owned() }
}

/// Returns the graphs with the usual names, without those in other types such as `model_fp16.onnx`; or all, if none has.
fn usual(graphs: Vec<PathBuf>) -> Vec<PathBuf> {
    if graphs.iter().any(|graph| is_usual(graph)) {
        graphs.into_iter().filter(|graph| is_usual(graph)).collect()
    } else {
        graphs
    }
}

fn is_usual(graph: &Path) -> bool {
    [ENCODER, DECODER, LATER, MERGED, WHOLE].iter().any(|name| graph.file_name().is_some_and(|own| own == *name))
}

fn graphs(folder: &Path) -> Vec<PathBuf> {
    let is_graph = |path: &PathBuf| path.extension().is_some_and(|end| end == "onnx") && path.is_file();
    netwright_files::entries(folder).into_iter().filter(is_graph).collect()
}

/// Returns the files of the model in a folder, or of a decoder in a file.
pub(crate) fn parts(path: &Path) -> Result<Parts, GenerateError> {
    if !path.is_dir() {
        return Ok(Parts { encoder: None, decoder: path.to_owned(), later: None });
    }
    let inner = graph_folder(path);
    let graphs = if inner == path { graphs(path) } else { usual(graphs(&inner)) };
    let refused = |cause: String, help: &str| GenerateError::Folder { path: path.to_owned(), cause, help: help.into() };
    let find = |name: &str| graphs.iter().find(|graph| graph.file_name().is_some_and(|own| own == name)).cloned();
    // A merged decoder is the same as the other two.
    let decoder = find(DECODER).map(|first| (first, find(LATER))).or_else(|| Some((find(MERGED)?, None)));
    let is_decoder = |graph: &PathBuf| [DECODER, LATER, MERGED].map(find).contains(&Some(graph.clone()));
    match (find(ENCODER), decoder) {
        (Some(encoder), Some((decoder, later))) => {
            return match find(WHOLE) {
                None => Ok(Parts { encoder: Some(encoder), decoder, later }),
                Some(_) => Err(refused(
                    format!("the folder holds two models: `{WHOLE}`, and `{ENCODER}` with a decoder"),
                    "name the file of a decoder, or move one model to a folder of its own",
                )),
            };
        }
        (None, Some((decoder, later))) if graphs.iter().all(is_decoder) => {
            return Ok(Parts { encoder: None, decoder, later });
        }
        _ => {}
    }
    match &graphs[..] {
        [one] => Ok(Parts { encoder: None, decoder: one.clone(), later: None }),
        [] => Err(refused(
            "the folder holds no ONNX model".to_owned(),
            "write one with `netwright build DIR -o FOLDER --with-past`",
        )),
        _ => {
            let names = graphs.iter().filter_map(|graph| graph.file_name()?.to_str());
            let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            Err(refused(
                format!("the folder holds {} models: {}", graphs.len(), names.join(", ")),
                "name the file of one of them",
            ))
        }
    }
}
