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

/// Returns the folder with the configuration and the tokenizer of a model, which is a folder or a file.
pub(crate) fn folder(model: &Path) -> PathBuf {
    if model.is_dir() {
        return model.to_owned();
    }
    match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Returns whether a folder holds ONNX files.
pub fn has_graphs(folder: impl AsRef<Path>) -> bool {
    !graphs(folder.as_ref()).is_empty()
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
    let graphs = graphs(path);
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
