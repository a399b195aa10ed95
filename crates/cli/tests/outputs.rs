//! The files that a command writes, and those that it must not overwrite.
#![cfg(unix)]

mod common;

use common::{in_repository, netwright};
use netwright::ir::{Function, Model, Notes, parse};
use netwright::onnx::{WriteOptions, write};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Returns a folder with a model, its external data, and links to both.
fn with_model() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let source = in_repository("tests/families/bert");
    let arguments = ["-q", "build", source.to_str().expect("UTF-8"), "-o", "m.onnx", "--external-data", "always"];
    let output = netwright(at, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    symlink("m.onnx", at.join("link.html")).expect("a link");
    symlink("m.onnx.data", at.join("data_link.onnx")).expect("a link");
    folder
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder is read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let files = files.into_iter().filter(|path| path.exists());
    files.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

#[test]
fn no_input_is_replaced() {
    let folder = with_model();
    let at = folder.path();
    symlink("n.onnx", at.join("later.html")).expect("a link");
    let before = contents(at);
    let optimize: &[&str] = &["optimize", "m.onnx"];
    for (arguments, message) in [
        (&["-o", "-"][..], "help: choose a file name"),
        (&["-o", "m.onnx.data"], "the output would replace an input"),
        (&["-o", "data_link.onnx"], "the output would replace an input"),
        (&["-o", "n.onnx", "--report", "m.onnx"], "--report would replace an input"),
        (&["-o", "n.onnx", "--report", "link.html"], "--report would replace an input"),
        (&["-o", "n.onnx", "--report", "m.onnx.data"], "--report would replace an input"),
        (&["-o", "n.html", "--report", "n.html"], "--report and -o both name"),
        (&["-o", "n.onnx", "--report", "later.html"], "--report is a dangling link"),
        (&["-o", "n.onnx", "--report", "notes.txt"], "does not end in .html"),
    ] {
        let output = netwright(at, &[optimize, arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{arguments:?}: {stderr}");
    }
    let output = netwright(at, &["upgrade", "m.onnx", "-o", "m.onnx.data", "--opset", "21"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the output would replace an input"));
    assert!(contents(at) == before);

    // External data gets a name that no input has.
    for (model, others) in [("o.onnx.data", &[][..]), ("o.onnx.1.data", &["o.onnx.data"])] {
        for other in others {
            fs::copy(at.join("m.onnx.data"), at.join(other)).expect("a copy");
        }
        fs::copy(at.join("m.onnx"), at.join(model)).expect("a copy");
        let output = netwright(at, &["-q", "optimize", model, "-o", "o.onnx", "--external-data", "always"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(at.join(model)).expect("a file"), fs::read(at.join("m.onnx")).expect("a file"));
    }

    // The model itself may be replaced: its weights go to another file first.
    assert!(netwright(at, &["-q", "optimize", "m.onnx", "-o", "m.onnx"]).status.success());
    assert!(netwright(at, &["-q", "check", "m.onnx"]).status.success());
}

/// Each command that writes a model replaces models and empty files, and nothing else.
#[test]
fn only_models_are_replaced() {
    let folder = with_model();
    let at = folder.path();
    let commands: [&[&str]; 7] = [
        &["optimize", "m.onnx"],
        &["strip", "m.onnx"],
        &["extract", "m.onnx"],
        &["upgrade", "m.onnx", "--opset", "23"],
        &["embed", "m.onnx"],
        &["externalize", "m.onnx"],
        &["merge", "m.onnx", "n.onnx", "--allow-unconnected"],
    ];
    fs::copy(at.join("m.onnx"), at.join("n.onnx")).expect("a copy");
    fs::copy(in_repository("tests/families/bert/model.safetensors"), at.join("weights")).expect("a copy");
    fs::write(at.join("config.json"), "{}").expect("a file");
    fs::write(at.join("text.txt"), "text\n").expect("a file");
    let before = contents(at);
    for command in commands {
        for name in ["weights", "config.json", "text.txt"] {
            let run = netwright(at, &[command, &["-o", name]].concat());
            let stderr = String::from_utf8_lossy(&run.stderr);
            let message = format!(
                "error[NW0709]: {name} exists and is not an ONNX model\n  help: name a file that ends in .onnx, or remove \
                 this one\n"
            );
            assert!(run.status.code() == Some(2) && stderr.ends_with(&message), "{command:?}: {stderr}");
        }
        assert!(contents(at) == before, "{command:?}");
    }
    fs::write(at.join("empty"), "").expect("a file");
    for name in ["empty", "empty", "/dev/null"] {
        let run = netwright(at, &["-q", "strip", "m.onnx", "-o", name]);
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() || name == "/dev/null" && !stderr.contains("NW0709"), "{name}: {stderr}");
    }
    assert!(netwright(at, &["-q", "check", "empty"]).status.success());
}

#[test]
fn a_reproducer_replaces_nothing() {
    let folder = with_model();
    let at = folder.path();
    for name in ["linked", "empty"] {
        fs::create_dir(at.join(name)).expect("a folder");
    }
    fs::hard_link(at.join("m.onnx"), at.join("linked/before.onnx")).expect("a link");
    for (output, reproduce, message) in [
        ("n.onnx", ".", "which is not part of a reproducer"),
        ("n.onnx", "m.onnx", "cannot be read"),
        ("n.onnx", "linked", "--reproduce would replace an input"),
        ("linked/../empty/n.onnx", "empty", "is written to the folder too"),
    ] {
        let run = netwright(at, &["optimize", "m.onnx", "-o", output, "--verify", "--reproduce", reproduce]);
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && stderr.contains(message), "{reproduce}: {stderr}");
    }
    assert!(!at.join("n.onnx").exists() && fs::read_dir(at.join("empty")).expect("it is read").next().is_none());
    // Without a difference no reproducer is written.
    let run = netwright(at, &["-q", "optimize", "m.onnx", "-o", "n.onnx", "--verify", "--reproduce", "new"]);
    assert!(run.status.success() && !at.join("new").exists(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn no_weights_of_a_folder_are_replaced() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(in_repository("tests/families/bert").join(name), at.join(name)).expect("a copy");
    }
    fs::hard_link(at.join("model.safetensors"), at.join("linked.onnx")).expect("a link");
    fs::create_dir(at.join("out")).expect("a folder");
    symlink("../config.json", at.join("out/model.onnx")).expect("a link");
    for output in ["linked.onnx", "out"] {
        let run = netwright(at, &["build", ".", "-o", output]);
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && stderr.contains("would replace an input"), "{output}: {stderr}");
    }
    // A model that was built in the folder may be replaced.
    for _ in 0..2 {
        assert!(netwright(at, &["-q", "build", ".", "-o", "."]).status.success());
    }
}

/// Files that an earlier call wrote are not inputs of a later one, wherever they lie.
#[test]
fn a_second_call_is_like_the_first() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    fs::create_dir(at.join("model")).expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(in_repository("tests/families/gpt2").join(name), at.join("model").join(name)).expect("a copy");
    }
    fs::copy(in_repository("tests/gguf/llama.gguf"), at.join("m.gguf")).expect("a copy");
    for arguments in [
        &["build", "model", "-o", "model/out"][..],
        &["build", "model", "-o", "model/js", "--for", "transformers.js"],
        &["build", "m.gguf", "-o", "."],
        &["attention", "model", "--ids", "1,2,3", "-o", "model/a.html"],
    ] {
        for _ in 0..2 {
            let run = netwright(at, &[&["-q"], arguments].concat());
            assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        }
    }
}

/// Beside a model, `build` replaces neither the source nor what it has not written.
#[test]
fn files_beside_a_model_replace_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let source = in_repository("tests/families/bert");
    fs::create_dir(at.join("model")).expect("a folder");
    fs::create_dir(at.join("other")).expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name), at.join("model").join(name)).expect("a copy");
    }
    fs::write(at.join("model/README.md"), "the card").expect("written");
    fs::write(at.join("other/config.json"), "{}").expect("written");
    let before = fs::read(at.join("model/config.json")).expect("read");
    for (output, message) in [("model", "would replace an input"), ("other", "exists, is not of an earlier build")] {
        let run = netwright(at, &["build", "model", "-o", output, "--for", "transformers.js"]);
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && stderr.contains(message), "{output}: {stderr}");
        assert!(!at.join(output).join("onnx/model.onnx").exists());
    }
    assert!(fs::read(at.join("model/config.json")).expect("read") == before);
    // So does a model that `build` did not write; one that it wrote is replaced.
    fs::create_dir_all(at.join("foreign/onnx")).expect("a folder");
    fs::write(at.join("foreign/onnx/model.onnx"), "another's").expect("written");
    let run = netwright(at, &["build", "model", "-o", "foreign", "--for", "transformers.js"]);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.code() == Some(2) && stderr.contains("was not written by `netwright build`"), "{stderr}");
    assert_eq!(fs::read_to_string(at.join("foreign/onnx/model.onnx")).expect("read"), "another's");
    for _ in 0..2 {
        let run = netwright(at, &["build", "model", "-o", "built", "--for", "transformers.js"]);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
    // A card of one's own stays.
    fs::create_dir(at.join("own")).expect("a folder");
    fs::write(at.join("own/README.md"), "mine").expect("written");
    let run = netwright(at, &["build", "model", "-o", "own", "--for", "optimum"]);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && stderr.contains("exists and is kept"), "{stderr}");
    assert_eq!(fs::read_to_string(at.join("own/README.md")).expect("read"), "mine");
}

