//! Tests of `netwright generate`: what it prints, caches and refuses.

mod common;

use common::{in_repository, snapshot, transcript};
use regex::Regex;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder with `llama` and `t5`, models of 48 tokens with a tokenizer.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (from, to) in [("llama", "llama"), ("t5_gated", "t5")] {
        let to = folder.path().join(to);
        fs::create_dir(&to).expect("a folder");
        for name in ["config.json", "model.safetensors"] {
            fs::copy(in_repository("tests").join("families").join(from).join(name), to.join(name)).expect("a copy");
        }
        fs::copy(in_repository("tests").join("generation/tokenizer.json"), to.join("tokenizer.json")).expect("a copy");
    }
    let template = r#"{"chat_template": "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"}"#;
    fs::write(folder.path().join("llama/tokenizer_config.json"), template).expect("it is written");
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the folder is read") {
        let entry = entry.expect("an entry").path();
        let to = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("a copy");
        }
    }
}

/// Runs the command, and returns the call with what it prints, except for times.
fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let time =
        Regex::new(r"\d+\.\d\d s\b( \(\d+ tokens/s\))?|_seconds.: [0-9.e-]+|built/[0-9a-f]{16}").expect("a pattern");
    let text = transcript(folder, arguments, code);
    time.replace_all(&text, "[…]").replace(&folder.display().to_string(), "[folder]")
}

/// Returns the models in the user's cache folder.
fn cached(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("cache/netwright/built")).expect("the folder is read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn text_is_generated() {
    let folder = folder();
    let at = folder.path();
    let mut text = String::new();
    for arguments in [
        &["generate", "llama", "--prompt", "the in", "--max-new-tokens", "8"][..],
        &["generate", "llama", "--prompt", "the in", "--prompt", "a", "--max-new-tokens", "6"],
        &["generate", "llama", "--prompt", "the in", "--max-new-tokens", "8", "--stop", "rth", "--json"],
        &["generate", "llama", "--prompt", "the in", "--num-beams", "3", "--max-new-tokens", "6"],
        &["generate", "llama", "--prompt", "the in", "--temperature", "1.5", "--top-k", "0", "--max-new-tokens", "6"],
        &["generate", "llama", "--prompt", "on", "--chat", "--system", "er", "--max-new-tokens", "3", "--no-cache"],
        &["generate", "llama", "--prompt", "on", "--greedy", "--max-new-tokens", "3", "--no-cache", "--json"],
        &["generate", "t5", "-p", "the dog in a", "--max-new-tokens", "6", "--quiet"],
    ] {
        text.push_str(&run(at, arguments, 0));
    }
    snapshot("generate", &text);
    assert_eq!(cached(at).len(), 2, "{:?}", cached(at));
    // Another configuration is another model.
    let config = fs::read_to_string(at.join("llama/config.json")).expect("a configuration");
    fs::write(at.join("llama/config.json"), config.replace("24", "23")).expect("it is written");
    run(at, &["generate", "llama", "--prompt", "the in", "--max-new-tokens", "1"], 0);
    assert_eq!(cached(at).len(), 3);
}

