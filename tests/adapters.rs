//! Adapters of PEFT (`tests/adapters`, which `tests/interop/make_adapters.py` makes), merged into folders of
//! `tests/families`.

mod common;

use common::folders::{TOLERANCE, cases, difference, root, run, session};
use common::{apart, built, floats, snapshot, tensors};
use netwright::ir::ElementType;
use netwright::nn::{Part, Pretrained, PretrainedOptions, Task};
use netwright::passes::Target;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The adapters, each with its base.
const ADAPTERS: [(&str, &str); 3] = [("llama", "llama"), ("gpt2", "gpt2"), ("bert", "bert")];

fn adapter(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters").join(name)
}

fn with_adapter(folder: &Path) -> PretrainedOptions {
    PretrainedOptions::default().with_adapter(folder)
}

#[test]
fn merged_weights_equal_those_of_merge_and_unload() {
    for (name, base) in ADAPTERS {
        let mut options = PretrainedOptions::default();
        options.task = (name == "bert").then_some(Task::FeatureExtraction);
        let (_, mut plain) = apart(&built(&root().join(base), &options));
        let (_, mut found) = apart(&built(&root().join(base), &with_adapter(&adapter(name))));
        let merged = tensors(&adapter(name).join("merged.safetensors"));
        assert!(merged.len() >= 2, "{name}");
        for (weight, expected) in &merged {
            let found = found.remove(weight).unwrap_or_else(|| panic!("{name}: {weight} is missing"));
            let found: Vec<f32> = found.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
            assert_eq!(found.len(), floats(expected).len(), "{name}: {weight}");
            for (found, expected) in found.iter().zip(floats(expected)) {
                assert!((found - expected).abs() <= 1e-6, "{name}: {weight}: {found} is not {expected}");
            }
            plain.remove(weight);
        }
        // All others are those of the base.
        assert!(found == plain, "{name}");
    }
}

#[test]
fn adapted_models_equal_pytorch_in_tract() {
    for (name, base) in ADAPTERS {
        let model = Pretrained::open(root().join(base), &with_adapter(&adapter(name))).expect("it opens");
        for target in [None, Some(Target::TRACT)] {
            let session = session(&model, Part::Whole, target);
            for [inputs, expected] in cases(&adapter(name)) {
                assert!(expected.contains_key("logits"), "{name}");
                let difference = difference(&run(&session, &inputs), &expected, None, name);
                assert!(difference <= TOLERANCE, "{name} differs by {difference}");
            }
        }
    }
}

/// The element type of the file is that of the base; other types are rounded from the sums.
#[test]
fn sums_are_rounded_to_the_requested_type() {
    let open = |dtype| apart(&built(&root().join("llama"), &with_adapter(&adapter("llama")).with_dtype(dtype))).1;
    let (wide, narrow) = (open(ElementType::F32), open(ElementType::BF16));
    let weight = "model.layers.0.self_attn.q_proj.weight";
    let bits = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks::<2>().0.iter().map(|raw| f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16)).collect()
    };
    let wide = wide[weight].as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw));
    for (wide, narrow) in wide.zip(bits(&narrow[weight])) {
        assert!((wide - narrow).abs() <= wide.abs() / 256.0, "{wide} became {narrow}");
    }
}

/// Replaces a text in a file of the adapter, wherever it is.
type Edit<'e> = (&'e str, &'e str, &'e str);

fn edited(name: &str, edits: &[Edit<'_>]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for entry in fs::read_dir(adapter(name)).expect("the adapter is there") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().and_then(|file| file.to_str()).expect("UTF-8").to_owned();
        let mut bytes = fs::read(&path).expect("it is read");
        for (_, from, to) in edits.iter().filter(|(edited, _, _)| *edited == file) {
            let (from, to) = (from.as_bytes(), to.as_bytes());
            let mut at = 0;
            let mut count = 0;
            while let Some(next) = bytes[at..].windows(from.len()).position(|window| window == from) {
                bytes.splice(at + next..at + next + from.len(), to.iter().copied());
                at += next + to.len();
                count += 1;
            }
            assert!(count > 0, "{file} has no {}", from.escape_ascii());
        }
        if file == WEIGHTS {
            // The first eight bytes are the length of the header.
            let before = fs::metadata(&path).expect("it is there").len();
            let header = u64::from_le_bytes(std::array::from_fn(|at| bytes[at])) + bytes.len() as u64 - before;
            bytes[..8].copy_from_slice(&header.to_le_bytes());
        }
        fs::write(folder.path().join(file), bytes).expect("written");
    }
    folder
}

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const FIRST: &str = "layers.0.self_attn.q_proj";

