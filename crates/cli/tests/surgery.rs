//! Tests of the commands that change a model on request: what they print, write and refuse.

mod common;

use common::{names, snapshot, transcript};
use netwright::ir::{Model, parse};
use netwright::onnx::{self, ExternalData, ReadOptions, WriteOptions};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MODEL: &str = "chain(%x: f32[batch, 16], %mask: f32[batch, 1]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[16, 32]
  %v = parameter uniform(seed = 2, bound = 0.5) : f32[32, 16]
  %a = matmul %x, %w : f32[batch, 32]
  %b = tanh %a : f32[batch, 32]
  %c = matmul %b, %v : f32[batch, 16]
  %y = mul %c, %mask : f32[batch, 16]
  return %y
}
";

/// Returns a folder with `model.onnx`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Model::new(parse(MODEL).expect("it is well-formed"));
    "a chain".clone_into(&mut model.doc);
    onnx::write(&model, folder.path().join("model.onnx"), &WriteOptions::default()).expect("it is written");
    folder
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn verbs() {
    let folder = folder();
    let at = folder.path();
    let mut text = String::new();
    for arguments in [
        &["extract", "model.onnx", "--from", "b,mask", "--to", "y", "-o", "back.onnx"][..],
        &["split", "model.onnx", "--after", "a", "--after", "c", "-o", "named"],
        &["split", "model.onnx", "--size", "3kB", "-o", "sized"],
        &["merge", "named/parts.json", "-o", "named.onnx"],
        &["merge", "sized", "-o", "sized.onnx"],
        &["merge", "sized/part-1.onnx", "sized/part-2.onnx", "-o", "files.onnx"],
        &["merge", "model.onnx", "model.onnx", "--connect", "y=x", "-o", "twice.onnx"],
        &["merge", "model.onnx", "model.onnx", "--allow-unconnected", "-o", "beside.onnx"],
        &["strip", "model.onnx", "-o", "stripped.onnx"],
        &["externalize", "model.onnx", "-o", "external.onnx"],
        &["embed", "external.onnx", "-o", "embedded.onnx"],
        &["-q", "optimize", "model.onnx", "-o", "plain.onnx", "--passes", "none"],
        &["-q", "optimize", "model.onnx", "-o", "one.onnx", "--dim", "batch=1", "--passes", "none"],
        &[
            "-q",
            "optimize",
            "model.onnx",
            "-o",
            "names.onnx",
            "--rename-input",
            "x=hidden",
            "--rename-output",
            "y=result",
            "--rename-dim",
            "batch=rows",
            "--passes",
            "none",
        ],
        &["-q", "optimize", "model.onnx", "-o", "more.onnx", "--outputs", "b", "--add-output", "a", "--passes", "none"],
        &["--json", "extract", "model.onnx", "--to", "a", "-o", "a.onnx"],
    ] {
        text += &transcript(at, arguments, 0);
    }
    for name in ["one", "names", "more", "stripped"] {
        text += &transcript(at, &["inspect", &format!("{name}.onnx"), "--text"], 0);
    }
    text += &String::from_utf8(bytes(at, "named/parts.json")).expect("UTF-8");
    snapshot("surgery", &text);
    let plain = bytes(at, "plain.onnx");
    for name in ["named", "sized", "embedded"] {
        assert!(bytes(at, &format!("{name}.onnx")) == plain, "{name} differs from the model");
    }
    assert_eq!(names(&at.join("named")), ["part-1.onnx", "part-2.onnx", "part-3.onnx", "parts.json"]);
    assert!(at.join("external.onnx.data").is_file());
}

/// A manifest that someone wrote by hand connects the parts too.
#[test]
fn a_manifest_need_not_restore() {
    let folder = folder();
    let at = folder.path();
    transcript(at, &["-q", "split", "model.onnx", "--after", "a", "-o", "parts"], 0);
    let text = fs::read_to_string(at.join("parts/parts.json")).expect("a manifest");
    let (parts, _) = text.split_once(",\n  \"restore\"").expect("it is the last");
    fs::write(at.join("parts/parts.json"), format!("{parts}}}")).expect("written");
    let text = transcript(at, &["merge", "parts", "-o", "merged.onnx"], 0);
    assert!(text.contains("merged.onnx: 4 nodes, 2 inputs, 1 output"), "{text}");
    transcript(at, &["-q", "verify", "model.onnx", "merged.onnx", "--runtime", "tract"], 0);
}

/// A result with fixed sizes is compared with the input for these sizes.
#[test]
fn fixed_sizes_are_verified() {
    let folder = folder();
    let arguments = ["-q", "optimize", "model.onnx", "-o", "one.onnx", "--dim", "batch=3", "--verify"];
    transcript(folder.path(), &[&arguments[..], &["--runtime", "tract"]].concat(), 0);
}