/// Standard output on a full disk is a failure.
#[test]
#[cfg(target_os = "linux")]
fn failing_to_print_is_a_failure() {
    let folder = with_model();
    for arguments in
        [&["--help"][..], &["--version"], &["optimize", "--help"], &["passes"], &["inspect", "m.onnx", "--json"]]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
        let output = command.args(arguments).current_dir(folder.path()).stdout(full).output().expect("netwright runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{arguments:?}");
    }
}

/// Names in a model cannot move the cursor, color the terminal or change the text direction.
#[test]
fn control_characters_are_escaped() {
    let folder = with_model();
    let at = folder.path();
    let model = fs::read(at.join("m.onnx")).expect("the model");
    // The same length keeps the file valid.
    let (old, new) = (b"token_type_ids", "\u{1b}[31m\u{9b}1\u{202e}\u{7f}\r\u{7}".as_bytes());
    assert_eq!(old.len(), new.len());
    let mut bytes = vec![];
    let mut rest = &model[..];
    assert!(rest.windows(old.len()).any(|part| part == old));
    while let Some(found) = rest.windows(old.len()).position(|part| part == old) {
        bytes.extend_from_slice(&rest[..found]);
        bytes.extend_from_slice(new);
        rest = &rest[found + old.len()..];
    }
    bytes.extend_from_slice(rest);
    fs::write(at.join("m.onnx"), bytes).expect("it is written");
    for arguments in [
        &["inspect", "m.onnx"][..],
        &["inspect", "m.onnx", "--text"],
        &["inspect", "m.onnx", "--json"],
        &["-v", "optimize", "m.onnx", "-o", "n.onnx", "--explain", "--diff"],
        &["optimize", "m.onnx", "-o", "n.onnx", "--json", "--diff"],
        &["verify", "m.onnx"],
        &["verify", "m.onnx", "--json"],
    ] {
        let output = netwright(at, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(text.clone()).expect("UTF-8");
            let raw = text.chars().find(|c| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202e}');
            assert_eq!(raw, None, "{arguments:?}: {text}");
        }
    }
}

