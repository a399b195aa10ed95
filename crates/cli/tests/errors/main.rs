//! Every entry of the index of errors is provoked, and `docs/errors.md` shows what is printed.
//!
//! An example that is a line for a shell runs in a folder with a few models and links to the tests of the checkout. An
//! example in Rust has a function in [`library`]. Errors that only a bug leads to are built there.
#![cfg(unix)]

mod library;

use netwright::ir::{Model, parse};
use netwright::onnx::{self, WriteOptions};
use regex::Regex;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The models in the folder of the examples, which the page shows.
const MODELS: [(&str, &str); 4] = [
    (
        "chain",
        "chain(%x: f32[batch, 16], %mask: f32[batch, 1]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[16, 32]
  %v = parameter uniform(seed = 2, bound = 0.5) : f32[32, 16]
  %a = matmul %x, %w : f32[batch, 32]
  %b = tanh %a : f32[batch, 32]
  %c = matmul %b, %v : f32[batch, 16]
  %y = mul %c, %mask : f32[batch, 16]
  return %y
}",
    ),
    (
        "sums",
        "sums(%x: f32[n, 4], %pair: f32[2, 4]) {
  %y = add %x, %pair : ?
  return %y
}",
    ),
    (
        "opaque",
        "opaque(%x: f32[n]) {
  %thing = \"my.domain::Thing@1\" %x : ?
  %y = \"my.domain::Other@1\" %thing : f32[n]
  return %y
}",
    ),
    (
        "branches",
        "branches(%cond: bool[], %x: f32[2]) {
  %y = if %cond {else_branch = graph else(; %b: f32[2] = %x) {
    %inner = neg %b : f32[2]
    %other = exp %inner : f32[2]
    return y = %other
  }, then_branch = graph then(; %b: f32[2] = %x) {
    return y = %b
  }} : f32[2]
  return %y
}",
    ),
];

/// Returns a field of a protobuf message whose contents are bytes.
fn field(number: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = contents.len();
    while length >= 0x80 {
        bytes.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    bytes.push(length.to_le_bytes()[0]);
    bytes.extend_from_slice(contents);
    bytes
}

/// Returns a graph with an `x` in many subgraphs within one another.
fn deep() -> Vec<u8> {
    let nested = |graph: Vec<u8>, _| field(1, &field(5, &field(6, &graph)));
    field(7, &(0..200).fold(vec![], nested))
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let write = |name: &str, text: &str| {
        let mut model = Model::new(parse(text).unwrap_or_else(|error| panic!("{name}: {error}")));
        model.opsets.insert(String::new(), 20);
        model.opsets.insert("my.domain".to_owned(), 1);
        onnx::write(&model, at.join(name), &WriteOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    for (name, text) in MODELS {
        write(&format!("{name}.onnx"), text);
    }
    write("other.onnx", &MODELS[0].1.replace("seed = 1", "seed = 3"));
    fs::write(at.join("deep.onnx"), deep()).expect("written");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout");
    symlink(root.join("tests"), at.join("tests")).expect("a link");
    folder
}

/// Runs a line in a shell, in which no runtime is found, and returns what the last command prints as an error.
fn run(folder: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_netwright"));
    let bin = program.parent().expect("a folder").display().to_string();
    let output = Command::new("bash")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_clear()
        .env("PATH", format!("{bin}:/usr/bin:/bin"))
        .env("HOME", folder)
        .output()
        .expect("a shell runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

#[test]
fn the_page_shows_every_error() {
    let listed = Command::new(env!("CARGO_BIN_EXE_netwright")).args(["error", "--json"]).output().expect("it runs");
    let entries: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a list");
    let mut cases = library::cases();
    let models: Vec<&str> = MODELS.iter().map(|(_, text)| *text).collect();
    let mut page = format!(
        "# Index of errors\n\n\
        The first line of an error has its code: `error[NW0101]: …`. `netwright error NW0101` explains it, and \
        `netwright error` lists the codes. The first two digits are the area: 01 files, 02 reading models, 03 the \
        checker, 04 building, 05 passes and their options, 06 running and verifying, 07 the command line, 08 writing \
        models, 09 surgery, 10 generation. A code keeps its meaning.\n\n\
        The commands below run in a checkout, with the models `chain.onnx`, `sums.onnx`, `opaque.onnx` and \
        `branches.onnx`:\n\n```text\n{}\n```\n\n\
        `other.onnx` is a chain with other weights, and `deep.onnx` has 200 subgraphs within one another. `INSTA_UPDATE=always cargo test -p netwright-cli --test errors` writes this page.\n",
        models.join("\n")
    );
    let unstable = Regex::new(r"library\.rs:\d+:\d+|\d+\.\d+ s\b").expect("a pattern");
    let mut wrong = vec![];
    for entry in &entries {
        let part = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("{entry} has no {name}"));
        let (code, example) = (part("code"), part("example"));
        let (shown, printed) = if example.starts_with("Rust: ") {
            let number: u16 = code[2..].parse().expect("a number");
            let case = cases.remove(&number).unwrap_or_else(|| panic!("{code} has no case in Rust"));
            (example.to_owned(), std::panic::catch_unwind(case).unwrap_or_else(|_| "it panics".to_owned()))
        } else {
            let folder = folder();
            (format!("$ {example}"), run(folder.path(), example))
        };
        if !printed.starts_with(&format!("error[{code}]: ")) {
            wrong.push(format!("{code}: {example}\n{printed}"));
        }
        let printed = unstable.replace_all(&printed, "…");
        let (title, cause, cure) = (part("title"), part("cause"), part("cure"));
        let _ = write!(page, "\n## {code}: {title}\n\n{cause}\n\n```text\n{shown}\n{printed}\n```\n");
        // The command prints the cure if the error has no help of its own.
        let is_cure = |line: &str| line.strip_prefix("  help: ").is_some_and(|help| cure.ends_with(&help[1..]));
        if !printed.lines().any(is_cure) {
            let _ = write!(page, "\n{cure}\n");
        }
    }
    assert!(wrong.is_empty(), "other errors are printed:\n{}", wrong.join("\n"));
    assert!(cases.is_empty(), "cases without an entry: {:?}", cases.keys());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        fs::write(&path, &page).expect("the page is written");
    }
    let is_current = fs::read_to_string(&path).is_ok_and(|current| current == page);
    assert!(is_current, "docs/errors.md is stale: INSTA_UPDATE=always cargo test -p netwright-cli --test errors");
}
