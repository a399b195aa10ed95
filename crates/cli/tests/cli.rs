//! Tests of the command line: output, exit codes, files on disk.

mod common;

use common::{in_repository, names, netwright, snapshot};
use netwright::ir::{Model, Notes, parse};
use netwright::onnx::{self, WriteOptions};
use regex::Regex;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn dates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dates").canonicalize().expect("the example is there")
}

/// Runs the command in the folder and compares its output, except for times, with the snapshot.
fn check(folder: &Path, name: &str, arguments: &[&str], code: i32) {
    let output = netwright(folder, arguments);
    let text = format!(
        "$ netwright {}\n{}{}[exit code {}]",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().map_or("none".to_owned(), |code| code.to_string()),
    );
    assert_eq!(output.status.code(), Some(code), "{text}");
    let replace = |text: String, pattern: &str, by: &str| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, by).into_owned()
    };
    let text = replace(text, r"\d+\.\d\d s\b", "[time]");
    let text = replace(text, r#""seconds": [0-9.e-]+"#, r#""seconds": [time]"#);
    let text = text.replace(&dates().display().to_string(), "[dates]");
    let text = text.replace(&folder.display().to_string(), "[folder]");
    snapshot(name, &text);
}

/// Returns a folder with the encoder of the date model, not optimized.
fn with_encoder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let dates = dates();
    let arguments =
        ["-q", "build", dates.to_str().expect("UTF-8"), "-o", "encoder.onnx", "--part", "encoder", "--no-optimize"];
    let output = netwright(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[test]
fn the_common_paths() {
    let folder = with_encoder();
    let at = folder.path();
    check(at, "passes", &["passes"], 0);
    check(at, "inspect", &["inspect", "encoder.onnx"], 0);
    check(at, "inspect_sizes", &["inspect", "encoder.onnx", "--dim", "batch=1", "--dim", "source=8"], 0);
    check(at, "inspect_json", &["inspect", "encoder.onnx", "--json"], 0);
    check(at, "inspect_tree", &["inspect", "encoder.onnx", "--tree"], 0);
    check(at, "inspect_ops", &["inspect", "encoder.onnx", "--ops"], 0);
    check(at, "inspect_node", &["inspect", "encoder.onnx", "--node", "encoder.layers.2.self_attn.scores"], 0);
    check(at, "inspect_no_node", &["inspect", "encoder.onnx", "--node", "encoder.layers.2.self_attn.score"], 2);
    check(at, "inspect_weights", &["inspect", "encoder.onnx", "--weights"], 0);
    check(at, "check", &["check", "encoder.onnx"], 0);
    check(
        at,
        "optimize",
        &["optimize", "encoder.onnx", "-o", "ort.onnx", "--target", "ort", "--explain", "--verify"],
        0,
    );
    check(at, "optimize_json", &["optimize", "encoder.onnx", "-o", "tract.onnx", "--target", "tract", "--json"], 0);
    check(at, "optimize_nothing", &["optimize", "ort.onnx", "-o", "again.onnx", "--target", "ort", "--diff"], 0);
    check(
        at,
        "optimize_stop",
        &["optimize", "encoder.onnx", "-o", "stop.onnx", "--only", "fuse-scale-softmax", "--stop-after", "1", "--diff"],
        0,
    );
    check(at, "optimize_in_place", &["-q", "optimize", "tract.onnx", "-o", "tract.onnx", "--passes", "none"], 0);
    check(
        at,
        "optimize_quiet_explain",
        &["-q", "optimize", "stop.onnx", "-o", "quiet.onnx", "--passes", "fuse-scale-softmax", "--explain"],
        0,
    );
    check(at, "verify_one", &["verify", "ort.onnx", "--dim", "batch=2"], 0);
    check(at, "verify_two", &["verify", "encoder.onnx", "ort.onnx"], 0);
    let ort = std::fs::read(at.join("ort.onnx")).expect("it is there");
    assert_eq!(std::fs::read(at.join("again.onnx")).expect("it is there"), ort, "optimizing again changes no byte");
    assert_eq!(names(at), ["again.onnx", "encoder.onnx", "ort.onnx", "quiet.onnx", "stop.onnx", "tract.onnx"]);
}

#[test]
fn a_folder_gets_a_file_for_each_part() {
    let folder = TempDir::new().expect("a folder");
    let dates = dates();
    let dates = dates.to_str().expect("UTF-8");
    check(folder.path(), "build_folder", &["build", dates, "-o", "out", "--target", "tract", "--verify"], 0);
    // The configuration and the tokenizer are copied.
    let expected = ["config.json", "decoder_model.onnx", "encoder_model.onnx", "tokenizer.json", "vocab.json"];
    assert_eq!(names(&folder.path().join("out")), expected);
    check(
        folder.path(),
        "build_both",
        &["-q", "build", dates, "-o", "one", "--part", "whole", "--external-data", "always"],
        0,
    );
    let expected = ["config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "vocab.json"];
    assert_eq!(names(&folder.path().join("one")), expected);
}

/// Builds from Hugging Face folders: one file or several, with and without a past; mistakes with their exit codes.
#[test]
fn folders_of_pretrained_models() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/families");
    for name in ["bert_mlm", "gpt2", "whisper"] {
        std::fs::create_dir(at.join(name)).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(families.join(name).join(file), at.join(name).join(file)).expect("copied");
        }
    }
    check(at, "families", &["families"], 0);
    check(at, "families_for", &["families", "--for", "whisper/config.json"], 0);
    check(at, "families_for_task", &["families", "--for", "gpt2", "--task", "fill-mask"], 2);
    check(
        at,
        "build_with_past",
        &["build", "gpt2", "-o", "gpt2.onnx", "--with-past", "--target", "tract", "--verify"],
        0,
    );
    check(
        at,
        "build_half",
        &["build", "bert_mlm", "-o", "half", "--dtype", "f16", "--allow-unused", "--task", "feature-extraction"],
        0,
    );
    // Only ONNX Runtime has the operators.
    let shared = ["build", "gpt2", "-o", "shared.onnx", "--with-past", "--target", "ort", "--kv-cache", "shared"];
    check(at, "shared_and_verified", &[&shared[..], &["--verify", "--runtime", "tract"]].concat(), 3);
    check(at, "build_shared_cache", &shared, 0);
    // A cache that is shared already stays as it is.
    let again = ["optimize", "shared.onnx", "-o", "again.onnx", "--target", "ort", "--kv-cache", "shared"];
    check(at, "optimize_shared_cache", &again, 0);
    let read = |name: &str| std::fs::read(at.join(name)).expect("it is read");
    assert!(read("shared.onnx") == read("again.onnx"), "the second file has other bytes");
    check(at, "build_parts", &["build", "whisper", "-o", "parts", "--with-past", "--target", "ort", "--json"], 0);
    let expected = ["config.json", "decoder_model.onnx", "decoder_with_past_model.onnx", "encoder_model.onnx"];
    assert_eq!(names(&at.join("parts")), expected);
    assert_eq!(names(&at.join("half")), ["config.json", "model.onnx"]);
    let before = names(at);
    for (name, arguments, code) in [
        ("no_such_task", vec!["build", "gpt2", "-o", "out.onnx", "--task", "poetry"], 2),
        ("task_of_another", vec!["build", "gpt2", "-o", "out.onnx", "--task", "fill-mask"], 2),
        ("another_head", vec!["build", "bert_mlm", "-o", "out.onnx", "--task", "token-classification"], 1),
        ("no_past", vec!["build", "bert_mlm", "-o", "out.onnx", "--with-past"], 2),
        ("no_part", vec!["build", "gpt2", "-o", "out.onnx", "--part", "decoder"], 2),
        ("past_in_one_file", vec!["build", "whisper", "-o", "out.onnx", "--with-past"], 2),
        ("part_without_past", vec!["build", "whisper", "-o", "out", "--part", "decoder-with-past"], 2),
        ("shared_without_past", [&shared[..4], &shared[5..]].concat(), 2),
        ("shared_for_another_runtime", [&shared[..5], &shared[7..]].concat(), 2),
        ("task_of_a_preset", vec!["build", "transformer-base", "-o", "out.onnx", "--task", "fill-mask"], 2),
    ] {
        check(at, name, &arguments, code);
        assert_eq!(names(at), before, "{name} left a file");
    }
}