/// A tiny Whisper transcribes audio of one channel and its rate, and refuses others.
#[test]
fn speech_is_transcribed() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let whisper = at.join("whisper");
    fs::create_dir(&whisper).expect("a folder");
    for (from, to) in [
        ("generation/whisper/config.json", "config.json"),
        ("generation/whisper/model.safetensors", "model.safetensors"),
        ("generation/whisper/preprocessor_config.json", "preprocessor_config.json"),
        ("generation/tokenizer.json", "tokenizer.json"),
    ] {
        fs::copy(in_repository("tests").join(from), whisper.join(to)).expect("a copy");
    }
    let config = r#"{"decoder_start_token_id": 41, "eos_token_id": 40, "pad_token_id": 40, "no_timestamps_token_id": 48,
        "lang_to_id": {"<|en|>": 43, "<|de|>": 42}, "task_to_id": {"transcribe": 45, "translate": 44}, "max_length": 12,
        "suppress_tokens": [41, 42, 43, 44, 45, 46, 47]}"#;
    fs::write(whisper.join("generation_config.json"), config).expect("it is written");
    let audio = fs::read(in_repository("tests").join("generation/tone.wav")).expect("audio");
    fs::write(at.join("tone.wav"), &audio).expect("it is written");
    // A header has the number of channels at 22, the rate at 24, and the bytes of a second and of a sample at 28 and 32.
    let mut fast = audio.clone();
    fast[24..28].copy_from_slice(&48_000_u32.to_le_bytes());
    fast[28..32].copy_from_slice(&96_000_u32.to_le_bytes());
    fs::write(at.join("fast.wav"), fast).expect("it is written");
    let mut stereo = audio.clone();
    stereo[22] = 2;
    stereo[28..32].copy_from_slice(&64_000_u32.to_le_bytes());
    stereo[32] = 4;
    fs::write(at.join("stereo.wav"), stereo).expect("it is written");
    fs::write(at.join("cut.wav"), &audio[..4000]).expect("it is written");
    fs::write(at.join("text.wav"), "no audio").expect("it is written");
    // The samples, of 22,000 bytes, 60 times: 41 seconds.
    let mut long = [&audio[..44], &audio[44..].repeat(60)].concat();
    long[40..44].copy_from_slice(&(60 * 22_000_u32).to_le_bytes());
    fs::write(at.join("long.wav"), long).expect("it is written");
    let mut text = String::new();
    for (arguments, code) in [
        (&["--audio", "tone.wav", "--max-new-tokens", "4", "--json"][..], 0),
        (&["--audio", "tone.wav", "--language", "de", "--task", "translate", "--max-new-tokens", "4"], 0),
        (&["--audio", "tone.wav", "--timestamps"], 0),
        (&["--audio", "long.wav"], 0),
        (&["--audio", "long.wav", "--timestamps", "--max-new-tokens", "6", "--num-beams", "2", "--json"], 0),
        (&["--audio", "tone.wav", "--language", "fr"], 2),
        (&["--audio", "tone.wav", "--stop", "a"], 2),
        (&["--audio", "fast.wav"], 2),
        (&["--audio", "stereo.wav"], 2),
        (&["--audio", "cut.wav"], 2),
        (&["--audio", "text.wav"], 2),
        (&["--prompt", "the dog"], 2),
    ] {
        text.push_str(&run(at, &[&["generate", "whisper"][..], arguments].concat(), code));
    }
    fs::write(whisper.join("generation_config.json"), r#"{"decoder_start_token_id": 41}"#).expect("it is written");
    text.push_str(&run(at, &["generate", "whisper", "--audio", "long.wav"], 2));
    snapshot("generate_speech", &text);
}

/// The folder that `build` writes, and its file, give what the source gives.
#[test]
fn built_folders_are_used_as_they_are() {
    let folder = folder();
    let at = folder.path();
    run(at, &["build", "llama", "-o", "built", "--with-past"], 0);
    let call = ["--prompt", "the in", "--max-new-tokens", "8", "--quiet"];
    let [source, built, file] =
        ["llama", "built", "built/model.onnx"].map(|model| run(at, &[&["generate", model][..], &call].concat(), 0));
    let text = |run: &str| run.split_once('\n').map(|(_, text)| text.to_owned());
    assert_eq!(text(&source), text(&built));
    assert_eq!(text(&source), text(&file));
    assert_eq!(cached(at).len(), 1);
}

