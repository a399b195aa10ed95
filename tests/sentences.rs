//! Folders of sentence-transformers: pooling and the layers after it, beside what the package computes
//! (`tests/interop/make_sentences.py`).

mod common;

use common::folders::{TOLERANCE, Values, cases, difference, root, run, session};
use common::tensors;
use netwright::nn::{OpenError, Part, Pretrained, PretrainedOptions, Task};
use netwright::verify::Array;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

/// The modes of pooling, with their flags and the modules that follow.
const FOLDERS: [(&str, &[&str], &[&str]); 10] = [
    ("cls", &["cls_token"], &[]),
    ("max", &["max_tokens"], &[]),
    ("mean", &["mean_tokens"], &[]),
    ("sqrt", &["mean_sqrt_len_tokens"], &[]),
    ("weighted", &["weightedmean_tokens"], &[]),
    ("last", &["lasttoken"], &[]),
    (
        "all",
        &["lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens", "mean_tokens", "max_tokens", "cls_token"],
        &[],
    ),
    ("dense", &["cls_token"], &["Dense", "Normalize"]),
    ("norm", &["lasttoken"], &["LayerNorm"]),
    ("two", &["mean_tokens", "weightedmean_tokens"], &["Plain", "Normalize"]),
];

/// Writes safetensors of floats.
fn write_weights(path: &Path, tensors: &[(&str, &Array)]) {
    let (mut header, mut data) = (serde_json::Map::new(), vec![]);
    for (name, array) in tensors {
        let start = data.len();
        data.extend(common::floats(array).iter().flat_map(|float| float.to_le_bytes()));
        let info = json!({"dtype": "F32", "shape": array.shape(), "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), info);
    }
    let header = serde_json::Value::from(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(path, bytes).expect("it is written");
}

/// Writes a folder of a model with a pooling and modules; the Transformer is in a folder of its own or not.
fn write(
    at: &Path,
    from: &str,
    transformer: &str,
    modes: &[&str],
    modules: &[&str],
    weights: &BTreeMap<String, Array>,
) {
    let write = |path: &Path, text: serde_json::Value| std::fs::write(path, text.to_string()).expect("it is written");
    std::fs::create_dir_all(at.join(transformer)).expect("it is created");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(root().join(from).join(file), at.join(transformer).join(file)).expect("it is copied");
    }
    let module = |path: &str, kind: &str| json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    let mut list = vec![module(transformer, "Transformer"), module("1_Pooling", "Pooling")];
    std::fs::create_dir(at.join("1_Pooling")).expect("it is created");
    let flags = modes.iter().map(|mode| (format!("pooling_mode_{mode}"), true.into()));
    write(&at.join("1_Pooling/config.json"), flags.collect::<serde_json::Map<_, _>>().into());
    for (index, kind) in modules.iter().enumerate() {
        let (place, torch) = (format!("{}_{kind}", index + 2), "torch.nn.modules");
        let (class, config, stored): (&str, _, &[(&str, &str)]) = match *kind {
            "Dense" => (
                kind,
                json!({"in_features": 16, "out_features": 12, "bias": true, "activation_function": format!("{torch}.activation.Tanh")}),
                &[("linear.weight", "dense.weight"), ("linear.bias", "dense.bias")],
            ),
            "Plain" => (
                "Dense",
                json!({"in_features": 32, "out_features": 8, "bias": false, "activation_function": format!("{torch}.linear.Identity")}),
                &[("linear.weight", "plain.weight")],
            ),
            "LayerNorm" => {
                (kind, json!({"dimension": 16}), &[("norm.weight", "norm.weight"), ("norm.bias", "norm.bias")])
            }
            _ => (kind, json!({}), &[]),
        };
        std::fs::create_dir(at.join(&place)).expect("it is created");
        write(&at.join(&place).join("config.json"), config);
        let stored: Vec<(&str, &Array)> =
            stored.iter().map(|(name, from)| (*name, &weights[&format!("weights/{from}")])).collect();
        if !stored.is_empty() {
            write_weights(&at.join(&place).join("model.safetensors"), &stored);
        }
        list.push(module(&place, class));
    }
    write(&at.join("modules.json"), list.into());
}

fn open(at: &Path, task: Option<Task>) -> Result<Pretrained, OpenError> {
    let options = PretrainedOptions::default();
    Pretrained::open(at, &task.map_or_else(|| options.clone(), |task| options.clone().with_task(task)))
}

/// Returns the inputs of the second and third shape, and those of the latter with its padding on the left.
fn shapes() -> Vec<(usize, Values)> {
    let [second, third] = [1, 2].map(|at| cases(&root().join("minilm"))[at][0].clone());
    let mut left = third.clone();
    let mask = &third["attention_mask"];
    let &[_, seq] = mask.shape() else { panic!("two axes") };
    let rows = mask.values::<i64>().expect("a mask").chunks(seq).flat_map(|row| row.iter().rev().copied());
    let flipped = Array::new(mask.shape().to_vec(), rows.collect::<Vec<_>>()).expect("the shape fits");
    left.insert("attention_mask".to_owned(), flipped);
    vec![(1, second), (2, third), (3, left)]
}

#[test]
fn pooling_and_layers_equal_sentence_transformers() {
    let expected = tensors(&root().with_file_name("sentences.safetensors"));
    let shapes = shapes();
    for (name, modes, modules) in FOLDERS {
        let folder = TempDir::new().expect("a folder");
        // The older layout has a folder for the Transformer.
        let transformer = if name == "two" { "0_Transformer" } else { "" };
        write(folder.path(), "minilm", transformer, modes, modules, &expected);
        let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.task, Task::SentenceSimilarity);
        assert_eq!(model.inner.is_some(), name == "two");
        let session = session(&model, Part::Whole, None);
        for (at, values) in &shapes {
            let embedding = expected[&format!("{name}/{at}")].clone();
            let expected: Values = BTreeMap::from([("sentence_embedding".to_owned(), embedding)]);
            let largest = difference(&run(&session, values), &expected, None, name);
            assert!(largest < TOLERANCE, "{name}/{at}: differs by {largest}");
        }
    }
}

const POOLING: &str = "1_Pooling/config.json";
const WHOLE: &str = "config_sentence_transformers.json";
const TRANSFORMER: &str = "sentence_bert_config.json";

/// Writes the folder of a mean with another text for one of its files.
fn with_file(file: &str, text: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "minilm", "", &["mean_tokens"], &[], &BTreeMap::new());
    std::fs::write(folder.path().join(file), text).expect("it is written");
    folder
}

