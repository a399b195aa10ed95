//! Predictions of tokens and vectors of texts equal those of `transformers` (`tests/interop/make_generation.py`).

mod common;

use netwright::generate::{Evaluated, Evaluator, GenerateError, Model, Tokenizer};
use netwright::ir;
use netwright::prelude::*;
use netwright::verify::Runtime;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a folder of tests/families, as `netwright build` does for a task, with a tokenizer whose token 0 is the mask.
fn build(name: &str, task: Option<&str>) -> TempDir {
    let folder = root().join("tests/families").join(name);
    let pretrained = Pretrained::open(&folder, &PretrainedOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let out = TempDir::new().expect("a folder");
    let mut model = ir::Model::new(pretrained.build(Part::Whole, false).expect("it is built"));
    model.metadata.extend(task.map(|task| ("task".to_owned(), task.to_owned())));
    write(&model, out.path().join("model.onnx"), &WriteOptions::default()).expect("it is written");
    fs::copy(folder.join("config.json"), out.path().join("config.json")).expect("a copy");
    let tokenizer = fs::read_to_string(root().join("tests/generation/tokenizer.json")).expect("a tokenizer");
    fs::write(out.path().join("tokenizer.json"), tokenizer.replace("<pad>", "<mask>")).expect("it is written");
    out
}

fn evaluator(folder: &TempDir) -> Result<Evaluator, GenerateError> {
    let text = Tokenizer::open(folder.path()).expect("a tokenizer");
    Evaluator::open(folder.path(), &text, &Runtime::Tract)
}

fn open(name: &str) -> Result<Evaluator, GenerateError> {
    evaluator(&build(name, None))
}

fn reference(name: &str) -> Value {
    let text = fs::read_to_string(root().join("tests/generation/predictions.json")).expect("the reference");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all[name].clone()
}

fn tokens() -> Vec<u32> {
    serde_json::from_value(reference("tokens")).expect("tokens")
}

fn numbers(name: &str) -> Vec<f64> {
    serde_json::from_value(reference(name)).expect("numbers")
}

#[test]
fn predictions_equal_those_of_transformers() {
    let tokens = tokens();
    for (name, kind) in [("llama", Evaluated::NextTokens), ("bert_mlm", Evaluated::MaskedTokens { mask: 0 })] {
        let model = open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.kind(), kind);
        let prediction = model.predict(&tokens).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = numbers(name);
        assert_eq!(prediction.logarithms.len(), expected.len());
        for (found, expected) in prediction.logarithms.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found}, not {expected}");
        }
        let perplexity = (-expected.iter().sum::<f64>() / expected.len() as f64).exp();
        assert!((prediction.perplexity() / perplexity - 1.0).abs() < 1e-4);
        assert_eq!(prediction.agreement(&prediction), 1.0);
    }
}

/// Graphs with types of tokens, and those that `build` wrote for the task, predict masked tokens, whatever the name of the
/// architecture.
#[test]
fn masked_language_models_are_recognized() {
    for (name, task, expected) in [
        ("bert_mlm", None, Some(Evaluated::MaskedTokens { mask: 0 })),
        ("roberta_mlm", Some("fill-mask"), Some(Evaluated::MaskedTokens { mask: 0 })),
        ("llama", Some("text-generation"), Some(Evaluated::NextTokens)),
    ] {
        let out = build(name, task);
        let config = fs::read_to_string(out.path().join("config.json")).expect("a configuration");
        let config = config.replace("ForMaskedLM", "ForPreTraining");
        fs::write(out.path().join("config.json"), config).expect("it is written");
        let found = evaluator(&out).map(|model| model.kind());
        assert_eq!(found.ok(), expected, "{name} for {task:?}");
        if let (Some(Evaluated::MaskedTokens { .. }), true) = (expected, task.is_some()) {
            let refused = Model::open(out.path(), &Runtime::Tract).expect_err("it is refused").to_string();
            assert!(refused.contains("it predicts masked tokens"), "{refused}");
        }
    }
}

/// Positions of RoBERTa start after the id of padding, so a window has fewer than the table.
#[test]
fn windows_have_as_many_tokens_as_there_are_positions() {
    let model = open("roberta_mlm").unwrap_or_else(|error| panic!("{error}"));
    let prediction = model.predict(&tokens()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(prediction.logarithms.len(), tokens().len());
}

#[test]
fn vectors_equal_those_of_transformers() {
    let tokens = tokens();
    let model = open("bert").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.kind(), Evaluated::Embeddings);
    let expected = numbers("bert");
    let found = model.embed(&tokens).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4), "{found:?}");
    assert!(matches!(model.embed(&[]), Err(GenerateError::EmptyPrompt)));
}

#[test]
fn other_models_are_refused() {
    let model = open("llama").expect("it is opened");
    assert!(matches!(
        model.predict(&[1, 99]),
        Err(GenerateError::UnknownToken { token: 99, .. } | GenerateError::Run(_))
    ));
    assert!(model.predict(&[]).expect("no token").logarithms.is_empty());
    for name in ["bert_sequence", "vit"] {
        let refused = open(name).map(|model| model.kind());
        assert!(matches!(refused, Err(GenerateError::Interface { .. })), "{name}: {refused:?}");
    }
}