/// Sizes may be given in the old and the new names of symbols.
#[test]
fn sizes_in_names_that_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let text = "g(%x: f32[batch, seq], %m: f32[batch, total]) {\n%y = concat %x, %m {axis = 1} : ?\nreturn %y\n}\n";
    let model = Model::new(parse(text).expect("it is well-formed"));
    onnx::write(&model, at.join("model.onnx"), &WriteOptions::default()).expect("it is written");
    let inputs = |dims: &str, renamed: &[&str]| {
        let mut call = vec!["-q", "optimize", "model.onnx", "-o", "out.onnx", "--passes", "none", "--dim", dims];
        call.extend(renamed.iter().flat_map(|pair| ["--rename-dim", pair]));
        transcript(at, &call, 0);
        let text = transcript(at, &["inspect", "out.onnx"], 0);
        let types = text.lines().filter_map(|line| line.strip_prefix("input")?.split_once("f32"));
        types.map(|(_, shape)| shape.to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(inputs("seq=4", &["batch=rows"]), "[rows, 4] [rows, total]");
    assert_eq!(inputs("total=seq+batch", &["batch=rows"]), "[rows, seq] [rows, rows + seq]");
    assert_eq!(inputs("total=seq+rows", &["batch=rows"]), "[rows, seq] [rows, rows + seq]");
    for dims in ["batch=4", "rows=4"] {
        assert_eq!(inputs(dims, &["batch=rows"]), "[4, seq] [4, total]");
    }
    assert_eq!(inputs("total=2*seq", &["batch=seq", "seq=batch"]), "[seq, batch] [seq, 2*batch]");
}

/// Every refusal says why and what to do, and writes nothing.
#[test]
fn refusals() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir(at.join("full")).expect("created");
    fs::write(at.join("full/file"), "").expect("written");
    fs::write(at.join("other.json"), "{}").expect("written");
    let manifest = |file: &str| {
        format!(
            r#"{{"format": 1, "parts": [{{"file": "{file}", "inputs": [], "outputs": []}}], "inputs": [], "outputs": [], "restore": {{"moved": [], "declared": [], "types_values": true}}}}"#
        )
    };
    fs::write(at.join("outside.json"), manifest("../model.onnx")).expect("written");
    fs::write(at.join("newer.json"), manifest("model.onnx").replace("\"format\": 1", "\"format\": 2"))
        .expect("written");
    let before = names(at);
    let optimize = ["optimize", "model.onnx", "-o", "out.onnx"];
    let mut text = String::new();
    for (arguments, code) in [
        (&[&optimize[..], &["--dim", "bach=1"]].concat()[..], 2),
        (&[&optimize[..], &["--dim", "batch=1", "--dim", "batch=2"]].concat(), 2),
        (&[&optimize[..], &["--rename-input", "x"]].concat(), 2),
        (&[&optimize[..], &["--rename-input", "x=mask"]].concat(), 2),
        (&[&optimize[..], &["--dim", "batch=1", "--dim", "rows=1", "--rename-dim", "batch=rows"]].concat(), 2),
        (&[&optimize[..], &["--dim", "rows=cols", "--rename-dim", "batch=rows"]].concat(), 2),
        (&[&optimize[..], &["--outputs", "z"]].concat(), 2),
        (&[&optimize[..], &["--outputs", "matmul"]].concat(), 2),
        (&[&optimize[..], &["--add-output", "b", "--verify"]].concat(), 2),
        (&["extract", "model.onnx", "--from", "b", "--to", "y", "-o", "out.onnx"], 2),
        (&["extract", "model.onnx", "--from", "w", "-o", "out.onnx"], 2),
        (&["extract", "model.onnx", "--from", "b", "-o", "missing/out.onnx"], 2),
        (&["split", "model.onnx", "-o", "out"], 2),
        (&["split", "model.onnx", "--after", "y", "-o", "out"], 2),
        (&["split", "model.onnx", "--after", "a", "-o", "full"], 2),
        (&["split", "model.onnx", "--size", "1kB", "-o", "out"], 2),
        (&["split", "model.onnx", "--size", "big", "-o", "out"], 2),
        (&["merge", "other.json", "-o", "out.onnx"], 2),
        (&["merge", "outside.json", "-o", "out.onnx"], 2),
        (&["merge", "newer.json", "-o", "out.onnx"], 2),
        (&["merge", "newer.json", "--connect", "a=b", "-o", "out.onnx"], 2),
        (&["merge", "model.onnx", "model.onnx", "-o", "model.onnx"], 2),
        (&["merge", "model.onnx", "model.onnx", "-o", "out.onnx"], 1),
        (&["merge", "model.onnx", "model.onnx", "--connect", "y=z", "-o", "out.onnx"], 2),
        (&["merge", "model.onnx", "model.onnx", "--connect", "y=mask", "-o", "out.onnx"], 1),
        (&["strip", "model.onnx", "-o", "full"], 2),
    ] {
        text += &transcript(at, arguments, code);
        assert_eq!(names(at), before, "{arguments:?} left a file");
    }
    snapshot("surgery_refusals", &text);
}

