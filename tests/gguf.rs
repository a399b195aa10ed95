//! Models built from GGUF files (`tests/gguf`, which `tests/interop/make_gguf.py` makes with the package of llama.cpp).

mod common;

use common::{apart, built, snapshot};
use netwright::ir::ElementType;
use netwright::ir::tensor::GgmlFormat;
use netwright::nn::{DerivedFile, Pretrained, PretrainedOptions, Weights};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
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

/// Opens the bytes of a file, and calls `then` with the model.
fn opened<T>(bytes: &[u8], then: impl FnOnce(Pretrained) -> T) -> Result<T, String> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).expect("written");
    let model = Pretrained::open(&path, &PretrainedOptions::default());
    model.map(then).map_err(|error| error.to_string().replace(&*folder.path().to_string_lossy(), ""))
}

fn refused(bytes: &[u8]) -> String {
    opened(bytes, |_| ()).expect_err("it is refused")
}

/// Adds metadata to the file: keys, types and values.
fn extended(pairs: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = fs::read(root().join("gguf/quantized.gguf")).expect("it is read");
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let pair = |(key, ty, value): &(&str, u32, Vec<u8>)| [text(key), ty.to_le_bytes().to_vec(), value.clone()].concat();
    let mut added: Vec<u8> = pairs.iter().flat_map(pair).collect();
    // The data stay aligned.
    let filler = added.len() + text("filler").len() + 4 + 8;
    added.extend(pair(&("filler", 8, text(&" ".repeat(filler.next_multiple_of(32) - filler)))));
    let count = u64::from_le_bytes(file[16..24].try_into().expect("8 bytes"));
    file[16..24].copy_from_slice(&(count + 1 + pairs.len() as u64).to_le_bytes());
    file.splice(24..24, added);
    file
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
        ("version 0", patched("GGUF", 0, &[0])),
        ("a float that is not a number", extended(&[("llama.x", 6, f32::NAN.to_le_bytes().into())])),
        ("an infinite float", extended(&[("llama.x", 12, f64::INFINITY.to_le_bytes().into())])),
        ("a long array", extended(&[("llama.x", 9, bytes(1001))])),
        (
            "a factor of attention alone",
            extended(&[("llama.rope.scaling.attn_factor", 6, 1.5_f32.to_le_bytes().into())]),
        ),
    ];
    let lines = cases.map(|(name, bytes)| format!("{name}:\n  {}", refused(&bytes).replace('\n', "\n  ")));
    snapshot("errors", "damaged_gguf", &lines.join("\n"));
}

/// An array of bytes as a value of metadata.
fn bytes(len: u64) -> Vec<u8> {
    let mut value = [&0_u32.to_le_bytes()[..], &len.to_le_bytes()].concat();
    value.resize(value.len() + usize::try_from(len).expect("a short array"), 1);
    value
}

#[test]
fn options_are_those_of_llama_cpp() {
    let configuration = |pairs: &[(&str, u32, Vec<u8>)]| -> serde_json::Value {
        let text = opened(&extended(pairs), |model| model.files[0].text.clone().expect("a configuration"));
        serde_json::from_str(&text.expect("it opens")).expect("JSON")
    };
    let window = configuration(&[("llama.attention.sliding_window", 4, vec![0; 4])]);
    assert_eq!(window["model_type"], "llama", "a window of 0 is none");
    let scaled = configuration(&[("llama.rope.scaling.factor", 6, 4_f32.to_le_bytes().into())]);
    assert_eq!(scaled["rope_scaling"], serde_json::json!({"rope_type": "linear", "factor": 4.0}));
}

#[test]
fn tokenizers_that_cannot_be_written_are_not() {
    let id = |id: u32| id.to_le_bytes().to_vec();
    let cases = [
        ("a token at the end", extended(&[("tokenizer.ggml.add_eos_token", 7, vec![1])])),
        ("no first token", extended(&[("tokenizer.ggml.add_bos_token", 7, vec![1])])),
        (
            "a first token that is not one",
            extended(&[("tokenizer.ggml.add_bos_token", 7, vec![1]), ("tokenizer.ggml.bos_token_id", 4, id(24))]),
        ),
        ("fewer types than tokens", {
            let mut file = extended(&[("tokenizer.ggml.token_type", 9, bytes(23))]);
            rename(&mut file, "tokenizer.ggml.token_type");
            file
        }),
        ("too many types", {
            let mut file = extended(&[("tokenizer.ggml.token_type", 9, bytes((1 << 22) + 1))]);
            rename(&mut file, "tokenizer.ggml.token_type");
            file
        }),
    ];
    let why = |file: &[u8]| {
        let tokenizer = opened(file, |model| model.files[1].text.clone()).expect("it opens");
        tokenizer.expect_err("it is not written").replace('\n', "\n  ")
    };
    let lines = cases.map(|(name, file)| format!("{name}:\n  {}", why(&file)));
    snapshot("errors", "tokenizers_of_gguf", &lines.join("\n"));
}

/// Renames the last metadata with a key, so that those that were added before it count.
fn rename(file: &mut [u8], key: &str) {
    let at = file.windows(key.len()).rposition(|window| window == key.as_bytes()).expect("it has the key");
    file[at] = b'x';
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
