//! What a new user tries in the first minute.

mod common;

use common::{in_repository, names, netwright, snapshot};
use regex::Regex;
use std::fs;
use std::process::Output;
use tempfile::TempDir;

/// Returns a folder with an export of BERT as `model.onnx` and a folder of Hugging Face as `bert`.
fn home() -> TempDir {
    let home = TempDir::new().expect("a folder");
    fs::copy(in_repository("tests/interop/models/bert.legacy.onnx"), home.path().join("model.onnx")).expect("copied");
    fs::create_dir(home.path().join("bert")).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(in_repository("tests/families/bert").join(file), home.path().join("bert").join(file)).expect("copied");
    }
    home
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_first_commands() {
    let home = home();
    let calls = [
        &["optimize", "model.onnx"][..],
        &["optimize", "model.onnx", "optimized.onnx", "--target", "ort"],
        &["verify", "model.onnx", "optimized.onnx", "--dim", "batch=1", "--dim", "seq=8"],
        &["build", "bert", "-o", "bert.onnx", "--verify"],
        &["--help"],
    ];
    let transcript = calls.map(|arguments| {
        let output = netwright(home.path(), arguments);
        assert!(output.status.success(), "{}", text(&output));
        format!("$ netwright {}\n{}", arguments.join(" "), text(&output))
    });
    assert_eq!(names(home.path()), ["bert", "bert.onnx", "model.onnx", "optimized.onnx"]);
    let transcript = transcript.join("\n");
    let transcript = Regex::new(r"\d+\.\d\d s\b").expect("a pattern").replace_all(&transcript, "[time]");
    snapshot("first_commands", &transcript);
}

/// The last line says what is left to do.
#[test]
fn the_last_line_says_what_is_next() {
    let home = home();
    for (arguments, last) in [
        (
            &["model.onnx"][..],
            "next: 0 of 2 attentions, 0 of 2 activations fused: `--opset auto` or `--target ort` fuses all 4 (opset 23); \
             nothing is written, `-o FILE` writes the result",
        ),
        (&["model.onnx", "--target", "ort"], "next: nothing is written, `-o FILE` writes the result"),
        (&["model.onnx", "a.onnx", "--target", "ort"], "next: `--verify` compares the result with the input"),
        (&["model.onnx", "b.onnx", "--target", "ort", "--verify"], "next: nothing, the result is verified"),
        (
            &["model.onnx", "c.onnx", "--target", "ort", "--rename-dim", "batch=b"],
            "next: nothing, the result is written",
        ),
        (&["c.onnx", "-o", "c.onnx", "--target", "ort"], "next: nothing, the result is written"),
        (&["model.onnx", "--passes", "none"], "next: nothing is written, `-o FILE` writes the result"),
        (
            &["model.onnx", "--skip", "fuse-attention", "--opset", "auto"],
            "next: 0 of 2 attentions fused: `--explain` gives the reasons; nothing is written, `-o FILE` writes the result",
        ),
    ] {
        let output = netwright(home.path(), &[&["optimize"], arguments].concat());
        assert_eq!(text(&output).lines().next_back(), Some(last), "{arguments:?}");
    }
}

