//! Models built from GGUF files (`tests/gguf`, which `tests/interop/make_gguf.py` makes with the package of llama.cpp).

mod common;

use common::snapshot;
use netwright::ir::tensor::GgmlFormat;
use netwright::ir::{ElementType, Graph, Op, Value};
use netwright::nn::{DerivedFile, Part, Pretrained, PretrainedOptions, Weights};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn built(path: &Path, options: &PretrainedOptions) -> Graph {
    let model = Pretrained::open(path, options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    model.build(Part::Whole, false).expect("a decoder is one graph")
}

/// The lines of a graph without the elements of parameters, and these.
fn apart(graph: &Graph) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let mut parameters = BTreeMap::new();
    for node in graph.schedule() {
        if let Op::Parameter(tensor) = graph.node(node).op() {
            let name = graph.value_name(Value { node, result: 0 }).to_string();
            parameters.insert(name, tensor.to_bytes().expect("it is read").to_vec());
        }
    }
    let text = graph.to_string();
    let line = |line: &str| if line.contains(" = parameter ") { None } else { Some(line.to_owned()) };
    (text.lines().filter_map(line).collect(), parameters)
}

/// The files have the weights of folders in `tests/families`: both must give the same graphs, to the bit. What a file
/// cannot say is left out of the folders.
#[test]
fn families_equal_their_folders() {
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("llama", &[]),
        ("mistral", &[]),
        ("smollm", &[]),
        (
            "qwen2",
            &[
                (r#""use_sliding_window": true"#, r#""use_sliding_window": false"#),
                ("sliding_attention", "full_attention"),
            ],
        ),
        ("qwen3", &[]),
        ("phi3", &[]),
        ("gemma2", &[(r#""query_pre_attn_scalar": 6"#, r#""query_pre_attn_scalar": 8"#)]),
    ];
    for (name, edits) in cases {
        let folder = TempDir::new().expect("a folder");
        let source = root().join("families").join(name);
        let mut text = fs::read_to_string(source.join("config.json")).expect("a configuration");
        for (from, to) in edits {
            assert!(text.contains(from), "{name}");
            text = text.replace(from, to);
        }
        fs::write(folder.path().join("config.json"), text).expect("written");
        fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).expect("copied");
        let options = PretrainedOptions::default().with_past(true).with_dtype(match name {
            "llama" => ElementType::F32,
            "smollm" => ElementType::BF16,
            _ => ElementType::F16,
        });
        let (lines, parameters) = apart(&built(&root().join("gguf").join(format!("{name}.gguf")), &options));
        let (expected_lines, expected_parameters) = apart(&built(folder.path(), &options));
        assert_eq!(lines, expected_lines, "{name}");
        for (parameter, bytes) in &expected_parameters {
            assert!(parameters.get(parameter) == Some(bytes), "{name}: {parameter} differs");
        }
        assert_eq!(parameters.len(), expected_parameters.len(), "{name}");
    }
}

#[test]
fn blocks_decode_as_in_llama_cpp() {
    let Weights::Trained(tensors) = Weights::open(root().join("gguf/blocks.safetensors")).expect("it opens") else {
        panic!("they are trained");
    };
    for format in GgmlFormat::ALL {
        let part = |part: &str| &tensors[&format!("{}.{part}", format.name())];
        let found = part("raw").from_ggml(format).expect("whole blocks");
        assert_eq!(found.quantization().is_some(), format.has_codes());
        let (found, expected) = (found.to_bytes().expect("read"), part("floats").to_bytes().expect("read"));
        assert!(found == expected, "{} differs", format.name());
        let tensor = part("raw").from_ggml(format).expect("whole blocks");
        for block in [4, 44, 1028] {
            let mut out = vec![0; found.len()];
            for (at, piece) in out.chunks_mut(block).enumerate() {
                tensor.read((at * block / 4) as u64, piece).expect("read");
            }
            assert!(out == expected, "{} by {block}", format.name());
        }
    }
}

#[test]
fn codes_are_kept() {
    let file = root().join("gguf/quantized.gguf");
    let graph = built(&file, &PretrainedOptions::default());
    let of_weights: Vec<String> =
        graph.to_string().lines().filter(|line| line.contains("weight")).map(relative).collect();
    snapshot("nn", "gguf_quantized", &of_weights.join("\n"));
    let floats = PretrainedOptions::default().with_dequantize(true);
    let (found, expected) = (apart(&built(&file, &floats)), apart(&built(&root().join("gguf/quantized"), &floats)));
    assert_eq!(found.0, expected.0);
    assert!(found.1 == expected.1, "floats differ from those that llama.cpp decodes");
}

#[test]
fn the_configuration_and_the_tokenizer_are_derived() {
    let file = root().join("gguf/quantized.gguf");
    let model = Pretrained::open(&file, &PretrainedOptions::default()).expect("it opens");
    let line = |file: &DerivedFile| match &file.text {
        Ok(text) => format!("{}:\n{text}\n", file.name),
        Err(why) => format!("{}: {why}\n", file.name),
    };
    let without = Pretrained::open(root().join("gguf/llama.gguf"), &PretrainedOptions::default()).expect("it opens");
    let files = model.files.iter().chain(&without.files[1..]);
    snapshot("nn", "gguf_files", &files.map(line).collect::<String>());
    assert_eq!(model.stored.as_deref(), Some("8 weights in Q4_0, Q8_0 keep their codes"));
}

/// A line without the folder of the checkout.
fn relative(line: &str) -> String {
    line.replace(&*root().to_string_lossy(), "tests")
}

/// Replaces bytes of the file; the position is that of a text in it, plus an offset.
fn patched(after: &str, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = fs::read(root().join("gguf/quantized.gguf")).expect("it is read");
    let at = file.windows(after.len()).position(|window| window == after.as_bytes()).expect("it has the text");
    let start = at + after.len() + offset;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    file
}

fn refused(bytes: &[u8]) -> String {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).expect("written");
    let error = Pretrained::open(&path, &PretrainedOptions::default()).err().expect("it is refused");
    error.to_string().replace(&*folder.path().to_string_lossy(), "")
}

#[test]
fn damaged_files_are_refused() {
    let most = u64::MAX.to_le_bytes();
    let cases = [
        ("not a model", patched("GGUF", 0, b"")[1..].to_vec()),
        ("version 1", patched("GGUF", 0, &[1])),
        ("version 9", patched("GGUF", 0, &[9])),
        ("big-endian", patched("GGUF", 0, &[0, 0, 0, 3])),
        ("number of tensors", patched("GGUF", 4, &most)),
        ("number of metadata", patched("GGUF", 12, &most)),
        ("length of a key", patched("GGUF", 20, &most)),
        ("type of a value", patched("general.architecture", 0, &[99])),
        ("length of a text", patched("general.architecture", 4, &most)),
        ("unknown architecture", patched("general.architecture", 12, b"lemon")),
        ("length of an array of texts", patched("tokenizer.ggml.tokens", 8, &most)),
        ("length of an array of numbers", patched("tokenizer.ggml.token_type", 8, &most)),
        ("type of an array", patched("tokenizer.ggml.token_type", 4, &[9])),
        ("number of axes", patched("token_embd.weight", 0, &[200])),
        ("size of an axis", patched("token_embd.weight", 4, &most)),
        ("sizes that overflow", patched("token_embd.weight", 4, &[[0, 0, 0, 0, 0, 0, 0, 0x40]; 2].concat())),
        ("rows that are not blocks", patched("token_embd.weight", 4, &[31])),
        ("overlapping tensors", patched("token_embd.weight", 12, &[200])),
        ("unknown type", patched("token_embd.weight", 20, &[99])),
        ("unsupported type", patched("token_embd.weight", 20, &[10])),
        ("misaligned tensor", patched("blk.0.attn_q.weight", 24, &[1])),
        ("tensor beyond the end", patched("blk.0.attn_q.weight", 24, &[0, 0, 0, 0, 0, 0, 0, 0x40])),
        ("two tensors at one place", patched("blk.0.attn_q.weight", 24, &[0, 0])),
        ("unknown tensor", patched("blk.0.attn_", 0, b"x")),
        ("heads that are not a number", patched("llama.attention.head_count", 0, &[6])),
        ("number of heads", patched("llama.attention.head_count", 4, &[0])),
        ("unknown option", patched("llama.vocab_siz", 0, b"X")),
    ];
    let lines = cases.map(|(name, bytes)| format!("{name}:\n  {}", refused(&bytes).replace('\n', "\n  ")));
    snapshot("errors", "damaged_gguf", &lines.join("\n"));
}

#[test]
fn every_shorter_file_is_refused() {
    let file = fs::read(root().join("gguf/quantized.gguf")).expect("it is read");
    for length in (0..file.len()).step_by(13).chain([file.len() - 1]) {
        refused(&file[..length]);
    }
}

#[test]
fn a_folder_has_one_file() {
    let folder = TempDir::new().expect("a folder");
    let open = || Pretrained::open(folder.path(), &PretrainedOptions::default()).map(|model| model.parts().len());
    let copy = |name: &str| fs::copy(root().join("gguf/quantized.gguf"), folder.path().join(name)).expect("copied");
    copy("a.gguf");
    assert_eq!(open().expect("it has one file"), 1);
    copy("b.GGUF");
    let error = open().expect_err("it has two").to_string();
    assert!(error.contains("it has 2 GGUF files") && error.contains("a.gguf"), "{error}");
    let text = folder.path().join("notes.txt");
    fs::write(&text, "").expect("written");
    let error = Pretrained::open(&text, &PretrainedOptions::default()).err().expect("it is a text").to_string();
    assert!(error.contains("not a .gguf file"), "{error}");
}

/// Formats whose codes cannot be kept are decoded only on request.
#[test]
fn other_formats_are_decoded_on_request() {
    // The bytes of Q8_0 blocks with the type of Q4_1, whose blocks are shorter.
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, patched("blk.0.ffn_down.weight", 20, &[3])).expect("written");
    let open = |dequantize| {
        Pretrained::open(&path, &PretrainedOptions::default().with_dequantize(dequantize))
            .map(|model| model.parts().len())
    };
    let error = open(false).expect_err("Q4_1 cannot be kept").to_string();
    assert!(error.contains("it has weights in Q4_1") && error.contains("--dequantize"), "{error}");
    assert_eq!(open(true).expect("it is decoded"), 1);
}