#[test]
fn what_is_refused() {
    let folder = folder();
    let at = folder.path();
    let mut text = String::new();
    let long = "a".repeat(24);
    run(at, &["build", "llama", "-o", "built", "--with-past", "-q"], 0);
    fs::create_dir(at.join("bare")).expect("a folder");
    fs::copy(at.join("built/model.onnx"), at.join("bare/model.onnx")).expect("a copy");
    fs::create_dir(at.join("two")).expect("a folder");
    fs::copy(at.join("built/model.onnx"), at.join("two/a.onnx")).expect("a copy");
    fs::copy(at.join("built/model.onnx"), at.join("two/b.onnx")).expect("a copy");
    fs::copy(at.join("llama/tokenizer.json"), at.join("two/tokenizer.json")).expect("a copy");
    // The last weight is not a number.
    for (name, number) in [("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        copy(&at.join("llama"), &at.join(name));
        let mut weights = fs::read(at.join("llama/model.safetensors")).expect("weights");
        let end = weights.len();
        weights[end - 4..].copy_from_slice(&number.to_le_bytes());
        fs::write(at.join(name).join("model.safetensors"), weights).expect("it is written");
    }
    // A prompt of two tokens fills it; the tokenizer lacks a token that the model chooses; an option is unknown.
    for name in ["short", "other", "option"] {
        copy(&at.join("llama"), &at.join(name));
    }
    copy(&at.join("llama"), &at.join("silent"));
    fs::remove_file(at.join("silent/tokenizer.json")).expect("it is removed");
    fs::write(at.join("short/generation_config.json"), r#"{"max_length": 2, "num_beams": 4}"#).expect("it is written");
    let config = fs::read_to_string(at.join("llama/config.json")).expect("a configuration");
    fs::write(at.join("option/config.json"), config.replacen('{', "{\"shrink\": 2, ", 1)).expect("it is written");
    let tokenizer = fs::read(at.join("llama/tokenizer.json")).expect("a tokenizer");
    let mut tokenizer: Value = serde_json::from_slice(&tokenizer).expect("JSON");
    tokenizer["model"]["vocab"].as_object_mut().expect("tokens").retain(|token, _| token != "r" && token != "er");
    tokenizer["model"]["merges"].as_array_mut().expect("pairs").retain(|pair| pair[1] != "r");
    fs::write(at.join("other/tokenizer.json"), tokenizer.to_string()).expect("it is written");
    let vit = in_repository("tests/families/vit");
    run(at, &["build", vit.to_str().expect("UTF-8"), "-o", "vit", "-q"], 0);
    run(at, &["build", "llama", "-o", "int4", "--with-past", "--quantize-tensor", ".=int4", "-q"], 0);
    run(at, &["build", "llama", "-o", "genai", "--for", "genai", "--quantize", "none", "-q"], 0);
    copy(&at.join("silent"), &at.join("broken"));
    fs::write(at.join("broken/config.json"), "{}").expect("it is written");
    for (arguments, code) in [
        (&["generate", "llama", "--prompt", ""][..], 2),
        (&["generate", "llama", "--prompt", &long], 2),
        (&["generate", "llama", "--prompt", "a", "--temperature", "0"], 2),
        (&["generate", "llama", "--prompt", "a", "--num-beams", "0"], 2),
        (&["generate", "t5", "--prompt", "a", "--chat"], 2),
        (&["generate", "bare", "--prompt", "a"], 2),
        (&["generate", "two", "--prompt", "a"], 2),
        (&["generate", "nan", "--prompt", "a"], 1),
        (&["eval", "nan", "--text", "nan/config.json"], 1),
        (&["eval", "infinite", "--text", "nan/config.json"], 1),
        (&["generate", "llama", "--prompt", "a", "--stop", ""], 2),
        (&["generate", "llama", "--prompt", "a", "--num-beams", "2", "--stop", ""], 2),
        (&["generate", "llama", "--prompt", "a", "--greedy", "--num-beams", "2", "--max-new-tokens", "1"], 0),
        (&["generate", "short", "--prompt", "aa"], 2),
        (&["generate", "short", "--prompt", "a", "--greedy", "--max-new-tokens", "1"], 0),
        (&["generate", "other", "--prompt", "the in", "--no-cache"], 2),
        (&["generate", "option", "--prompt", "a"], 1),
        (&["generate", "llama", "--audio", "speech.wav"], 2),
        (&["generate", "built/model.onnx", "--audio", "speech.wav"], 2),
        (&["eval", "silent", "--text", "nan/config.json", "--no-cache"], 2),
        // Of a model that is not evaluated, the tokenizer is not missing.
        (&["generate", "vit/model.onnx", "--prompt", "a"], 2),
        (&["generate", "vit", "--prompt", "a"], 2),
        (&["eval", "vit", "--text", "nan/config.json"], 2),
        (&["eval", "broken", "--text", "nan/config.json"], 1),
        (&["generate", "int4", "--prompt", "a", "--runtime", "tract"], 3),
        (&["eval", "int4", "--text", "nan/config.json", "--runtime", "tract"], 3),
        (&["generate", "genai", "--prompt", "a", "--runtime", "tract"], 3),
        (&["generate", "llama", "--prompt", "a", "--suppress-tokens", "47,48"], 2),
        (&["generate", "llama", "--prompt", "a", "--max-new-tokens", "24", "--suppress-tokens", "2"], 0),
        (&["generate", "missing", "--prompt", "a"], 2),
        (&["generate", "cache", "--prompt", "a"], 2),
    ] {
        text.push_str(&run(at, arguments, code));
    }
    snapshot("generate_refusals", &text);
}

/// A folder with weights is built, unless models of the usual names lie in it, and what is used is named.
#[test]
fn the_weights_of_a_folder_are_used() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("text.txt"), "the dog in a\n").expect("it is written");
    let other = in_repository("tests/families/llama_linear");
    let other = other.to_str().expect("UTF-8");
    run(at, &["build", other, "-o", "llama/other.onnx", "--with-past", "-q"], 0);
    copy(&at.join("llama"), &at.join("alone"));
    fs::remove_file(at.join("alone/model.safetensors")).expect("it is removed");
    let mut text = String::new();
    for model in ["llama", "alone"] {
        let arguments = ["generate", model, "--prompt", "a", "--max-new-tokens", "1", "--greedy"];
        text.push_str(&run(at, &arguments, 0));
    }
    text.push_str(&run(at, &["eval", "llama", "llama/other.onnx", "--text", "text.txt"], 0));
    text.push_str(&run(at, &["eval", "alone", "alone/other.onnx", "--text", "text.txt"], 0));
    text.push_str(&run(at, &["eval", "alone", "--text", "text.txt", "--quiet"], 0));
    // A model that was built into the folder of its weights has the name that build gives it.
    fs::rename(at.join("llama/other.onnx"), at.join("llama/model.onnx")).expect("it is renamed");
    text.push_str(&run(at, &["eval", "llama", "llama/model.onnx", "--text", "text.txt"], 0));
    snapshot("weights_beside_models", &text);
}