/// The sizes are those of the file that would be written.
#[test]
fn a_look_counts_the_bytes_of_the_file() {
    let home = home();
    fs::create_dir(home.path().join("out")).expect("a folder");
    let bytes = |arguments: &[&str]| {
        let output = netwright(home.path(), &[&["optimize", "model.onnx", "--json"], arguments].concat());
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        summary["after"]["bytes"].as_u64().expect("a number")
    };
    for flags in [&[][..], &["--external-data", "always"], &["--dtype", "f16"]] {
        let look = bytes(flags);
        assert_eq!(look, bytes(&[flags, &["-o", "out/model.onnx"]].concat()), "{flags:?}");
    }
    let file = |name| fs::metadata(home.path().join(name)).expect("it is written").len();
    let all = bytes(&["-o", "all.onnx", "--external-data", "always"]);
    assert_eq!(all, file("all.onnx") + file("all.onnx.data"));
    // Weights in other files count before, too.
    let output =
        netwright(home.path(), &["optimize", "all.onnx", "--passes", "none", "--external-data", "always", "--json"]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let before = summary["before"]["bytes"].as_u64().expect("a number");
    assert_eq!(before, all);
}

#[test]
fn paths_have_one_reading() {
    let home = home();
    let at = home.path();
    fs::copy(at.join("model.onnx"), at.join("other.onnx")).expect("copied");
    fs::create_dir(at.join("sub")).expect("a folder");
    fs::copy(at.join("model.onnx"), at.join("sub/model.onnx")).expect("copied");
    let before = names(at);
    for (arguments, message) in [
        (&["model.onnx", "other.onnx"][..], "-o other.onnx replaces it; -o FOLDER optimizes both models"),
        (&["model.onnx", "model.onnx"], "model.onnx exists"),
        (&["model.onnx", "bert"], "bert is a folder"),
        (&["model.onnx", "-o", "sub"], "\"sub\" is a folder"),
        (&["model.onnx", "other.onnx", "new.onnx"], "3 models are given without a folder to write to"),
        (&["model.onnx", "other.onnx", "-o", "new.onnx"], "2 models are given, but new.onnx is a file"),
        (&["model.onnx", "other.onnx", "-o", "model.onnx"], "2 models are given, but model.onnx is a file"),
        (&["model.onnx", "other.onnx", "-o", "."], "the output would replace an input: model.onnx is in the folder ."),
        (&["model.onnx", "sub/model.onnx", "-o", "new"], "model.onnx and sub/model.onnx have the same file name"),
        (
            &["model.onnx", "other.onnx", "-o", "new", "--report", "r.html"],
            "--report is for one model, but 2 are given",
        ),
        (&["model.onnx", "--share-weights"], "--share-weights has no effect without an output"),
        (&["model.onnx", "missing/new.onnx"], "the folder \"missing\" of the output does not exist"),
    ] {
        let output = netwright(at, &[&["optimize"], arguments].concat());
        let text = text(&output);
        assert!(output.status.code() == Some(2) && text.contains(message), "{arguments:?}: {text}");
        assert_eq!(names(at), before, "{arguments:?}");
    }
}

/// Several models are written to a folder in any number of jobs, and one that fails does not stop the others.
#[test]
fn several_models() {
    let home = home();
    let at = home.path();
    fs::copy(in_repository("tests/interop/models/vit.dynamo.onnx"), at.join("vit.onnx")).expect("copied");
    fs::write(at.join("empty.onnx"), "").expect("written");
    let single = |name: &str| {
        assert!(netwright(at, &["-q", "optimize", name, "alone.onnx"]).status.success());
        let bytes = fs::read(at.join("alone.onnx")).expect("it is written");
        fs::remove_file(at.join("alone.onnx")).expect("removed");
        bytes
    };
    let expected = [single("model.onnx"), single("vit.onnx")];
    for jobs in ["1", "3"] {
        let folder = format!("out{jobs}/");
        let call = ["optimize", "model.onnx", "empty.onnx", "missing.onnx", "vit.onnx", "-o", &folder, "--jobs", jobs];
        let output = netwright(at, &call);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("empty.onnx") && stderr.contains("missing.onnx\" does not exist"), "{stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let shown: Vec<&str> = stdout.lines().filter(|line| ["model.onnx", "vit.onnx"].contains(line)).collect();
        assert_eq!(shown, ["model.onnx", "vit.onnx"]);
        let folder = at.join(&folder);
        assert_eq!(names(&folder), ["model.onnx", "vit.onnx"]);
        let written = ["model.onnx", "vit.onnx"].map(|name| fs::read(folder.join(name)).expect("it is written"));
        assert!(written == expected, "{jobs} jobs");
    }
    let json = netwright(at, &["optimize", "model.onnx", "vit.onnx", "-o", "json", "--json"]);
    let reports: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).expect("it is JSON");
    let models: Vec<_> = reports.iter().map(|report| report["model"].as_str()).collect();
    assert_eq!(models, [Some("model.onnx"), Some("vit.onnx")]);
}

