//! Predictions of tokens and vectors of texts equal those of `transformers` (`tests/interop/make_generation.py`).

mod common;

use netwright::generate::{Evaluated, Evaluator, GenerateError, Text};
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

/// Builds a folder of tests/families with a tokenizer whose token 0 is the mask.
fn open(name: &str) -> Result<Evaluator, GenerateError> {
    let folder = root().join("tests/families").join(name);
    let pretrained = Pretrained::open(&folder, &PretrainedOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let out = TempDir::new().expect("a folder");
    let model = ir::Model::new(pretrained.build(Part::Whole, false).expect("it is built"));
    write(&model, out.path().join("model.onnx"), &WriteOptions::default()).expect("it is written");
    fs::copy(folder.join("config.json"), out.path().join("config.json")).expect("a copy");
    let tokenizer = fs::read_to_string(root().join("tests/generation/tokenizer.json")).expect("a tokenizer");
    fs::write(out.path().join("tokenizer.json"), tokenizer.replace("<pad>", "<mask>")).expect("it is written");
    let text = Text::open(out.path()).expect("a tokenizer");
    Evaluator::open(out.path(), &text, &Runtime::Tract)
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