/// A conversion that has no effect, or whose result the runtime may not load, is reported.
#[test]
fn types_that_do_not_suit() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    for (name, text) in [
        ("f32.onnx", "g(%x: f32[n]) {\n%y = tanh %x : f32[n]\nreturn %y\n}"),
        ("f64.onnx", "g(%x: f64[n]) {\n%y = tanh %x : f64[n]\nreturn %y\n}"),
    ] {
        let mut model = Model::new(parse(text).expect("the text is valid"));
        model.opsets.insert(String::new(), 20);
        onnx::write(&model, at.join(name), &WriteOptions::default()).expect("it is written");
    }
    // The opset is raised to the first that has the type.
    let text = "g(%x: f32[n]) {\n%y = tanh %x : f32[n]\nreturn %y\n}";
    let mut model = Model::new(parse(text).expect("the text is valid"));
    model.opsets.insert(String::new(), 12);
    onnx::write(&model, at.join("opset12.onnx"), &WriteOptions::default()).expect("it is written");
    let raised = ["optimize", "opset12.onnx", "-o", "raised.onnx", "--dtype", "bf16", "--io-dtype", "bf16"];
    check(at, "bf16_raises_opset", &raised, 0);
    check(at, "bf16_of_older_opset", &[&raised[..], &["--opset", "12"]].concat(), 2);
    let text = "g(%x: bf16[n]) {\n%y = mul %x, %x : bf16[n]\nreturn %y\n}";
    let mut model = Model::new(parse(text).expect("the text is valid"));
    model.opsets.insert(String::new(), 12);
    onnx::write(&model, at.join("bf16.onnx"), &WriteOptions::default()).expect("it is written");
    check(at, "check_types_of_older_opset", &["check", "bf16.onnx"], 0);
    let benched = netwright(at, &["bench", "f32.onnx", "bf16.onnx", "--rounds", "1", "--runtime", "tract"]);
    let printed = String::from_utf8_lossy(&benched.stdout);
    assert!(printed.contains("\ntract does not run bf16.onnx: "), "{printed}");
    let convert = |input, to| ["optimize", input, "-o", "out.onnx", "--dtype", to];
    check(at, "f64_to_f16", &convert("f64.onnx", "f16"), 0);
    check(at, "bf16_for_ort", &[&convert("f32.onnx", "bf16")[..], &["--target", "ort"]].concat(), 0);
    check(at, "bf16_for_tract", &[&convert("f32.onnx", "bf16")[..], &["--target", "tract"]].concat(), 0);
    let unkept = ["optimize", "f32.onnx", "--dtype", "bf16", "--verify", "--runtime", "tract"];
    check(at, "bf16_is_not_verifiable", &unkept, 3);
    check(at, "all_kept_in_f32", &[&convert("f32.onnx", "f16")[..], &["--keep-f32", "y"]].concat(), 0);
    let verified = [&convert("f32.onnx", "f16")[..], &["--io-dtype", "f16", "--verify", "--runtime", "tract"]].concat();
    let output = netwright(at, &verified);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A model in f32 has no quantized weights.
