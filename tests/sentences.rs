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

#[test]
fn pooling_and_layers_equal_sentence_transformers() {
    let expected = tensors(&root().with_file_name("sentences.safetensors"));
    let cases = cases(&root().join("minilm"));
    for (name, modes, modules) in FOLDERS {
        let folder = TempDir::new().expect("a folder");
        // The older layout has a folder for the Transformer.
        let transformer = if name == "two" { "0_Transformer" } else { "" };
        write(folder.path(), "minilm", transformer, modes, modules, &expected);
        let model = open(folder.path(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.task, Task::SentenceSimilarity);
        assert_eq!(model.inner.is_some(), name == "two");
        let session = session(&model, Part::Whole, None);
        for at in [1, 2] {
            let embedding = expected[&format!("{name}/{at}")].clone();
            let expected: Values = BTreeMap::from([("sentence_embedding".to_owned(), embedding)]);
            let largest = difference(&run(&session, &cases[at][0]), &expected, None, name);
            assert!(largest < TOLERANCE, "{name}: differs by {largest}");
        }
    }
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