#[test]
fn weights_instead_of_an_onnx_file() {
    let home = home();
    fs::copy(in_repository("tests/gguf/smollm.gguf"), home.path().join("smollm.gguf")).expect("copied");
    for (path, source, code) in
        [("smollm.gguf", "smollm.gguf", 1), ("bert/model.safetensors", "bert", 1), ("bert", "bert", 2)]
    {
        let output = netwright(home.path(), &["optimize", path, "optimized.onnx"]);
        let help = format!("\n  help: build an ONNX model from it: netwright build {source} -o model.onnx\n");
        assert!(text(&output).ends_with(&help) && output.status.code() == Some(code), "{}", text(&output));
        let built = netwright(home.path(), &["build", source, "-o", "built.onnx"]);
        assert!(built.status.success(), "{}", text(&built));
    }
    fs::rename(home.path().join("model.onnx"), home.path().join("bert/model.onnx")).expect("renamed");
    let output = netwright(home.path(), &["optimize", "bert"]);
    assert!(text(&output).ends_with("\n  help: name the file bert/model.onnx\n"), "{}", text(&output));
}

/// Every mistake is answered with the nearest right thing.
#[test]
fn mistakes_get_a_suggestion() {
    let home = home();
    let at = home.path();
    let bert = fs::read_to_string(at.join("bert/config.json")).expect("the configuration is there");
    let other = |folder: &str, from: &str, to: &str| {
        fs::create_dir(at.join(folder)).expect("a folder");
        assert!(bert.contains(from), "{bert}");
        fs::write(at.join(folder).join("config.json"), bert.replace(from, to)).expect("written");
        fs::copy(at.join("bert/model.safetensors"), at.join(folder).join("model.safetensors")).expect("copied");
    };
    other("brt", "\"model_type\": \"bert\"", "\"model_type\": \"berrt\"");
    fs::create_dir(at.join("several")).expect("a folder");
    for name in ["b.onnx", "a.onnx"] {
        fs::copy(at.join("model.onnx"), at.join("several").join(name)).expect("copied");
    }
    fs::create_dir(at.join("lone")).expect("a folder");
    fs::copy(at.join("bert/model.safetensors"), at.join("lone/lone.safetensors")).expect("copied");
    fs::create_dir_all(at.join("hub/onnx")).expect("a folder");
    fs::copy(at.join("model.onnx"), at.join("hub/onnx/model.onnx")).expect("copied");
    fs::create_dir(at.join("empty")).expect("a folder");
    fs::create_dir(at.join("adapter")).expect("a folder");
    fs::write(at.join("adapter/adapter_config.json"), "{}").expect("written");
    for (file, text) in [
        ("note.onnx", "a text"),
        ("misnamed.onnx", "GGUF version 3"),
        ("llama.gguf", "GGUF version 3"),
        ("other.gguf", "GGUF version 3"),
        ("model.pt", "PK\u{3}\u{4} and so on"),
        ("page.onnx", "\n<!DOCTYPE html>"),
        ("pointer.onnx", "version https://git-lfs.github.com/spec/v1\n"),
    ] {
        fs::write(at.join(file), text).expect("written");
    }
    let before = names(at);
    for (arguments, expected) in [
        (&["optimise", "model.onnx"][..], "a similar subcommand exists: 'optimize'"),
        (&["optimize", "model.onnx", "--taget", "ort"], "a similar argument exists: '--target'"),
        (&["optimize", "model.onnx", "--target", "rt"], "`rt` is not a target: did you mean `ort`?"),
        (&["optimize", "model.onnx", "--target", "cuda"], "`cuda` is not a target: choose from onnx, tract, ort"),
        (&["optimize", "model.onnx", "--quantize", "int5"], "`int5` is not a scheme: did you mean `int4`?"),
        (&["optimize", "model.onnx", "--skip", "fuse-atention"], "help: did you mean `fuse-attention`?"),
        (&["optimize", "model.onnx", "--passes", "everything"], "help: the nearest are "),
        (&["optimize", "modle.onnx"], "\"modle.onnx\" does not exist\n  help: did you mean model.onnx?"),
        (&["optimize", "several"], "help: name one of several/a.onnx, several/b.onnx"),
        (&["verify", "several"], "help: name one of several/a.onnx, several/b.onnx"),
        (&["verify", "model.onnx", "--dim", "batsh=2"], "help: did you mean `batch`?"),
        (&["optimize", "model.onnx", "--rename-dim", "batsh=b"], "help: did you mean `batch`?"),
        (
            &["extract", "model.onnx", "--to", "last_hidden_stat", "-o", "out"],
            "help: did you mean `last_hidden_state`?",
        ),
        (&["build", "model.onnx", "-o", "out"], "help: use optimize: `netwright optimize model.onnx`"),
        (&["build", "several", "-o", "out"], "help: use optimize: `netwright optimize several/a.onnx`"),
        (&["build", ".", "-o", "out"], "help: name one of ./bert, ./brt, ./llama.gguf, ./other.gguf"),
        (&["build", "berd", "-o", "out"], "help: did you mean bert?"),
        (&["build", "transformer-bas", "-o", "out"], "help: did you mean the preset transformer-base?"),
        (
            &["build", "google-bert/bert-base-uncased", "-o", "out"],
            "`hf download google-bert/bert-base-uncased --local-dir bert-base-uncased`, then `netwright build \
             bert-base-uncased -o bert-base-uncased.onnx`",
        ),
        (&["build", "brt", "-o", "out"], "the model type `berrt` is not supported\n  help: did you mean `bert`?"),
        (&["build", "bert", "-o", "out", "--task", "fill-maks"], "it is not a task: did you mean `fill-mask`?"),
        (&["schema", "optimise"], "a similar value exists: 'optimize'"),
        (&["optimize", "model.onnx", "--dim", "batch_size=1"], "help: did you mean `batch`?"),
        (&["optimize", "model.onnx", "--dim", "rows=1"], "help: choose from batch, seq"),
        (&["optimize", "model.onnx", "--dim", "batch=1,seq=16"], "give --dim once for each symbol"),
        (&["optimize", "model.onnx", "--rename-dim", "batch=b,seq=s"], "give the flag once for each pair"),
        (
            &["merge", "model.onnx", "model.onnx", "-o", "out", "--connect", "a=b,c=d"],
            "give the flag once for each pair",
        ),
        (&["optimize", "model.onnx", "--dim", "batch=one"], "help: the size of batch must be a number"),
        (&["verify", "model.onnx", "--dim", "batch=one"], "help: the size of batch must be a number"),
        (&["optimize", "model.onnx", "--fp16"], "tip: use --dtype f16\n"),
        (&["optimize", "model.onnx", "-O3"], "tip: `optimize` applies all passes for its --target"),
        (&["optimize", "model.onnx", "--dtype", "int8"], "tip: --dtype is the float type; use --quantize int8"),
        (&["optimize", "model.onnx", "--quantize", "fp16"], "`fp16` is a float type: use --dtype f16"),
        (&["compare", "a.onnx", "b.onnx"], "tip: compare two models: `netwright verify A.onnx B.onnx`"),
        (&["benchmark", "model.onnx"], "tip: measure a model: `netwright bench MODEL.onnx`"),
        (&["model.onnx"], "tip: name a command first: `netwright inspect model.onnx`"),
        (&["optimize", "model.pt"], "is a zip archive, as PyTorch and NumPy save, not an ONNX model"),
        (&["verify", "page.onnx"], "is a web page, not an ONNX model"),
        (&["verify", "model.onnx", "--inputs", "model.pt"], "it is a zip archive, such as NumPy's .npz; unpack it"),
        (&["inspect", "pointer.onnx"], "is a pointer of Git LFS, not an ONNX model"),
        (
            &["build", "model.pt", "-o", "out"],
            "help: name a Hugging Face folder, which has the weights and a config.json",
        ),
        (
            &["optimize", "lone/lone.safetensors"],
            "is a safetensors file, not an ONNX model\n  help: name an ONNX model\n",
        ),
        (&["build", "no/such", "-o", "out"], "\"no/such\" does not exist\n"),
        (&["build", "absent", "-o", "out"], "\"absent\" does not exist\n  help: correct the path\n"),
        (&["build", "absent.gguf", "-o", "out"], "\"absent.gguf\" does not exist\n  help: correct the path\n"),
        (&["build", "lone", "-o", "out"], "\"lone\" has no config.json, so it is not a Hugging Face folder\n"),
        (&["check", "absent.onnx"], "\"absent.onnx\" does not exist\n  help: correct the path\n"),
        (
            &["check", "owner/name"],
            "help: a model of the Hugging Face Hub is downloaded first: `hf download owner/name",
        ),
        (&["verify", "model.onnx", "owner/name"], "help: a model of the Hugging Face Hub is downloaded first"),
        (&["check", "bert/name"], "\"bert/name\" does not exist\n  help: correct the path\n"),
        (&["build", "bert/config.json", "-o", "out"], "help: build its folder: `netwright build bert -o model.onnx`"),
        (&["build", "gpt2-medium", "-o", "out"], "`hf download gpt2-medium --local-dir gpt2-medium`"),
        (&["build", "https://huggingface.co/a/b/tree/main", "-o", "out"], "`hf download a/b --local-dir b`"),
        (&["families", "--for", "a/b"], "`hf download a/b config.json --local-dir b`"),
        (&["families", "--for", "gpt2"], "help: gpt2 is a family, GPT-2"),
        (&["optimize", "hub"], "help: name the file hub/onnx/model.onnx"),
        (&["generate", "a/b", "-p", "hi"], "`hf download a/b --local-dir b`, then name b\n"),
        (&["eval", "a/b", "--text", "model.pt"], "`hf download a/b --local-dir b`, then name b\n"),
        (&["attention", "a/b", "--text", "hi"], "`hf download a/b --local-dir b`, then name b\n"),
        (
            &["build", "note.onnx", "-o", "out"],
            "\"note.onnx\" is a text file, not an ONNX model\n  help: name a Hugging Face folder",
        ),
        (
            &["build", "misnamed.onnx", "-o", "out"],
            "help: rename it, and build an ONNX model from it: netwright build misnamed.gguf",
        ),
        (&["build", "page.onnx", "-o", "out"], "is a web page, not an ONNX model\n  help: download the file itself"),
        (
            &["inspect", "several", "--ops"],
            "--ops is for one model, but several is a folder with 2 models\n  help: name a file, such as several/a.onnx\n",
        ),
        (&["merge", "empty", "-o", "out"], "has no parts.json, which `split` writes beside the parts of a model\n"),
        (
            &["merge", "several", "-o", "out"],
            "or models in the order in which they run, such as several/a.onnx several/b.onnx\n",
        ),
        (&["inspect", "adapter"], "\"adapter\" is a folder\n  help: name an ONNX file\n"),
        (&["families", "--for", "adapter"], "help: name a config.json, or a folder that has one\n"),
        (&["optimize", "model.onnx", "--jobs", "0"], "'--jobs <N>': expected 1 or more\n"),
        (&["optimize", "model.onnx", "--jobs", "x"], "'--jobs <N>': expected a whole number\n"),
        (&["optimize", "model.onnx", "--stop-after", ""], "'--stop-after <STOP_AFTER>': expected a whole number\n"),
        (&["generate", "bert", "-p", "a", "--top-p", "x"], "'--top-p <P>': expected a number\n"),
        (&["optimize", "model.onnx", "--dim", "batch="], "expected SYMBOL=SIZE, such as batch=2\n"),
        (&["optimize", "model.onnx", "--dim", "=1"], "expected SYMBOL=SIZE, such as batch=2\n"),
        (&["optimize", "model.onnx", "--rename-dim", "batch=2"], "`2` is a size, not a name: use --dim batch=2\n"),
        (
            &["optimize", "model.onnx", "--target", "ort", "--kv-cache", "shared"],
            "the model has no KV cache\n  help: add one in the same call, with `optimize --add-kv-cache`",
        ),
        (&["split", "model.onnx", "-o", "out"], "<--after <NAMES>|--size <SIZE>>"),
        (&["generate", "bert"], "<--prompt <TEXT>|--audio <FILE.wav>>"),
    ] {
        let output = netwright(at, arguments);
        let text = text(&output);
        assert!(!output.status.success() && text.contains(expected), "{arguments:?}: {text}");
        assert_eq!(names(at), before, "{arguments:?}");
    }
}