/// Writes a model that calls a function: `y = my.domain::Twice(x)`.
fn write_with_function(path: &Path) {
    let [mut model, function] =
        ["%y = \"my.domain::Twice@1\" %x : f32[n]", "%y = \"::Add@17\" %x, %x : f32[n]"].map(|body| {
            let text = format!("g(%x: f32[n]) {{\n{body}\nreturn %y\n}}");
            Model::new(parse(&text).unwrap_or_else(|error| panic!("{error}")))
        });
    model.opsets = [(String::new(), 17), ("my.domain".to_owned(), 1)].into();
    model.functions.push(Function {
        domain: "my.domain".into(),
        name: "Twice".into(),
        overload: "".into(),
        graph: function.graph,
        attributes: vec![],
        defaults: vec![],
        opsets: [(String::new(), 17)].into(),
        notes: Notes::default(),
    });
    write(&model, path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
}

/// Every command that opens a model accepts the flags for reading it.
#[test]
fn all_commands_accept_the_flags_for_reading() {
    let folder = with_model();
    let at = folder.path();
    fs::create_dir(at.join("cache")).expect("a folder");
    fs::rename(at.join("m.onnx.data"), at.join("cache/blob")).expect("moved");
    symlink("cache/blob", at.join("m.onnx.data")).expect("a link");
    write_with_function(&at.join("f.onnx"));
    for (command, more) in [
        ("check", &[][..]),
        ("inspect", &[]),
        ("optimize", &["-o", "out.onnx"]),
        ("upgrade", &["-o", "out.onnx", "--opset", "22"]),
        ("verify", &[]),
    ] {
        let run = |model: &str, flags: &[&str]| netwright(at, &[&[command, model], more, flags].concat());
        let linked = run("m.onnx", &[]);
        assert!(!linked.status.success(), "{command}: {}", String::from_utf8_lossy(&linked.stdout));
        let outputs = [run("m.onnx", &["--data-dir", "cache"]), run("f.onnx", &["--inline-functions", "--strict"])];
        for output in outputs {
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let both = netwright(at, &["verify", "f.onnx", "f.onnx", "--runtime", "tract"]);
    assert!(String::from_utf8_lossy(&both.stdout).starts_with("equal in tract"), "{both:?}");
}

#[test]
fn dumped_runs_do_not_replace_the_model() {
    let folder = with_model();
    let at = folder.path();
    let model = at.join("run0.safetensors");
    write_with_function(&model);
    let before = fs::read(&model).expect("the model is read");
    let dumped = netwright(at, &["verify", "run0.safetensors", "--dump", "."]);
    let message = String::from_utf8_lossy(&dumped.stderr).into_owned();
    assert_eq!(dumped.status.code(), Some(2), "{message}");
    assert!(message.contains("--dump would replace an input: "), "{message}");
    assert_eq!(fs::read(&model).expect("the model is read"), before);
}
