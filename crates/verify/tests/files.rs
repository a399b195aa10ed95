//! Models in files, with external data.

mod models;

use models::{bytes, floats, graph, model, node};
use netwright_verify::{Options, verify};
use std::path::Path;
use tract_onnx::pb::{StringStringEntryProto, tensor_proto::DataLocation};

/// Writes `y = x + w`, where `w` is four bytes of another file.
fn write(dir: &Path, location: &str, offset: &str, length: &str) -> std::path::PathBuf {
    let mut weight = floats("w", &[1], &[]);
    weight.data_location = Some(DataLocation::External as i32);
    let entry = |(key, value): (&str, &str)| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    weight.external_data = [("location", location), ("offset", offset), ("length", length)].map(entry).to_vec();
    let mut graph = graph(&["x: f32[n]"], &["y: f32[n]"], vec![node("y = Add(x, w)")]);
    graph.initializer = vec![weight];
    let path = dir.join("model.onnx");
    std::fs::write(&path, bytes(&model(graph))).expect("it is written");
    path
}

#[test]
fn external_data_lies_beneath_the_model() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("model");
    std::fs::create_dir(&folder).expect("a folder");
    for path in [folder.join("w.bin"), dir.path().join("secret.bin")] {
        std::fs::write(path, [0; 8]).expect("it is written");
    }
    for (location, offset, length, expected) in [
        ("w.bin", "4", "4", "runs in tract"),
        (
            "../secret.bin",
            "4",
            "4",
            "fails: the external data of tensor `w` cannot be read: location \"../secret.bin\" leads out",
        ),
        (
            "w.bin",
            "6",
            "4",
            "fails: the external data of tensor `w` cannot be read: 4 bytes at offset 6 extend beyond the end",
        ),
        (
            "w.bin",
            "x",
            "4",
            "fails: the external data of tensor `w` cannot be read: its offset is \"x\", which is not a size",
        ),
        ("none.bin", "4", "4", "does not exist"),
    ] {
        let verdict = verify(write(&folder, location, offset, length), None, &Options::default());
        let text = verdict.expect("it is judged").to_string();
        assert!(text.contains(expected), "{location}: {text}");
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = verify(dir.path().join("none.onnx"), None, &Options::default()).expect_err("no verdict");
    assert!(error.to_string().contains("none.onnx\" does not exist"), "{error}");
}