/// Every refusal, as users read it.
#[test]
fn what_cannot_be_merged_is_refused_by_name() {
    let cases: [(&str, &str, &str, &[Edit<'_>]); 25] = [
        ("another type", "llama", "llama", &[(CONFIG, "\"LORA\"", "\"IA3\"")]),
        ("DoRA", "llama", "llama", &[(CONFIG, "\"use_dora\": false", "\"use_dora\": true")]),
        ("biases of factors", "llama", "llama", &[(CONFIG, "\"lora_bias\": false", "\"lora_bias\": true")]),
        (
            "tokens of a table",
            "llama",
            "llama",
            &[(CONFIG, "\"trainable_token_indices\": null", "\"trainable_token_indices\": [3]")],
        ),
        ("parameters", "llama", "llama", &[(CONFIG, "\"target_parameters\": null", "\"target_parameters\": [\"q\"]")]),
        ("an unknown option", "llama", "llama", &[(CONFIG, "\"use_qalora\": false", "\"use_news\": 1")]),
        (
            "a changed base",
            "llama",
            "llama",
            &[(CONFIG, "\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"")],
        ),
        ("another treatment of biases", "llama", "llama", &[(CONFIG, "\"bias\": \"none\"", "\"bias\": \"some\"")]),
        ("a regular expression", "llama", "llama", &[(CONFIG, "layers.1.self_attn.q_proj", "layers.[0-9].*")]),
        ("two numbers", "llama", "llama", &[(CONFIG, "\"rank_pattern\": {", "\"rank_pattern\": {\"q_proj\": 2,")]),
        ("another rank", "llama", "llama", &[(CONFIG, "\"r\": 2", "\"r\": 4")]),
        ("a module that is not selected", "llama", "llama", &[(CONFIG, "\"q_proj\"", "\"v_proj\"")]),
        (
            "a module that is left out",
            "llama",
            "llama",
            &[(CONFIG, "\"exclude_modules\": null", "\"exclude_modules\": [\"q_proj\"]")],
        ),
        (
            "a layer that is left out",
            "llama",
            "llama",
            &[(CONFIG, "\"layers_to_transform\": null", "\"layers_to_transform\": [0]")],
        ),
        (
            "a magnitude",
            "llama",
            "llama",
            &[(WEIGHTS, "0.self_attn.q_proj.lora_A.weight", "0.self_attn.q_proj.lora_magnitude")],
        ),
        ("one factor", "llama", "llama", &[(WEIGHTS, "0.self_attn.q_proj.lora_A", "7.self_attn.q_proj.lora_A")]),
        ("one layer more", "llama", "llama", &[(WEIGHTS, FIRST, "layers.9.self_attn.q_proj")]),
        ("not a matrix", "llama", "llama", &[(WEIGHTS, "[2,16]", "[32]  ")]),
        (
            "another tensor",
            "llama",
            "llama",
            &[(WEIGHTS, "self_attn.q_proj.lora_A.weight", "self_attn.q_proj.lora.weights")],
        ),
        ("the layout of GPT-2", "llama", "llama", &[(CONFIG, "\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true")]),
        ("another shape", "llama", "qwen2", &[]),
        ("another base", "gpt2", "llama", &[(CONFIG, "\"fan_in_fan_out\": true", "\"fan_in_fan_out\": false")]),
        ("other labels", "bert", "bert_sequence", &[]),
        ("a tied table", "bert", "bert_mlm", &[(CONFIG, "\"SEQ_CLS\"", "null")]),
        (
            "a tied output layer",
            "llama",
            "smollm",
            &[
                (WEIGHTS, "model.layers.0.self_attn.q_proj", "lm_head"),
                (CONFIG, "\"q_proj\"", "\"q_proj\", \"lm_head\""),
            ],
        ),
    ];
    let mut told = String::new();
    for (what, name, base, edits) in cases {
        let folder = edited(name, edits);
        let result = Pretrained::open(root().join(base), &with_adapter(folder.path()));
        let text = result.map_or_else(|error| error.to_string(), |_| "it opens".to_owned());
        let text = text
            .replace(&folder.path().display().to_string(), "ADAPTER")
            .replace(&root().display().to_string(), "FAMILIES");
        writeln!(told, "{what}\n  {}\n", text.replace('\n', "\n  ")).expect("text grows");
    }
    snapshot("families", "adapters", &told);
}

#[test]
fn a_folder_that_is_not_an_adapter_is_refused() {
    let open = |folder: &Path| {
        let error = Pretrained::open(root().join("llama"), &with_adapter(folder)).err().expect("an error");
        error.to_string().replace(&folder.display().to_string(), "ADAPTER")
    };
    assert!(open(&root().join("llama")).starts_with("ADAPTER/adapter_config.json: it does not exist"));
    let folder = edited("llama", &[]);
    fs::remove_file(folder.path().join(WEIGHTS)).expect("it was there");
    assert!(open(folder.path()).starts_with("ADAPTER/adapter_model.safetensors: it does not exist"));
}

/// transformers adds an adapter that lies beside the model that it changes.
#[test]
fn an_adapter_beside_its_model_is_not_ignored() {
    let folder = edited("llama", &[]);
    for file in ["config.json", "model.safetensors"] {
        fs::copy(root().join("llama").join(file), folder.path().join(file)).expect("it is copied");
    }
    let error = Pretrained::open(folder.path(), &PretrainedOptions::default()).err().expect("an error").to_string();
    assert!(error.contains("adapter_config.json: transformers adds this adapter"), "{error}");
    let merged = |folder: &Path, adapter: &Path| apart(&built(folder, &with_adapter(adapter))).1;
    let apart = merged(&root().join("llama"), &adapter("llama"));
    let weight = "model.layers.0.self_attn.q_proj.weight";
    assert_eq!(merged(folder.path(), folder.path())[weight], apart[weight]);
}

/// Quantized weights are merged only if they become floats.
#[test]
fn a_quantized_base_must_be_dequantized() {
    let base = adapter("").with_file_name("quantized").join("gptq");
    let folder = edited("llama", &[(CONFIG, "\"layers.1.self_attn.q_proj\": 3", "")]);
    let shapes = r#"{"model.layers.0.self_attn.q_proj.lora_A.weight":{"dtype":"F32","shape":[2,32],"data_offsets":[0,256]},
        "model.layers.0.self_attn.q_proj.lora_B.weight":{"dtype":"F32","shape":[32,2],"data_offsets":[256,512]}}"#;
    // Each product is 2 * 0.5, and the scale 5 / 2.
    let values = [[1.0_f32; 64], [0.5; 64]].concat();
    let data: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    let bytes = [&(shapes.len() as u64).to_le_bytes()[..], shapes.as_bytes(), &data].concat();
    fs::write(folder.path().join(WEIGHTS), bytes).expect("written");
    let options = with_adapter(folder.path());
    let refused = Pretrained::open(&base, &options).err().expect("an error").to_string();
    assert!(refused.contains("which is quantized\n  help: pass --dequantize"), "{refused}");
    let weight = |options: PretrainedOptions| -> Vec<f32> {
        let bytes =
            apart(&built(&base, &options.with_dequantize(true))).1["model.layers.0.self_attn.q_proj.weight"].clone();
        bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
    };
    // The weights are f16, as their scales are.
    for (merged, plain) in weight(options).iter().zip(weight(PretrainedOptions::default())) {
        assert!((merged - plain - 2.5).abs() <= 2e-3, "{plain} became {merged}");
    }
}

/// Names that tools write: those of a module that is saved, beside the frozen one.
#[test]
fn the_frozen_copy_of_a_saved_module_is_left_out() {
    let merged = tensors(&adapter("bert").join("merged.safetensors"));
    let names: BTreeMap<&str, usize> =
        merged.iter().map(|(name, array)| (name.as_str(), floats(array).len())).collect();
    let saved = edited("bert", &[(WEIGHTS, "base_model.model.classifier.", "classifier.modules_to_save.")]);
    let (_, found) = apart(&built(&root().join("bert"), &with_adapter(saved.path())));
    assert_eq!(found["classifier.weight"].len(), 4 * names["classifier.weight"]);
    let frozen = edited("bert", &[(WEIGHTS, "base_model.model.classifier.", "classifier.original_module.")]);
    let error = Pretrained::open(root().join("bert"), &with_adapter(frozen.path())).err().expect("no classifier");
    assert!(error.to_string().contains("classifier.weight"), "{error}");
}