/// Configurations as releases of sentence-transformers write them, with the folder whose embeddings they have, and the
/// width of those.
const SUPPORTED: [(&str, &str, &str, usize); 9] = [
    ("mean", POOLING, r#"{"embedding_dimension": 16, "pooling_mode": "mean", "include_prompt": true}"#, 16),
    ("listed", POOLING, r#"{"word_embedding_dimension": 16, "pooling_mode": ["mean", "cls"]}"#, 32),
    // The names replace the flags.
    ("cls", POOLING, r#"{"pooling_mode": "cls", "pooling_mode_mean_tokens": true}"#, 16),
    (
        "mean",
        WHOLE,
        r#"{"__version__": {"pytorch": "2.15.0"}, "default_prompt_name": null, "model_type": "SentenceTransformer",
           "prompts": {"document": "", "query": ""}, "similarity_fn_name": "cosine"}"#,
        16,
    ),
    ("mean", WHOLE, r#"{"truncate_dim": 4}"#, 4),
    ("mean", WHOLE, r#"{"truncate_dim": 400}"#, 16),
    ("mean", TRANSFORMER, r#"{"max_seq_length": 9, "do_lower_case": true, "tokenizer_args": {"use_fast": true}}"#, 16),
    (
        "mean",
        TRANSFORMER,
        r#"{"transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
           "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}}"#,
        16,
    ),
    ("mean", TRANSFORMER, r#"{"model_args": {"attn_implementation": "eager", "torch_dtype": "float16"}}"#, 16),
];

#[test]
fn configurations_of_other_releases_are_read() {
    let expected = tensors(&root().with_file_name("sentences.safetensors"));
    for (name, file, text, width) in SUPPORTED {
        let folder = with_file(file, text);
        let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(model.left_to_callers.is_empty(), "{text}");
        let session = session(&model, Part::Whole, None);
        for (at, values) in shapes() {
            let embedding = &expected[&format!("{name}/{at}")];
            let &[batch, whole] = embedding.shape() else { panic!("two axes") };
            let rows = common::floats(embedding).chunks(whole).flat_map(|row| row[..width].to_vec());
            let embedding = Array::new([batch, width], rows.collect::<Vec<_>>()).expect("the shape fits");
            let expected = BTreeMap::from([("sentence_embedding".to_owned(), embedding)]);
            let largest = difference(&run(&session, &values), &expected, None, name);
            assert!(largest < TOLERANCE, "{text}: differs by {largest}");
        }
    }
}

/// Configurations that may change embeddings, with the option that the error names and `--ignore-option` ignores.
const REFUSED: [(&str, &str, &str); 9] = [
    (POOLING, r#"{"pooling_mode": "mean", "include_prompt": false}"#, "include_prompt"),
    (POOLING, r#"{"pooling_mode": "mean", "scale": 2}"#, "scale"),
    (WHOLE, r#"{"query_length": 32}"#, "query_length"),
    (TRANSFORMER, r#"{"config_args": {"hidden_act": "relu"}}"#, "config_args.hidden_act"),
    // The configuration of the model ignores this option only where the family does not read it.
    (TRANSFORMER, r#"{"config_kwargs": {"pad_token_id": 1}}"#, "config_kwargs.pad_token_id"),
    (TRANSFORMER, r#"{"model_kwargs": {"quantization_config": {"bits": 4}}}"#, "model_kwargs.quantization_config"),
    (TRANSFORMER, r#"{"max_seq_length": 9, "scale": 2}"#, "scale"),
    (TRANSFORMER, r#"{"transformer_task": "fill-mask"}"#, "transformer_task"),
    (
        TRANSFORMER,
        r#"{"modality_config": {"text": {"method": "forward", "method_output_name": ["hidden_states", -2]}}}"#,
        "modality_config.text.method_output_name",
    ),
];

#[test]
fn options_that_may_change_embeddings_are_refused() {
    for (file, text, option) in REFUSED {
        let folder = with_file(file, text);
        let error = open(folder.path(), None).err().unwrap_or_else(|| panic!("{text} is built")).to_string();
        assert!(error.contains(file) && error.contains(&format!("`{option}`")), "{error}");
        let options = PretrainedOptions::default().with_ignored_options([option]);
        Pretrained::open(folder.path(), &options).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for (file, text, part) in [
        (POOLING, r#"{"pooling_mode": []}"#, "a mode or several"),
        (POOLING, r#"{"pooling_mode": ["mean", "first"]}"#, "one of cls, max, mean"),
        (WHOLE, r#"{"truncate_dim": 0}"#, "a whole number from 1"),
        (WHOLE, r#"{"model_type": "SparseEncoder"}"#, "SentenceTransformer or CrossEncoder"),
        ("modules.json", r#"[{"path": "", "type": "a.Transformer", "gain": 2}]"#, "unknown field `gain`"),
    ] {
        let error = open(with_file(file, text).path(), None).err().unwrap_or_else(|| panic!("{text} is built"));
        assert!(error.to_string().contains(part), "{error}");
    }
    // The Transformer alone is not that of config.json either.
    let folder = with_file(TRANSFORMER, r#"{"config_args": {"hidden_act": "relu"}}"#);
    assert!(open(folder.path(), Some(Task::FeatureExtraction)).is_err());
}

/// A reranker is one Transformer, whose logits are those of transformers.
#[test]
fn a_cross_encoder_is_a_classifier() {
    let folder = TempDir::new().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(root().join("bert_sequence").join(file), folder.path().join(file)).expect("it is copied");
    }
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).expect("it is written");
    write(
        "modules.json",
        r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]"#,
    );
    write(
        WHOLE,
        r#"{"model_type": "CrossEncoder", "prompts": {}, "activation_fn": "torch.nn.modules.linear.Identity"}"#,
    );
    write(TRANSFORMER, r#"{"transformer_task": "sequence-classification", "module_output_name": "scores"}"#);
    let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((model.task, model.left_to_callers), (Task::TextClassification, vec![]));
    write(WHOLE, r#"{"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Sigmoid"}"#);
    let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.left_to_callers, ["applies torch.nn.modules.activation.Sigmoid to the logits"]);
    write(WHOLE, r#"{"model_type": "SentenceTransformer"}"#);
    let error = open(folder.path(), None).err().expect("it has no pooling").to_string();
    assert!(error.contains("`transformer_task` is \"sequence-classification\""), "{error}");
}

/// What sentence-transformers does besides is reported.
#[test]
fn callers_learn_of_the_default_prompt() {
    let folder =
        with_file(WHOLE, r#"{"prompts": {"document": "", "query": "query: "}, "default_prompt_name": "query"}"#);
    let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.left_to_callers, ["writes the prompt \"query: \" before every text (default_prompt_name)"]);
    std::fs::write(
        folder.path().join("modules.json"),
        r#"[{"path": "", "type": "own.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]"#,
    )
    .expect("it is written");
    let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.own_classes, ["own.Transformer", "x.Pooling"]);
}

/// A decoder whose last token represents the text, padded on the right or on the left.
#[test]
fn the_last_token_of_a_decoder() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "qwen3_base", "", &["lasttoken"], &["Normalize"], &BTreeMap::new());
    let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{error}"));
    let session = session(&model, Part::Whole, None);
    for [values, expected] in cases(&root().join("qwen3_base")) {
        let states = &expected["last_hidden_state"];
        let &[batch, seq, width] = states.shape() else { panic!("three axes") };
        let mask = values["attention_mask"].values::<i64>().expect("a mask");
        let mut vectors = vec![];
        for row in 0..batch {
            let last = (0..seq).rfind(|at| mask[row * seq + at] == 1).expect("a token");
            let vector = &common::floats(states)[(row * seq + last) * width..][..width];
            let length = vector.iter().map(|float| float * float).sum::<f32>().sqrt();
            vectors.extend(vector.iter().map(|float| float / length));
        }
        let embedding = Array::new([batch, width], vectors).expect("the shape fits");
        let expected = BTreeMap::from([("sentence_embedding".to_owned(), embedding)]);
        let largest = difference(&run(&session, &values), &expected, None, "qwen3");
        assert!(largest < TOLERANCE, "differs by {largest}");
    }
}

/// `--task` selects another head, also of folders whose modules are not supported.
#[test]
fn the_task_decides_before_the_modules() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "minilm", "", &["mean_tokens"], &["CNN"], &BTreeMap::new());
    let error = open(folder.path(), None).err().expect("a module is unknown").to_string();
    assert!(error.contains("the module sentence_transformers.models.CNN is not supported here"), "{error}");
    let model = open(folder.path(), Some(Task::FeatureExtraction)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.task, Task::FeatureExtraction);
    assert!(open(folder.path(), Some(Task::SentenceSimilarity)).is_err());
    for (modes, part) in [(&[][..], "pooling_mode_mean_tokens"), (&["second_token"], "pooling_mode_second_token")] {
        let folder = TempDir::new().expect("a folder");
        write(folder.path(), "minilm", "", modes, &[], &BTreeMap::new());
        let error = open(folder.path(), None).err().expect("the mode is unknown").to_string();
        assert!(error.contains(part), "{error}");
    }
}
