//! The folders that `build --for` writes, and what it refuses.

mod common;

use common::{in_repository, netwright, snapshot};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Writes the paths of the files beneath a folder.
fn list(folder: &Path, root: &Path, text: &mut String) {
    let entries = std::fs::read_dir(folder).expect("the folder is read");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            list(&path, root, text);
        } else {
            let _ = writeln!(text, "  {}", path.strip_prefix(root).expect("it is beneath").display());
        }
    }
}

#[test]
fn folders_have_what_clients_open() {
    let (families, source) = (in_repository("tests/families"), TempDir::new().expect("a folder"));
    let cards = ["README.md", "LICENSE", "tokenizer.json", "additional_chat_templates/tool_use.jinja"];
    // A folder with a licence, a model card and ids of special tokens.
    let llama = source.path().join("llama");
    std::fs::create_dir(&llama).expect("a folder");
    std::fs::copy(families.join("llama/model.safetensors"), llama.join("model.safetensors")).expect("copied");
    let config = std::fs::read_to_string(families.join("llama/config.json")).expect("read");
    std::fs::write(llama.join("config.json"), &config).expect("written");
    std::fs::write(llama.join("generation_config.json"), "{\"eos_token_id\": [2, 3], \"top_k\": 5}").expect("written");
    std::fs::create_dir(llama.join("additional_chat_templates")).expect("a folder");
    for name in cards {
        std::fs::write(llama.join(name), "text").expect("written");
    }

    let cases: [(&str, PathBuf, &[&str]); 7] = [
        ("decoder", llama.clone(), &["--for", "optimum"]),
        ("encoder_decoder", families.join("t5"), &["--for", "optimum"]),
        ("browser", llama.clone(), &["--for", "transformers.js", "--variants", "fp16,fp32"]),
        ("merged", families.join("t5"), &["--for", "transformers.js"]),
        ("sentences", families.join("minilm"), &["--for", "sentence-transformers"]),
        ("half", llama.clone(), &["--for", "genai", "--dtype", "f16"]),
        ("genai", llama, &["--for", "genai", "--quantize", "none"]),
    ];
    let folder = TempDir::new().expect("a folder");
    let mut text = String::new();
    for (name, source, arguments) in cases {
        let arguments = [&["-q", "-o", name], arguments].concat();
        let source = source.to_str().expect("UTF-8");
        let output = netwright(folder.path(), &[&["build", source], &arguments[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let _ = writeln!(text, "{}", arguments.join(" "));
        list(&folder.path().join(name), &folder.path().join(name), &mut text);
    }
    // The branches of a merged decoder share their weights, whatever is fused.
    let (t5, parameters) = (families.join("t5"), |target: &str| {
        let output = netwright(folder.path(), &["inspect", &format!("{target}/decoder_model_merged.onnx")]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find(|line| line.starts_with("parameters")).expect("a line").to_owned()
    });
    for target in ["onnx", "ort"] {
        let call = ["-q", "-o", target, "--target", target, "--with-past", "--kv-cache", "merged"];
        let output = netwright(folder.path(), &[&["build", t5.to_str().expect("UTF-8")], &call[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(parameters("onnx"), parameters("ort"));
    for (target, is_written) in [("onnx", false), ("ort", true)] {
        let call = ["-q", "-o", "int8", "--target", target, "--with-past", "--kv-cache", "merged"];
        let quantize = ["--quantize-tensor", ".=int8"];
        let output =
            netwright(folder.path(), &[&["build", t5.to_str().expect("UTF-8")], &call[..], &quantize].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_written, "{error}");
        assert!(is_written || error.contains("help: quantize for the target ort (--target ort)"), "{error}");
        // A refused decoder leaves no encoder.
        assert_eq!(folder.path().join("int8/encoder_model.onnx").exists(), is_written);
    }
    let added = |path: &str| std::fs::read_to_string(folder.path().join(path)).expect("read");
    let config = added("browser/config.json");
    let key = config.find("\"transformers.js_config").expect("the key is added");
    let _ = writeln!(text, "{}{}", &config[key..], added("genai/genai_config.json"));
    snapshot("layouts", &text);
}

#[test]
fn what_no_client_opens_is_refused() {
    let (families, folder) = (in_repository("tests/families"), TempDir::new().expect("a folder"));
    let cases: [(&str, &[&str]); 25] = [
        ("llama", &["--for", "optimum", "-o", "model.onnx"]),
        ("t5", &["--for", "optimum", "-o", "out", "--part", "encoder"]),
        ("llama", &["--for", "genai", "-o", "out", "--kv-cache", "shared"]),
        ("llama", &["--for", "optimum", "-o", "out", "--variants", "q8"]),
        ("llama", &["-o", "out", "--variants", "q8"]),
        ("llama", &["--for", "transformers.js", "-o", "out", "--variants", "q8", "--dtype", "f16"]),
        ("llama", &["--for", "transformers.js", "-o", "out", "--dtype", "f16"]),
        ("llama", &["--for", "transformers.js", "-o", "out", "--variants", "q8", "--target", "onnx"]),
        ("llama", &["--for", "genai", "-o", "out", "--target", "tract"]),
        ("llama", &["-o", "out", "--keep-f32", "norm"]),
        ("t5", &["--for", "genai", "-o", "out"]),
        ("bert", &["--for", "sentence-transformers", "-o", "out"]),
        ("bert", &["--for", "genai", "-o", "out"]),
        ("llama", &["--for", "browsers", "-o", "out"]),
        ("llama", &["--kv-cache", "merged", "--with-past", "-o", "out"]),
        ("t5", &["--kv-cache", "merged", "-o", "out"]),
        ("llama", &["--kv-cache", "static", "--with-past", "-o", "out"]),
        ("llama", &["--kv-cache", "static=0", "--with-past", "-o", "out"]),
        ("llama", &["--kv-cache", "statics=4", "--with-past", "-o", "out"]),
        ("llama", &["--kv-cache", "static=4", "-o", "out"]),
        ("llama", &["--kv-cache", "concat", "-o", "out"]),
        ("t5", &["--kv-cache", "static=4", "--with-past", "-o", "out"]),
        ("llama", &["--kv-cache", "sliding", "--with-past", "-o", "out"]),
        ("t5", &["--kv-cache", "sliding", "--with-past", "-o", "out"]),
        ("llama", &["--kv-cache", "static=4", "--for", "optimum", "-o", "out"]),
    ];
    let mut text = String::new();
    for (family, arguments) in cases {
        let source = families.join(family);
        let source = source.to_str().expect("UTF-8");
        let output = netwright(folder.path(), &[&["build", source], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).replace(&families.display().to_string(), "[families]");
        let _ = writeln!(text, "{family} {}\n{error}exit code {:?}\n", arguments.join(" "), output.status.code());
        assert!(!folder.path().join("out").exists() && !folder.path().join("model.onnx").exists());
    }
    snapshot("layouts_refused", &text);
}

/// Writes a folder of `whisper` with eight times its vocabulary, whose table alone has enough elements to be quantized.
fn write_large_vocabulary(whisper: &Path, folder: &Path) {
    const TABLE: &str = "model.decoder.embed_tokens.weight";
    let read = |name: &str| std::fs::read(whisper.join(name)).expect("read");
    let mut config: Value = serde_json::from_slice(&read("config.json")).expect("an object");
    config["vocab_size"] = (config["vocab_size"].as_u64().expect("a size") * 8).into();
    let weights = read("model.safetensors");
    let (length, rest) = weights.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("small"));
    let mut header: Value = serde_json::from_slice(header).expect("an object");
    let tensors = header.as_object_mut().expect("an object");
    tensors.remove("__metadata__");
    let mut written = vec![];
    for (name, tensor) in tensors {
        let [start, end] = [0, 1].map(|at| usize::try_from(tensor["data_offsets"][at].as_u64().expect("an offset")));
        let own = &data[start.expect("small")..end.expect("small")];
        let from = written.len();
        if name == TABLE {
            tensor["shape"][0] = config["vocab_size"].clone();
            written.extend(own.repeat(8));
        } else {
            written.extend_from_slice(own);
        }
        tensor["data_offsets"] = serde_json::json!([from, written.len()]);
    }
    let header = header.to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &written].concat();
    std::fs::create_dir(folder).expect("a folder");
    std::fs::write(folder.join("model.safetensors"), file).expect("written");
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
}

/// A file that is named by a scheme has weights in it, and a model of small weights is not written under such a name; nor
/// are the other files of the variant, which programs open together.
#[test]
fn variants_that_quantize_nothing_are_not_written() {
    let (families, folder) = (in_repository("tests/families"), TempDir::new().expect("a folder"));
    write_large_vocabulary(&families.join("whisper"), &folder.path().join("large"));
    let cases: [(&str, &[&str]); 4] = [
        ("llama", &["--for", "transformers.js", "--variants", "all"]),
        ("t5", &["--for", "transformers.js", "--variants", "fp32,q4"]),
        ("large", &["--for", "transformers.js", "--variants", "fp32,q4"]),
        // It has one model, whose name does not say the scheme.
        ("llama", &["--for", "genai"]),
    ];
    let mut text = String::new();
    for (number, (family, arguments)) in cases.into_iter().enumerate() {
        let source = Some(folder.path().join(family)).filter(|own| own.exists());
        let (source, out) = (source.unwrap_or_else(|| families.join(family)), format!("out{number}"));
        let build = ["build", source.to_str().expect("UTF-8"), "-o", &out];
        let output = netwright(folder.path(), &[&build, arguments].concat());
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let _ = writeln!(text, "{family} {}", arguments.join(" "));
        for line in printed.lines().filter(|line| line.contains("quantized") || line.contains("not written")) {
            let _ = writeln!(text, "{line}");
        }
        list(&folder.path().join(&out), &folder.path().join(&out), &mut text);
        let _ = writeln!(text, "exit code {:?}\n", output.status.code());
    }
    snapshot("layouts_not_quantized", &text);
}

/// A program that reads files which the source lacks would fail only when it opens the folder.
#[test]
fn absent_files_are_reported() {
    let (families, folder) = (in_repository("tests/families"), TempDir::new().expect("a folder"));
    let at = folder.path();
    let spelled = at.join("spelled");
    std::fs::create_dir(&spelled).expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(families.join("llama").join(name), spelled.join(name)).expect("copied");
    }
    std::fs::write(spelled.join("tokenizer.model"), "").expect("written");
    let cases = [
        (families.join("llama"), "optimum"),
        (families.join("llama"), "transformers.js"),
        (families.join("minilm"), "sentence-transformers"),
        (families.join("vit"), "transformers.js"),
        (families.join("whisper"), "optimum"),
        (spelled.clone(), "optimum"),
        (spelled, "transformers.js"),
    ];
    let mut text = String::new();
    for (number, (source, client)) in cases.into_iter().enumerate() {
        let (source, out) = (source.to_str().expect("UTF-8"), format!("out{number}"));
        let output = netwright(at, &["build", source, "-o", &out, "--for", client]);
        assert!(output.status.success(), "{source} {client}");
        let warned = String::from_utf8_lossy(&output.stderr).into_owned();
        let source = source.rsplit('/').next().expect("a name");
        let warned = warned.replace(&families.display().to_string(), "[families]");
        let warned = warned.replace(&at.display().to_string(), "[folder]");
        let _ = writeln!(text, "{source} --for {client}\n{warned}");
    }
    snapshot("layouts_warned", &text);
}
