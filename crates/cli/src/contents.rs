//! What a file is that is not an ONNX model, from its first bytes, and what to do with it.

use crate::output::in_line;
use crate::overwrite::folder_of;
use crate::suggest;
use netwright::files::Source;
use netwright::onnx;
use std::path::Path;

/// The number of bytes that are read.
const START: usize = 64;

/// Returns what a file is instead of an ONNX model, and the help, which is `otherwise` if there is nothing better to do;
/// `None` if it may be a model, or cannot be read.
pub(crate) fn recognized(path: &Path, otherwise: &str) -> Option<(&'static str, String)> {
    let source = Source::open(path).ok()?;
    let mut start = [0; START];
    let length = usize::try_from(source.len()).unwrap_or(START).min(START);
    let start = start.get_mut(..length)?;
    source.read_at(0, start).ok()?;
    let text = String::from_utf8_lossy(start).trim_start().to_lowercase();
    let name = in_line(path);
    let part = || build_folder(path).unwrap_or_else(|| otherwise.to_owned());
    let export = "export it with torch.onnx.export, or build the Hugging Face folder that it belongs to: `netwright build \
                  FOLDER -o model.onnx`";
    Some(match start {
        [] => ("an empty file", "copy or download the model again".to_owned()),
        [b'P', b'K', 3 | 5, ..] => ("a zip archive, as PyTorch and NumPy save", export.to_owned()),
        [0x80, 2..=5, ..] => ("a Python pickle, as PyTorch saves", export.to_owned()),
        [0x1f, 0x8b, ..] => ("a gzip archive", format!("unpack it first: `gunzip {name}`")),
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file, as Keras saves", "export it to ONNX with tf2onnx".to_owned()),
        [_, _, _, _, b'T', b'F', b'L', ..] => {
            ("a TensorFlow Lite model", "export the original model to ONNX with tf2onnx".to_owned())
        }
        [_, _, _, _, b'O', b'R', b'T', b'M', ..] => {
            ("a model in ONNX Runtime's own format", "name the .onnx file that it was made from".to_owned())
        }
        [b'G', b'G', b'U', b'F', ..] if suggest::has_extension(path, &["gguf"]) => ("a GGUF file", build(&name)),
        [b'G', b'G', b'U', b'F', ..] => {
            let renamed = in_line(&path.with_extension("gguf"));
            ("a GGUF file", format!("rename it, and {}", build(&renamed)))
        }
        [_, _, _, _, _, _, 0, 0, b'{', ..] => ("a safetensors file", part()),
        _ if text.starts_with("version https://git-lfs") => (
            "a pointer of Git LFS",
            "fetch the file with `git lfs pull`, or download the model with `hf download`".to_owned(),
        ),
        _ if text.starts_with("<!doctype") || text.starts_with("<html") => (
            "a web page",
            "download the file itself; on the Hugging Face Hub, its address contains /resolve/ instead of /blob/"
                .to_owned(),
        ),
        _ if text.starts_with('{') && text.is_ascii() => ("a JSON file", part()),
        // A model may begin with letters, too.
        _ if is_text(start) && onnx::expect_model(path).is_err() => ("a text file", otherwise.to_owned()),
        _ => return None,
    })
}

/// Returns whether bytes, of which the last may be part of a character, are text in UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
        Ok(text) => text.len(),
    };
    str::from_utf8(&bytes[..whole]).is_ok_and(|text| text.chars().all(|c| c.is_whitespace() || !c.is_control()))
}

/// Returns the help for the weights of a model.
pub(crate) fn build(source: &str) -> String {
    format!("build an ONNX model from it: netwright build {source} -o model.onnx")
}

/// Returns the help for a file of a Hugging Face folder; `None` if its folder is not one.
fn build_folder(path: &Path) -> Option<String> {
    let folder = folder_of(path);
    suggest::is_source_folder(folder).then(|| build(&in_line(folder)))
}
