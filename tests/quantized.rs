//! Models built from folders with quantized weights (`tests/quantized`, which `tests/interop/make_quantized.py` makes).

mod common;

use common::{apart, built, snapshot};
use netwright::ir::tensor::GgmlFormat;
use netwright::ir::{Dim, ElementType, Tensor, TensorType};
use netwright::nn::layers::Linear;
use netwright::nn::{Builder, Init, Pretrained, PretrainedOptions, Weights};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quantized").join(name)
}

/// Replaces bytes of a file of the folder once.
type Edit<'e> = (&'e str, &'e [u8], &'e [u8]);

fn edited(name: &str, edits: &[Edit<'_>]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        let mut bytes = fs::read(source(name).join(file)).expect("it is read");
        for (_, from, to) in edits.iter().filter(|(edited, _, _)| *edited == file) {
            let at = bytes.windows(from.len()).position(|window| window == *from);
            let at = at.unwrap_or_else(|| panic!("{file} has no {}", from.escape_ascii()));
            bytes.splice(at..at + from.len(), to.iter().copied());
        }
        fs::write(folder.path().join(file), bytes).expect("written");
    }
    folder
}

fn expect_floats(name: &str, folder: &Path) {
    let floats = PretrainedOptions::default().with_dequantize(true);
    let (found, expected) = (apart(&built(folder, &floats)), apart(&built(&source(name).join("floats"), &floats)));
    assert_eq!(found.0, expected.0, "{name}");
    assert!(found.1 == expected.1, "{name}: floats differ from those that NumPy computes");
}

#[test]
fn weights_equal_their_floats() {
    for (name, kept) in [
        ("gptq", "7 weights in GPTQ keep their codes"),
        ("gptq_v2", "7 weights in GPTQ keep their codes"),
        ("awq", "7 weights in AWQ keep their codes"),
        ("compressed_asymmetric", "7 weights in compressed-tensors keep their codes"),
        ("fp8_tiles", "7 weights in 8-bit floats are dequantized"),
    ] {
        expect_floats(name, &source(name));
        let model = Pretrained::open(source(name), &PretrainedOptions::default()).expect("it opens");
        assert_eq!(model.stored.as_deref(), Some(kept));
    }
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

#[test]
fn options_with_the_same_meaning_are_read() {
    let cases: [(&str, &[Edit<'_>]); 3] = [
        ("gptq_v2", &[(CONFIG, b"checkpoint_format", b"format")]),
        ("gptq", &[(CONFIG, b"\"bits\"", b"\"method\": \"gptq\", \"format\": \"gptq\", \"bits\"")]),
        (
            "fp8_tiles",
            &[
                (CONFIG, b"\"fp8\"", b"\"compressed-tensors\", \"format\": \"float-quantized\""),
                (CONFIG, b"\"weight_block_size\": [24, 20]", FLOAT_GROUP),
            ],
        ),
    ];
    for (name, edits) in cases {
        expect_floats(name, edited(name, edits).path());
    }
}

const FLOAT_GROUP: &[u8] =
    br#""config_groups": {"a": {"weights": {"type": "float", "num_bits": 8, "block_structure": [24, 20]}}}"#;

#[test]
fn invalid_folders_are_refused() {
    let [shape, another] = [[32_i64, 32], [32, 30]].map(|dims| dims.map(i64::to_le_bytes).concat());
    let cases: [(&str, &str, &[Edit<'_>]); 7] = [
        ("formats that differ", "gptq_v2", &[(CONFIG, b"\"bits\"", b"\"format\": \"gptq\", \"bits\"")]),
        ("an unknown format", "gptq", &[(CONFIG, b"\"bits\"", b"\"format\": \"marlin\", \"bits\"")]),
        (
            "groups that are not i32",
            "gptq",
            &[(WEIGHTS, b"q_proj.g_idx\": {\"dtype\": \"I32\"", b"q_proj.g_idx\": {\"dtype\": \"F32\"")],
        ),
        (
            "no zero points",
            "compressed_asymmetric",
            &[(WEIGHTS, b"q_proj.weight_zero_point", b"q_proj.weight_zero_poinX")],
        ),
        ("another shape", "compressed_asymmetric", &[(WEIGHTS, &shape, &another)]),
        ("a tile that is not whole", "fp8_tiles", &[(CONFIG, b"24, 20", b"24.5, 20")]),
        ("a tile of 0", "fp8_tiles", &[(CONFIG, b"24, 20", b"24, 0")]),
    ];
    let line = |(case, name, edits): (&str, &str, &[Edit<'_>])| {
        let folder = edited(name, edits);
        let error = Pretrained::open(folder.path(), &PretrainedOptions::default()).err().expect("it is refused");
        let error = error.to_string().replace(&*folder.path().to_string_lossy(), "");
        format!("{case}:\n  {}", error.replace('\n', "\n  "))
    };
    snapshot("errors", "quantized_folders", &cases.map(line).join("\n"));
}

#[test]
fn a_weight_has_one_layout() {
    let raw = Tensor::from_bytes(ElementType::U8, &[32, 34], vec![0; 32 * 34]).expect("a tensor");
    let quantized = raw.from_ggml(GgmlFormat::Q8_0).expect("whole blocks");
    let weights = Weights::Trained([("a.weight".to_owned(), quantized)].into());
    let builder = Builder::new("twice", &weights);
    let x = builder.input("x", TensorType::new(ElementType::F32, [2, 32].map(Dim::from).into_iter().collect()));
    let y = Linear::new("a", 32, 32, false).forward(x);
    builder.output("y", y.matmul(builder.parameter("a.weight", &[32, 32], Init::Xavier)));
    let error = builder.finish().expect_err("it is used twice").to_string();
    assert!(
        error.contains("the quantized parameter a.weight is used both as a matrix and as its transpose"),
        "{error}"
    );
}

/// Options of a quantized model whose weights are floats.
#[test]
fn floats_are_not_reported_as_quantized() {
    let folder = TempDir::new().expect("a folder");
    fs::copy(source("gptq").join(CONFIG), folder.path().join(CONFIG)).expect("copied");
    fs::copy(source("gptq/floats").join(WEIGHTS), folder.path().join(WEIGHTS)).expect("copied");
    let model = Pretrained::open(folder.path(), &PretrainedOptions::default()).expect("it opens");
    assert_eq!(model.stored, None);
}
