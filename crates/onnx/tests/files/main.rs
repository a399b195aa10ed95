//! Writing and reading models: the writer against `onnx-protobuf`, the reader against the writer, and both with invalid
//! input.

mod errors;
mod expected;
mod forms;
mod read;
mod whole;
mod write;

use netwright_ir::{Model, parse};
use netwright_onnx::{ReadError, ReadOptions, read};

/// Returns the text with the version added to opaque operators, `"::Type"`.
fn versioned(opset: i64, text: &str) -> String {
    let mut kept = text.split("\"::");
    let mut versioned = kept.next().unwrap_or_default().to_owned();
    for rest in kept {
        let (name, rest) = rest.split_once('"').unwrap_or((rest, ""));
        let version = if name.contains('@') { String::new() } else { format!("@{opset}") };
        versioned = format!("{versioned}\"::{name}{version}\"{rest}");
    }
    versioned
}

/// Returns a model of this graph at an opset.
fn model(opset: i64, text: &str) -> Model {
    let text = versioned(opset, text);
    let mut model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{error}")));
    model.opsets.insert(String::new(), opset);
    model
}

/// Reads a file with these bytes.
fn read_bytes(bytes: &[u8]) -> Result<Model, ReadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    read(&path, &ReadOptions::default())
}