/// A text is put to one model, or to two.
#[test]
fn models_are_evaluated() {
    let folder = folder();
    let at = folder.path();
    for (from, to) in [("minilm", "minilm"), ("llama_linear", "other")] {
        fs::create_dir_all(at.join(to)).expect("a folder");
        for name in ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json"] {
            let from = in_repository("tests").join("families").join(from).join(name);
            let to = at.join(to).join(name);
            fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
            if from.is_file() {
                fs::copy(from, to).expect("a copy");
            }
        }
        fs::copy(in_repository("tests").join("generation/tokenizer.json"), at.join(to).join("tokenizer.json"))
            .expect("a copy");
    }
    copy(&at.join("minilm"), &at.join("zero"));
    let mut weights = fs::read(at.join("zero/model.safetensors")).expect("weights");
    // The header is as long as the first eight bytes say.
    let header = 8 + usize::from(weights[0]) + 256 * usize::from(weights[1]);
    weights[header..].fill(0);
    fs::write(at.join("zero/model.safetensors"), weights).expect("it is written");
    fs::write(at.join("text.txt"), "the dog in a\n\nhere is the end of the line\n").expect("it is written");
    fs::write(at.join("empty.txt"), "").expect("it is written");
    let mut text = String::new();
    for (arguments, code) in [
        (&["eval", "llama", "--text", "text.txt"][..], 0),
        (&["eval", "llama", "other", "--text", "text.txt", "--tokens", "9"], 0),
        (&["eval", "minilm", "minilm", "--text", "text.txt"], 0),
        (&["eval", "llama", "other", "--text", "text.txt", "--json"], 0),
        (&["eval", "minilm", "zero", "--text", "text.txt"], 1),
        (&["eval", "minilm", "--text", "text.txt"], 2),
        (&["eval", "minilm", "llama", "--text", "text.txt"], 2),
        (&["eval", "llama", "--text", "empty.txt"], 2),
        (&["eval", "llama", "--text", "missing.txt"], 2),
        (&["eval", "t5", "--text", "text.txt"], 2),
    ] {
        text.push_str(&run(at, arguments, code));
    }
    snapshot("eval", &text);
}

/// Built models beyond the limit of the environment are removed, those that were not used for the longest time first.
#[test]
fn the_cache_has_a_limit() {
    let folder = folder();
    let at = folder.path();
    let generate = |model: &str, limit: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
        command.args(["generate", model, "-p", "on", "--max-new-tokens", "1"]).current_dir(at);
        command.env("XDG_CACHE_HOME", at.join("cache")).env("NETWRIGHT_CACHE_SIZE", limit);
        command.output().expect("it runs")
    };
    for (model, limit, count) in [("llama", "1MB", 1), ("t5", "1MB", 2), ("t5", "1kB", 2)] {
        assert!(generate(model, limit).status.success(), "{model}");
        assert_eq!(cached(at).len(), count, "{model} {limit}: {:?}", cached(at));
    }
    for model in cached(at) {
        fs::remove_dir_all(model).expect("it is removed");
    }
    assert!(generate("llama", "1kB").status.success() && generate("t5", "1kB").status.success());
    assert_eq!(cached(at).len(), 1, "{:?}", cached(at));
    let refused = generate("llama", "many");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("NETWRIGHT_CACHE_SIZE is many, which is not a size"), "{text}");
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
#[cfg(target_os = "linux")]
fn hostile_templates_are_refused() {
    let folder = folder();
    let chain = |start: &str, link: &str, count: usize| format!("{{{{ {start}{} }}}}", link.repeat(count));
    let grown = |first: &str, next: &str, last: &str, times: usize| {
        format!(
            "{{% set ns = namespace(s={first}) %}}{{% for i in range({times}) %}}{{% set ns.s = {next} %}}{{% endfor %}}\
             {{{{ {last} }}}}"
        )
    };
    let text = "'aaaaaaaaaaaaaaaa'";
    for (template, causes) in [
        (chain("1", "+1", 200_000), &["signal", "fails"][..]),
        (chain("1", "+1", 600_000), &["more than the limit of 1048576"]),
        (grown("[1]", "[ns.s]", "ns.s", 100_000), &["signal", "nested more than 100 deep"]),
        (grown("[1]", "[ns.s]", "ns.s|tojson", 100_000), &["signal"]),
        (grown("1", "ns", "ns", 1), &["signal", "nested more than 100 deep"]),
        (grown("1", "ns", "ns|tojson", 1), &["signal"]),
        (grown(text, "ns.s + ns.s", "1", 60), &["signal"]),
        (grown(text, "ns.s ~ ns.s", "1", 60), &["signal"]),
    ] {
        let config = serde_json::json!({"chat_template": template}).to_string();
        fs::write(folder.path().join("llama/tokenizer_config.json"), config).expect("it is written");
        let error = run(folder.path(), &["generate", "llama", "--prompt", "on", "--chat"], 2);
        let start = template.chars().take(60).collect::<String>();
        assert!(causes.iter().any(|cause| error.contains(cause)), "{start}: {error}");
        assert!(error.contains("tokenizer_config.json"), "{start}: {error}");
    }
}