/// Every command reports a file that is not a model, or not a whole one, with the same message and exit code.
#[test]
fn files_that_are_not_models_are_reported_alike() {
    let home = home();
    let model = fs::read(in_repository("tests/interop/models/bert.legacy.onnx")).expect("read");
    let files: [(&str, &[u8], &str); 7] = [
        ("cut.onnx", &model[..20_000], "the file is cut short or damaged"),
        ("start.onnx", &model[..7], "the file is cut short or damaged"),
        ("bytes.onnx", &[0xfb, 0x15, 0x80, 0x07], "the file is damaged or not an ONNX file"),
        ("bodiless.onnx", &[8, 8], "the model has no graph"),
        ("text.onnx", "grüß dich, this is a text\n".as_bytes(), "is a text file, not an ONNX model"),
        ("page.onnx", b"<html><body>404</body></html>", "is a web page, not an ONNX model"),
        ("gguf.onnx", b"GGUF\x03\0\0\0\0\0\0\0", "is a GGUF file, not an ONNX model"),
    ];
    for (name, bytes, expected) in files {
        fs::write(home.path().join(name), bytes).expect("written");
        let report = |arguments: &[&str]| {
            let output = netwright(home.path(), &[arguments, &[name]].concat());
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {name}: {}", text(&output));
            text(&output)
        };
        let message = report(&["check"]);
        assert!(message.contains(expected), "{message}");
        for command in [
            &["optimize"][..],
            &["inspect"],
            &["verify"],
            &["bench"],
            &["bench", "model.onnx"],
            &["verify", "model.onnx"],
        ] {
            assert_eq!(report(command), message, "{command:?}");
        }
    }
}