#[test]
fn quantized_weights_become_f32() {
    let folder = with_encoder();
    let optimized = |input: &str, output: &str, flags: &[&str]| {
        let arguments = [&["-q", "optimize", input, "-o", output, "--target", "ort"], flags].concat();
        let done = netwright(folder.path(), &arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read(folder.path().join(output)).expect("it is written")
    };
    let has_codes = |model: &[u8]| model.windows(11).any(|word| word == b"MatMulNBits");
    assert!(has_codes(&optimized("encoder.onnx", "codes.onnx", &["--quantize", "int8"])));
    let floats = optimized("codes.onnx", "floats.onnx", &["--dtype", "f32"]);
    assert!(!has_codes(&floats));
    assert_eq!(floats, optimized("codes.onnx", "again.onnx", &["--dequantize"]));
    let unchanged = optimized("codes.onnx", "unchanged.onnx", &[]);
    assert_eq!(unchanged, optimized("codes.onnx", "none.onnx", &["--quantize", "none"]));
}

/// A feed-forward as in T5 whose activations exceed the range of f16: it overflows, and does not after calibration.
#[test]
fn calibration_keeps_in_f32_what_overflows() {
    let text = "t5(%x: f32[batch, 4]) {
        %wi = parameter [600.0, 300.0, -500.0, 400.0] : f32[4]
        %wg = parameter [500.0, 700.0, -600.0, 300.0] : f32[4]
        %wo = parameter [1.0, 0.5, -1.0, 0.25, 0.5, 1.0, 0.25, -1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.5, 1.0, 1.0] : f32[4, 4]
        %up = mul %x, %wi : f32[batch, 4]
        %gate = mul %x, %wg : f32[batch, 4]
        %gelu = gelu %gate : f32[batch, 4]
        %gated = mul %up, %gelu : f32[batch, 4]
        %ff = matmul %gated, %wo : f32[batch, 4]
        %sum = add %x, %ff : f32[batch, 4]
        %y = mul %sum, 0.00390625 : f32[batch, 4]
        return %y
    }";
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let mut model = Model::new(parse(text).expect("the text is valid"));
    model.opsets.insert(String::new(), 20);
    onnx::write(&model, at.join("t5.onnx"), &WriteOptions::default()).expect("it is written");
    for (name, shape, largest) in [("inputs", "(2, 4)", 2.0), ("large", "(2, 4)", 1000.0), ("misshapen", "(4, 2)", 2.0)]
    {
        std::fs::create_dir(at.join(name)).expect("a folder");
        let numbers = [1.0_f32, -0.5, 0.25, largest, -1.0, 0.5, -1.5, 1.0].map(f32::to_le_bytes).concat();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = u16::try_from(header.len()).expect("it is short").to_le_bytes();
        let npy = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &numbers].concat();
        std::fs::write(at.join(name).join("x.npy"), npy).expect("written");
    }
    std::fs::create_dir(at.join("empty")).expect("a folder");
    let optimize = ["optimize", "t5.onnx", "-o", "f16.onnx", "--dtype", "f16"];
    let with = |more: &[&'static str]| [&optimize[..], more].concat();
    let verify = ["verify", "t5.onnx", "f16.onnx", "--inputs", "inputs", "--runtime", "tract"];
    check(at, "calibrate_misshapen", &with(&["--calibrate", "misshapen"]), 2);
    check(at, "calibrate_empty", &with(&["--calibrate", "empty"]), 2);
    check(at, "calibrate_missing", &with(&["--calibrate", "nowhere"]), 2);
    check(at, "calibrate_bf16", &[&optimize[..5], &["bf16", "--calibrate", "inputs"]].concat(), 2);
    assert!(!at.join("f16.onnx").exists());
    assert!(netwright(at, &optimize).status.success());
    check(at, "not_calibrated", &verify, 1);
    check(at, "calibrate", &with(&["--calibrate", "inputs", "--explain"]), 0);
    check(at, "calibrated", &verify, 0);
    let verified = |more: &[&'static str]| [&["-q"], &with(&["--verify", "--runtime", "tract"])[..], more].concat();
    check(at, "overflows_in_f16", &verified(&[]), 1);
    check(at, "overflows_after_calibration", &verified(&["--calibrate", "inputs"]), 1);
    check(at, "calibrated_and_verified", &[&verified(&["--calibrate", "large"])[1..], &["--verbose"]].concat(), 0);
    assert!(netwright(at, &with(&["--calibrate", "inputs"])).status.success());
    let again = ["-q", "optimize", "f16.onnx", "-o", "again.onnx", "--dtype", "f16", "--calibrate", "inputs"];
    assert!(netwright(at, &again).status.success());
    let read = |name: &str| std::fs::read(at.join(name)).expect("it is there");
    assert_eq!(read("again.onnx"), read("f16.onnx"), "calibrating again changes no byte");
}

/// Mistakes are reported with their exit codes, and leave no files.
#[test]
fn mistakes_are_reported() {
    let folder = with_encoder();
    let at = folder.path();
    let weights = std::fs::read(dates().join("model.safetensors")).expect("the weights are there");
    let config = std::fs::read_to_string(dates().join("config.json")).expect("the configuration is there");
    let model = |name: &str, config: &str, weights: &[u8]| {
        std::fs::create_dir(at.join(name)).expect("a folder");
        std::fs::write(at.join(name).join("config.json"), config).expect("written");
        std::fs::write(at.join(name).join("model.safetensors"), weights).expect("written");
    };
    let changed = |from: &str, to: &str| {
        let text =
            String::from_utf8_lossy(&weights[8..]).find(from).map(|at| at + 8).expect("the name is in the header");
        let mut weights = weights.clone();
        weights[text..text + from.len()].copy_from_slice(to.as_bytes());
        weights
    };
    model("option", &config.replace("\"norm\": \"post\"", "\"dropout\": 0.1"), &weights);
    model("heads", &config.replace("\"num_heads\": 4", "\"num_heads\": 3"), &weights);
    model("huge", &config.replace("\"d_ff\": 512", "\"d_ff\": 9999999999"), &weights);
    model("renamed", &config, &changed("encoder.layers.1.norm2.bias", "encoder.layers.1.norm2.bais"));
    model("misshapen", &config.replace("\"d_ff\": 512", "\"d_ff\": 256"), &weights);
    model("fewer", &config.replace("\"decoder_layers\": 3", "\"decoder_layers\": 2"), &weights);
    model("cut", &config, &weights[..weights.len() / 2]);
    std::fs::write(at.join("cut.onnx"), &std::fs::read(at.join("encoder.onnx")).expect("read")[..9000])
        .expect("written");
    std::fs::write(at.join("empty.onnx"), "").expect("written");
    for folder in ["fresh", "unsupported"] {
        std::fs::create_dir(at.join(folder)).expect("a folder");
    }
    std::fs::write(at.join("unsupported/config.json"), "{\"model_type\": \"lama\"}").expect("written");
    let before = names(at);
    for (name, arguments, code) in [
        ("no_such_preset", vec!["build", "transformer-huge", "-o", "out.onnx"], 2),
        ("unknown_option", vec!["build", "option", "-o", "out.onnx"], 1),
        ("heads_do_not_divide", vec!["build", "heads", "-o", "out.onnx"], 1),
        ("unsupported_without_weights", vec!["build", "unsupported", "-o", "out.onnx"], 1),
        ("huge_number", vec!["build", "huge", "-o", "out.onnx"], 1),
        ("renamed_weight", vec!["build", "renamed", "-o", "out.onnx"], 1),
        ("misshapen_weights", vec!["build", "misshapen", "-o", "out.onnx", "--part", "encoder"], 1),
        ("unused_weights", vec!["build", "fewer", "-o", "out.onnx"], 1),
        ("cut_weights", vec!["build", "cut", "-o", "out.onnx"], 1),
        ("bad_opset", vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--opset", "99"], 2),
        ("bad_target", vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--target", "cuda"], 2),
        ("bad_pass", vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--passes", "fuse-everything"], 2),
        ("no_such_file", vec!["inspect", "missing.onnx"], 2),
        ("a_folder", vec!["inspect", "option"], 2),
        ("cut_model", vec!["check", "cut.onnx"], 1),
        ("empty_model", vec!["check", "empty.onnx"], 1),
        ("no_such_output", vec!["optimize", "encoder.onnx", "-o", "missing/out.onnx"], 2),
        ("output_is_a_folder", vec!["upgrade", "encoder.onnx", "-o", "option", "--opset", "21"], 2),
        // Neither model is read.
        ("build_into_no_folder", vec!["build", "huge", "-o", "missing/out.onnx"], 2),
        ("report_into_no_folder", vec!["optimize", "cut.onnx", "-o", "out.onnx", "--report", "missing/a.html"], 2),
        ("verify_in_place", vec!["optimize", "encoder.onnx", "-o", "encoder.onnx", "--verify"], 2),
        (
            "reproduce_among_files",
            vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--verify", "--reproduce", "option"],
            2,
        ),
        ("reproduce_unverified", vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--reproduce", "new"], 2),
        (
            "reproduce_and_output",
            vec!["optimize", "encoder.onnx", "-o", "fresh/before.onnx", "--verify", "--reproduce", "fresh"],
            2,
        ),
        ("seed_of_a_folder", vec!["build", "heads", "-o", "out.onnx", "--seed", "7"], 2),
        ("none_and_more", vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--passes", "none,canonicalize"], 2),
        ("symbol_twice", vec!["verify", "encoder.onnx", "--dim", "batch=2", "--dim", "batch=3"], 2),
        ("bad_tolerance", vec!["verify", "encoder.onnx", "--tolerance", "nan"], 2),
        ("bad_opset_folder", vec!["build", "option", "-o", "out", "--opset", "29"], 2),
        (
            "block_size_of_dynamic_scheme",
            vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--quantize", "int8-dynamic", "--block-size", "32"],
            2,
        ),
        (
            "zero_points_of_dynamic_scheme",
            vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--quantize", "uint8-dynamic", "--asymmetric"],
            2,
        ),
        (
            "reduced_range_of_blocks",
            vec!["optimize", "encoder.onnx", "-o", "out.onnx", "--quantize", "int4", "--reduce-range"],
            2,
        ),
        ("unknown_symbol", vec!["verify", "encoder.onnx", "--dim", "sequence=3"], 2),
    ] {
        check(at, name, &arguments, code);
        assert_eq!(names(at), before, "{name} left a file");
    }
}

/// A model of small weights: quantizing it warns that none was quantized, and why; it is what `optimize` writes without.
#[test]
fn nothing_is_quantized() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/models/llama_past.legacy.onnx");
    let output = netwright(folder.path(), &["optimize", model, "-o", "out.onnx", "--quantize", "int4"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let warning = "llama_past.legacy.onnx: no weight was quantized: 16 skipped (fewer than 4,096 elements); \
                   --quantize-tensor 'REGEX=int4' ";
    assert!(stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(warning)), "{stderr}");
    assert!(netwright(folder.path(), &["optimize", model, "-o", "plain.onnx"]).status.success());
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it is written");
    assert_eq!(read("out.onnx"), read("plain.onnx"));
}

/// Code that is published with a model may compute something else than its model type: it is named, not read.
#[test]
fn code_of_a_model_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = in_repository("tests/families/qwen2");
    let config = std::fs::read_to_string(source.join("config.json")).expect("the configuration");
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).expect("copied");
    for (map, warned) in [
        (r#"{"AutoConfig": "configuration_qwen.Qwen2Config"}"#, None),
        (
            r#"{"AutoModel": "modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}"#,
            Some("not read: modeling_qwen.Qwen2Model, modeling_qwen.Qwen2ForCausalLM; "),
        ),
    ] {
        let config = config.replacen('{', &format!("{{\"auto_map\": {map},"), 1);
        std::fs::write(folder.path().join("config.json"), config).expect("written");
        for arguments in [&["build", ".", "-o", "out.onnx"][..], &["families", "--for", "config.json"]] {
            let output = netwright(folder.path(), arguments);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stderr}");
            let own = stderr.lines().find(|line| line.starts_with("warning: code that is published with the model "));
            assert_eq!(own.is_some(), warned.is_some(), "{stderr}");
            assert!(warned.is_none_or(|warned| stderr.contains(warned)), "{stderr}");
        }
    }
}

/// Returns a folder of a model with these bytes in a weight of the encoder.
fn with_changed_weight(byte: u8) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    std::fs::copy(dates().join("config.json"), folder.path().join("config.json")).expect("copied");
    let mut weights = std::fs::read(dates().join("model.safetensors")).expect("the weights are there");
    let end = weights.len();
    weights[end - 350_000..end - 349_000].fill(byte);
    std::fs::write(folder.path().join("model.safetensors"), weights).expect("written");
    folder
}

/// Runs a command that succeeds, and returns what it prints.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let done = netwright(folder, arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A weight that f16 does not hold is found while it is written, and stays in f32.
#[test]
fn a_weight_out_of_range_is_not_converted() {
    let folder = with_changed_weight(0x7f);
    let run = |arguments: &[&str]| printed(folder.path(), arguments);
    run(&["-q", "build", ".", "-o", "encoder.onnx", "--part", "encoder", "--no-optimize"]);
    let text = run(&["optimize", "encoder.onnx", "-o", "small.onnx", "--dtype", "f16", "--explain"]);
    let declined = "linear2.weight has a number of magnitude 3.3961513649220713e38, outside the range of f16";
    assert_eq!(text.matches(declined).count(), 1, "{text}");
    let written = run(&["inspect", "small.onnx", "--text"]);
    let kept = |line: &&str| line.contains(".linear2.weight = ") && line.ends_with(": f32[512, 128]");
    assert_eq!(written.lines().filter(kept).count(), 1, "{written}");
    // A model that is declared in f16 has no such weight.
    let refused = netwright(folder.path(), &["build", ".", "-o", "half.onnx", "--part", "encoder", "--dtype", "f16"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("an element is infinite in its type\n  help: a weight has a number outside"), "{stderr}");
    assert!(!folder.path().join("half.onnx").exists());
}

/// A weight with NaN is found while it is written, and stays in floats.
#[test]
fn a_weight_with_nan_is_not_quantized() {
    let folder = with_changed_weight(0xff);
    let run = |arguments: &[&str]| printed(folder.path(), arguments);
    let quantize = ["--target", "ort", "--quantize", "int4"];
    let built = run(&[&["build", ".", "-o", "built.onnx", "--part", "encoder"], &quantize[..]].concat());
    run(&["-q", "build", ".", "-o", "encoder.onnx", "--part", "encoder", "--no-optimize"]);
    let optimize = |output: &[&str]| run(&[&["optimize", "encoder.onnx", "--explain"], output, &quantize].concat());
    let written = optimize(&["-o", "small.onnx"]);
    let declined = "the weight stays in floats: quantize does not apply to ";
    for (text, is_explained) in [(built, false), (written, true), (optimize(&[]), true)] {
        assert!(text.contains("quantized weights: 12 int4; "), "{text}");
        assert_eq!(text.matches(declined).count(), usize::from(is_explained), "{text}");
    }
    let read = |file| std::fs::read(folder.path().join(file)).expect("it is written");
    assert_eq!(read("built.onnx").len(), read("small.onnx").len());
}

/// The line of an attention gives the reason of the pass that stands in its way.
#[test]
fn a_reason_is_that_of_the_first_obstacle() {
    let folder = TempDir::new().expect("a folder");
    let model = common::in_repository("tests/interop/models/deberta_v2.dynamo.onnx");
    let text = printed(folder.path(), &["optimize", model.to_str().expect("UTF-8"), "--explain", "--target", "ort"]);
    let attention = text.lines().find(|line| line.starts_with("attention ")).expect("there is one");
    assert!(
        attention.ends_with("split-merged-heads declines because %gather may not treat each head independently"),
        "{text}"
    );
}

/// Weights in few bits that pass the verification, or do not, are followed by the flags that give them more.
#[test]
fn a_finer_quantization_is_advised() {
    let folder = TempDir::new().expect("a folder");
    let model = common::in_repository("tests/interop/models/t5_decoder.legacy.onnx");
    let quantize = |flags: &[&str]| {
        let call = ["optimize", model.to_str().expect("UTF-8"), "-o", "out.onnx", "--verify", "--no-bisect"];
        netwright(folder.path(), &[&call[..], &["--runtime", "tract", "--quantize-tensor"], flags].concat())
    };
    let tensors = "`--quantize-tensor 'REGEX=int8'` for the weights that `--explain` lists first";
    for (flags, advised) in [
        (&[".=int4", "--target", "tract"][..], Some(format!("`--asymmetric`, or {tensors}"))),
        (&[".=int4", "--target", "tract", "--min-cosine", "0.9999", "--asymmetric"], Some(tensors.to_owned())),
        (
            &[".=int4", "--target", "ort", "--min-cosine", "0.9999"],
            Some(format!("`--asymmetric`, `--block-size 16`, or {tensors}")),
        ),
        (
            &[".=int4", "--target", "ort", "--block-size", "16", "--min-cosine", "0.9999"],
            Some(format!("`--asymmetric`, or {tensors}")),
        ),
        (&[".=int8", "--target", "tract", "--min-cosine", "0.999999999"], Some("`--asymmetric`".to_owned())),
        (&[".=int8", "--target", "tract", "--min-cosine", "0.999999999", "--asymmetric"], None),
    ] {
        let run = quantize(flags);
        let text = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        let advice = text.split_once("for a smaller error, try ").and_then(|(_, advice)| advice.lines().next());
        assert_eq!(advice, advised.as_deref(), "{flags:?}: {text}");
    }
}

/// Two models that differ: exit code 1, the first output that differs, and the operator that causes it.
#[test]
fn different_models_are_reported() {
    let folder = with_encoder();
    let changed = TempDir::new().expect("a folder");
    std::fs::copy(dates().join("config.json"), changed.path().join("config.json")).expect("copied");
    let mut weights = std::fs::read(dates().join("model.safetensors")).expect("the weights are there");
    // These bytes belong to tensors of the encoder.
    let end = weights.len();
    weights[end - 400_000..end - 300_000].fill(0);
    std::fs::write(changed.path().join("model.safetensors"), weights).expect("written");
    let source = changed.path().to_str().expect("UTF-8");
    let arguments = ["-q", "build", source, "-o", "changed.onnx", "--part", "encoder", "--no-optimize"];
    let output = netwright(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(folder.path(), "verify_differs", &["verify", "encoder.onnx", "changed.onnx"], 1);
}

/// The reader of the output may close it.
#[test]
fn a_broken_pipe_is_not_an_error() {
    let folder = with_encoder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(["inspect", "encoder.onnx", "--text"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netwright runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A node is found by its name or that of a result, in the graph, in a body or in a function.
#[test]
fn a_node_is_shown_with_its_neighbors() {
    let text = "main(%cond: bool[], %x: f32[n, 4]) {
  %w = parameter fill(0.5) : f32[4, 4]
  %product = matmul @\"prod\" %x, %w : f32[n, 4]
  %y = if %cond {else_branch = graph else(; %b: f32[n, 4] = %product) {
    %minus = neg %b : f32[n, 4]
    return y = %minus
  }, then_branch = graph then(; %b: f32[n, 4] = %product) {
    return y = %b
  }} : f32[n, 4]
  return %y, %product
}";
    let mut graph = parse(text).expect("it parses");
    let first = graph.schedule().into_iter().find(|id| graph.node(*id).label() == "prod").expect("a node");
    let doc = "The first product.".to_owned();
    let metadata = [("stack_trace".to_owned(), "File \"a.py\", line 1\n    x @ w".to_owned())].into();
    graph.set_node_notes(first, Notes { doc, metadata, ..Notes::default() });
    let mut model = Model::new(graph);
    model.opsets.insert(String::new(), 20);
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    onnx::write(&model, at.join("m.onnx"), &WriteOptions::default()).expect("it is written");
    for (name, arguments, code) in [
        ("inspect_node_of_a_name", &["prod"][..], 0),
        ("inspect_node_of_a_body", &["%y"], 0),
        ("inspect_node_of_a_weight", &["w", "--dim", "n=2", "--json"], 0),
        ("inspect_node_missing", &["prodcut"], 2),
        ("inspect_node_of_an_operator", &["matmul"], 2),
        ("inspect_node_without_a_name", &[""], 2),
        ("inspect_node_of_a_sign", &["%"], 2),
    ] {
        check(at, name, &[&["inspect", "m.onnx", "--node"], arguments].concat(), code);
    }
}

/// With `--verify`, a cache is judged by steps that use it.
#[test]
fn an_added_cache_is_verified() {
    let folder = TempDir::new().expect("a folder");
    let export = in_repository("tests/interop/models/gpt2.legacy.onnx");
    let export = export.to_str().expect("UTF-8");
    let output = netwright(folder.path(), &["optimize", export, "-o", "cached.onnx", "--add-kv-cache", "--verify"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("equal in tract within 1e-4"), "{text}");
    assert!(text.contains("prompt_length") && folder.path().join("cached.onnx").exists(), "{text}");
}

/// The types of a cache that is added can be requested, as the message about a shared one advises.
#[test]
fn types_of_an_added_cache_are_requested() {
    let folder = TempDir::new().expect("a folder");
    let export = in_repository("tests/interop/models/gpt2.legacy.onnx");
    let shared = ["optimize", export.to_str().expect("UTF-8"), "-o", "shared.onnx", "--add-kv-cache"];
    let shared = [&shared[..], &["--target", "ort", "--dtype", "f16", "--kv-cache", "shared"]].concat();
    let with = |flags: &[&str]| netwright(folder.path(), &[&shared[..], flags].concat());
    let advice = String::from_utf8_lossy(&with(&[]).stderr).into_owned();
    assert!(advice.contains("--io-dtype 'past|present=f16'"), "{advice}");
    let advised = with(&["--io-dtype", "past|present=f16"]);
    assert!(advised.status.success(), "{}", String::from_utf8_lossy(&advised.stderr));
    assert!(folder.path().join("shared.onnx").exists());
    let unknown = with(&["--io-dtype", "cache=f16"]);
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert!(error.contains("NW0510") && error.contains("past_key_values.0.key"), "{error}");
}