/// What a model writes goes into a pipe as it is; only a terminal would obey it.
#[test]
fn generated_text_keeps_its_characters() {
    let folder = folder();
    let path = folder.path().join("llama/tokenizer.json");
    let text = fs::read_to_string(&path).expect("the tokenizer");
    let mut tokenizer: Value = serde_json::from_str(&text).expect("JSON");
    let marks = "\u{200f}\u{61c}\u{2028}\u{1b}";
    tokenizer["decoder"] = serde_json::json!({"type": "Replace", "pattern": {"Regex": "^.*$"}, "content": marks});
    fs::write(&path, tokenizer.to_string()).expect("it is written");
    for (prompts, expected) in
        [(&["the"][..], marks.repeat(2) + "\n"), (&["the", "a"], format!("1: {}\n", marks.repeat(2)))]
    {
        let mut call = vec!["generate", "llama", "--max-new-tokens", "2", "--greedy"];
        call.extend(prompts.iter().flat_map(|prompt| ["--prompt", prompt]));
        let text = run(folder.path(), &call, 0);
        assert!(text.contains(&expected), "{text:?}");
    }
}

/// A folder of transformers.js has its graphs in `onnx`, and the tokenizer above; a folder with weights is built.
#[test]
fn graphs_may_lie_in_a_folder_of_their_own() {
    let folder = folder();
    let at = folder.path();
    run(at, &["build", "llama", "-o", "js/onnx", "--quiet"], 0);
    for entry in fs::read_dir(at.join("js/onnx")).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "json") {
            fs::rename(&path, at.join("js").join(path.file_name().expect("a name"))).expect("it is moved");
        }
    }
    fs::copy(at.join("js/onnx/model.onnx"), at.join("js/onnx/model_fp16.onnx")).expect("a copy");
    let generate = |model: &str| run(at, &["generate", model, "-p", "the in", "--max-new-tokens", "4"], 0);
    let text = generate("js");
    assert!(text.contains("warning: not used: js/onnx/model_fp16.onnx"), "{text}");
    let line = |text: &str| text.lines().nth(1).unwrap_or_default().to_owned();
    assert_eq!(line(&generate("js/onnx/model_fp16.onnx")), line(&generate("js/onnx/model.onnx")));
    copy(&at.join("js/onnx"), &at.join("llama/onnx"));
    generate("llama");
    assert_eq!(cached(at).len(), 1, "the weights are built");
}

#[test]
fn arguments_that_change_nothing_or_are_out_of_range_are_refused() {
    let folder = folder();
    for (arguments, cause) in [
        (&["--temperature", "-1"][..], "`temperature` must be"),
        (&["--repetition-penalty", "-1"], "`repetition_penalty` must be"),
        (&["--top-p", "-1"], "`top_p` must be"),
        (&["--min-p", "-1"], "`min_p` must be"),
        (&["--language", "en"], "cannot be used with"),
        (&["--task", "translate"], "cannot be used with"),
        (&["--system", "be"], "--chat"),
    ] {
        let call = [&["generate", "llama", "--prompt", "on"], arguments].concat();
        let error = run(folder.path(), &call, 2);
        assert!(error.contains(cause), "{error}");
    }
}