#[test]
fn the_command_introduces_itself() {
    let home = home();
    let run = |arguments: &[&str]| {
        let output = netwright(home.path(), arguments);
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let welcome = run(&[]);
    assert_eq!(welcome.lines().filter(|line| line.starts_with("  netwright ")).count(), 5, "{welcome}");
    let version = run(&["--version"]);
    let lines: Vec<&str> = version.lines().collect();
    assert!(lines[0].starts_with(concat!("netwright ", env!("CARGO_PKG_VERSION"))), "{version}");
    assert!(lines.contains(&"tract 0.23.9") && lines.contains(&"opset 24, reads up to 28"), "{version}");
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c"), ("powershell", "Register-Argument")]
    {
        let script = run(&["completions", shell]);
        assert!(script.contains(mark) && script.contains("optimize"), "{shell}: {script}");
    }
    let help = run(&["optimize", "--help"]);
    for heading in
        ["Reading", "Target and types", "Weights in files", "Quantization", "Passes and reports", "Verification"]
    {
        assert!(help.lines().any(|line| line == format!("{heading}:")), "{heading}: {help}");
    }
}

/// A model that cannot generate or read a text is refused for this reason, not because its tokenizer is missing.
#[test]
fn the_kind_of_a_model_comes_before_its_tokenizer() {
    let home = home();
    fs::write(home.path().join("text.txt"), "a text").expect("written");
    let family = |name: &str| in_repository("tests/families").join(name).display().to_string();
    let (bert, vit, llama) = (family("bert"), family("vit"), family("llama"));
    for (arguments, message) in [
        (["generate", &bert, "-p", "a"], "which does not generate text\n  help: name a model for text-generation, "),
        (["generate", &vit, "-p", "a"], "which does not generate text\n  help: name a model for text-generation, "),
        (["eval", &vit, "--text", "text.txt"], "reads pixel_values, not input_ids\n  help: name a model for texts"),
        (["eval", &bert, "--text", "text.txt"], "the tokenizer is missing"),
        (["generate", &llama, "-p", "a"], "the tokenizer is missing"),
    ] {
        let output = netwright(home.path(), &arguments);
        assert!(!output.status.success() && text(&output).contains(message), "{arguments:?}: {}", text(&output));
    }
}

/// Models whose inputs and outputs have different names are compared if the names are given.
#[test]
fn models_with_different_names_are_compared() {
    let home = home();
    let run = |arguments: &[&str], code: i32| {
        let output = netwright(home.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        text(&output)
    };
    let renamed = ["--rename-input", "input_ids=tokens", "--rename-output", "last_hidden_state=states"];
    run(&[&["optimize", "model.onnx", "named.onnx", "--quiet"], &renamed[..]].concat(), 0);
    let sizes = ["--dim", "batch=1", "--dim", "seq=4"];
    let compare = [&["verify", "model.onnx", "named.onnx"], &sizes[..]].concat();
    assert!(
        run(&compare, 1)
            .contains("help: if they mean the same, add --rename-input input_ids=tokens to `netwright verify`")
    );
    assert!(run(&[&compare[..], &renamed[..2]].concat(), 1).contains("add --rename-output last_hidden_state=states"));
    assert!(run(&[&compare[..], &renamed].concat(), 0).starts_with("equal in tract"));
    let wrong = ["--rename-input", "input_ids=ids"];
    let instead = "instead of --rename-input input_ids=ids, add --rename-input input_ids=tokens to `netwright verify`";
    assert!(run(&[&compare[..], &wrong].concat(), 1).contains(instead));
    // The model is named and protected, not its copy with other names.
    let too_long = [&["verify", "model.onnx", "named.onnx", "--dim", "batch=1", "--dim", "seq=4000"], &renamed[..]];
    assert!(run(&too_long.concat(), 3).contains("]: model.onnx is not verifiable in tract"));
    fs::create_dir(home.path().join("runs")).expect("a folder");
    fs::hard_link(home.path().join("model.onnx"), home.path().join("runs/run0.safetensors")).expect("linked");
    assert!(run(&[&compare[..], &renamed, &["--dump", "runs"]].concat(), 2).contains("error[NW0709]"));
    fs::remove_dir_all(home.path().join("runs")).expect("removed");
    let misspelled = [&compare[..], &["--rename-input", "input_idx=tokens"]].concat();
    assert!(run(&misspelled, 2).contains("did you mean `input_ids`?"));
    assert!(run(&["verify", "model.onnx", "--rename-input", "input_ids=tokens"], 2).contains("error[NW0703]"));
    // ONNX Runtime may keep files in the user's cache folder.
    let left: Vec<String> = names(home.path()).into_iter().filter(|name| name != "cache").collect();
    assert_eq!(left, ["bert", "model.onnx", "named.onnx"]);
}