/// The output of `embed` may be the model itself, but never a file with its weights.
#[test]
fn weights_are_not_overwritten() {
    let folder = folder();
    let at = folder.path();
    let model = Model::new(parse(MODEL).expect("it is well-formed"));
    let options = WriteOptions::default().with_external_data(ExternalData::Always);
    onnx::write(&model, at.join("external.onnx"), &options).expect("it is written");
    let (before, data) = (bytes(at, "external.onnx"), bytes(at, "external.onnx.data"));
    for command in ["embed", "externalize", "strip"] {
        transcript(at, &[command, "external.onnx", "-o", "external.onnx.data"], 2);
    }
    transcript(at, &["merge", "external.onnx", "-o", "external.onnx.data"], 2);
    assert!(bytes(at, "external.onnx") == before && bytes(at, "external.onnx.data") == data);
    transcript(at, &["embed", "external.onnx", "-o", "external.onnx"], 0);
    assert!(bytes(at, "external.onnx").len() > 4096);
}

/// External data of a model that is not replaced stays, and a warning names the file that is written instead.
#[test]
fn external_data_replaces_no_other_file() {
    let folder = folder();
    let at = folder.path();
    for name in ["m.onnx.data", "m.onnx.1.data"] {
        fs::write(at.join(name), "text").expect("a file");
    }
    let mut text = String::new();
    for arguments in [
        &["externalize", "model.onnx", "-o", "m.onnx"][..],
        &["externalize", "model.onnx", "-o", "m.onnx"],
        &["upgrade", "m.onnx", "-o", "m.onnx", "--opset", "22", "--external-data", "always"],
        &["optimize", "model.onnx", "-o", "m.onnx", "--passes", "none", "--external-data", "always", "-q"],
        &["optimize", "m.onnx", "-o", "m.onnx", "--passes", "none", "--external-data", "always"],
    ] {
        text += &transcript(at, arguments, 0);
    }
    for name in ["m.onnx.data", "m.onnx.1.data"] {
        assert_eq!(bytes(at, name), b"text", "{name}");
    }
    let without_times: String = text.split_inclusive('\n').filter(|line| !line.starts_with("in ")).collect();
    snapshot("surgery_external_data", &without_times);
}

/// The branches of a merged decoder share the file of its weights, wherever they are written.
#[test]
fn branches_become_models() {
    let folder = folder();
    let at = folder.path();
    let t5 = common::in_repository("tests/families/t5");
    let build = ["-q", "build", t5.to_str().expect("UTF-8"), "-o", "t5", "--with-past", "--kv-cache", "merged"];
    let mut text = String::new();
    assert!(common::netwright(at, &build).status.success());
    let merged = "t5/decoder_model_merged.onnx";
    for arguments in [
        &["-q", "externalize", merged, "-o", "outside.onnx"][..],
        &["optimize", "outside.onnx", "--split-branches", "--passes", "none"],
        &["-q", "optimize", "outside.onnx", "--split-branches", "-o", "decoders", "--target", "ort"],
        &["-q", "optimize", "outside.onnx", "--split-branches", "-o", "here.onnx", "--passes", "none"],
        &["-q", "optimize", merged, "--split-branches", "-o", "inside.onnx", "--passes", "none"],
    ] {
        text += &transcript(at, arguments, 0);
    }
    let small = |path: &str| bytes(at, path).len() < bytes(at, "outside.onnx.data").len();
    for path in
        ["decoders/decoder_model.onnx", "decoders/decoder_with_past_model.onnx", "here_false.onnx", "here_true.onnx"]
    {
        assert!(small(path) && onnx::read(at.join(path), &ReadOptions::default()).is_ok(), "{path}");
    }
    assert_eq!(
        names(&at.join("decoders")),
        ["decoder_model.onnx", "decoder_with_past_model.onnx", "outside.onnx.data"]
    );
    assert!(at.join("inside_true.onnx").exists() && !at.join("here_true.onnx.data").exists());
    // A copy replaces a file only if that is the same copy.
    let again = ["-q", "optimize", "outside.onnx", "--split-branches", "-o", "decoders", "--passes", "none"];
    text += &transcript(at, &again, 0);
    fs::write(at.join("decoders/outside.onnx.data"), "text").expect("a file");
    text += &transcript(at, &again, 2);
    assert_eq!(bytes(at, "decoders/outside.onnx.data"), b"text");
    for arguments in [
        &["optimize", "model.onnx", "--split-branches", "-o", "no"][..],
        &["optimize", merged, "model.onnx", "--split-branches", "-o", "no"],
        &["optimize", merged, "--split-branches", "-o", "no", "--verify"],
        &["optimize", merged, "--split-branches", "-o", "no", "--share-weights"],
        &["optimize", merged, "--split-branches", "-o", "no", "--report", "page.html"],
    ] {
        text += &transcript(at, arguments, 2);
    }
    let without_times: String = text.split_inclusive('\n').filter(|line| !line.starts_with("in ")).collect();
    snapshot("surgery_branches", &without_times);
}
