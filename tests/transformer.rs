//! The whole path on trained weights: declared, optimized for each target, written, run in tract, against what PyTorch
//! computed.

mod common;
#[path = "../examples/dates/dates.rs"]
mod dates;

use common::floats;
use dates::Dates;
use netwright::inventory::inventory;
use netwright::ir::{ElementType, Model};
use netwright::nn::{Part, Pretrained, PretrainedOptions};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Options, Target};
use netwright::verify::{Array, Session};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TARGETS: [Target; 3] = [Target::ONNX, Target::TRACT, Target::ORT];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dates")
}

fn open() -> Pretrained {
    Pretrained::open(folder(), &PretrainedOptions::default()).expect("the folder holds a model")
}

/// The table of positions has the type of the embeddings.
#[test]
fn every_part_in_f16() {
    let options = PretrainedOptions::default().with_dtype(ElementType::F16);
    let model = Pretrained::open(folder(), &options).expect("the folder holds a model");
    for part in [Part::Encoder, Part::Decoder, Part::Whole] {
        let graph = model.build(part, false).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(graph.fact(graph.outputs()[0].value).element(), Some(ElementType::F16), "{part:?}");
    }
}

/// The graph of a part, optimized for a target or merely lowered.
fn model(part: Part, target: Option<Target>, attention_weights: bool) -> Model {
    let pretrained = open();
    let graph = pretrained.build(part, attention_weights).unwrap_or_else(|errors| panic!("{errors}"));
    let mut model = Model::new(graph);
    match target {
        Some(target) => passes::optimize(&mut model, &Options::for_target(target)),
        None => passes::lower(&mut model, &Target::ONNX, true),
    }
    .unwrap_or_else(|error| panic!("{error}"));
    model
}

fn write(model: &Model, folder: &TempDir) -> PathBuf {
    let path = folder.path().join("model.onnx");
    onnx::write(model, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    path
}

fn run(model: &Model, inputs: &[(&str, &Array)]) -> BTreeMap<String, Array> {
    let folder = TempDir::new().expect("a folder");
    let session = Session::load(write(model, &folder)).unwrap_or_else(|error| panic!("{error}"));
    session.run(inputs).unwrap_or_else(|error| panic!("{error}")).into_iter().collect()
}

/// The tensors of `reference.safetensors`: what PyTorch computed for one batch.
fn reference() -> BTreeMap<String, Array> {
    common::tensors(&folder().join("reference.safetensors"))
}

/// 1 where the ids are no padding.
fn mask(ids: &Array) -> Array {
    let ones = ids.values::<i64>().expect("ids").iter().map(|id| i64::from(*id != 0)).collect::<Vec<_>>();
    Array::new(ids.shape().to_vec(), ones).expect("the shape is the ids' own")
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, keep: impl Fn(usize) -> bool, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(!keep(at) || (a - b).abs() <= tolerance * b.abs().max(1.0), "{what}: {a} and {b} at {at}");
    }
}

#[test]
fn equals_pytorch_for_every_target() {
    let reference = reference();
    let (source, target) = (&reference["src"], &reference["tgt"]);
    let mask = mask(source);
    let padded = mask.values::<i64>().expect("ids");
    for optimized in TARGETS.map(Some).into_iter().chain([None]) {
        let what = format!("{:?}", optimized.map(|target| target.name));
        let encoder = model(Part::Encoder, optimized, false);
        let memory = &run(&encoder, &[("input_ids", source), ("attention_mask", &mask)])["last_hidden_state"];
        assert_close(floats(memory), floats(&reference["memory"]), 1e-4, |at| padded[at / 128] == 1, &what);
        let decoder = model(Part::Decoder, optimized, false);
        let inputs = [
            ("decoder_input_ids", target),
            ("encoder_hidden_states", &reference["memory"]),
            ("encoder_attention_mask", &mask),
        ];
        assert_close(floats(&run(&decoder, &inputs)["logits"]), floats(&reference["logits"]), 1e-4, |_| true, &what);
        let both = model(Part::Whole, optimized, false);
        let inputs = [("input_ids", source), ("attention_mask", &mask), ("decoder_input_ids", target)];
        assert_close(floats(&run(&both, &inputs)["logits"]), floats(&reference["logits"]), 1e-4, |_| true, &what);
    }
}

#[test]
fn optimized_equals_declared() {
    let reference = reference();
    let (source, target) = (&reference["src"], &reference["tgt"]);
    let mask = mask(source);
    let inputs = [("input_ids", source), ("attention_mask", &mask), ("decoder_input_ids", target)];
    let declared = run(&model(Part::Whole, None, true), &inputs);
    for target in TARGETS {
        let optimized = run(&model(Part::Whole, Some(target), true), &inputs);
        assert_eq!(optimized.len(), 10, "the logits and the weights of nine attentions");
        for (name, expected) in &declared {
            let what = format!("{name} for {}", target.name);
            assert_close(floats(&optimized[name]), floats(expected), 1e-5, |_| true, &what);
        }
    }
}

/// Every row of attention weights sums to 1, and masked positions have weight 0 exactly.
#[test]
fn attention_weights_are_a_distribution_over_what_is_not_masked() {
    let reference = reference();
    let (source, target) = (&reference["src"], &reference["tgt"]);
    let mask = mask(source);
    let padded = mask.values::<i64>().expect("ids");
    let inputs = [("input_ids", source), ("attention_mask", &mask), ("decoder_input_ids", target)];
    let outputs = run(&model(Part::Whole, Some(Target::TRACT), true), &inputs);
    let mut seen = 0;
    for (name, weights) in outputs.iter().filter(|(name, _)| name.ends_with("attention_weights")) {
        let &[_, heads, queries, keys] = weights.shape() else { panic!("{name} has four axes") };
        for (row, weights) in floats(weights).chunks(keys).enumerate() {
            let (batch, query) = (row / (heads * queries), row % queries);
            let sum: f32 = weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{name}: a row sums to {sum}");
            for (key, weight) in weights.iter().enumerate() {
                let causal = name.starts_with("decoder") && name.contains("self_attn");
                let hidden = if causal { key > query } else { padded[batch * keys + key] == 0 };
                assert!(!hidden || *weight == 0.0, "{name}: a masked position has weight {weight}");
                seen += usize::from(hidden);
            }
        }
    }
    assert!(seen > 1000, "only {seen} positions were masked");
}

#[test]
fn the_recorded_dates_are_decoded() {
    let out = TempDir::new().expect("a folder");
    let dates = Dates::build(&folder(), out.path()).unwrap_or_else(|error| panic!("{error}"));
    let cases = std::fs::read_to_string(folder().join("cases.json")).expect("the cases are there");
    let cases: serde_json::Value = serde_json::from_str(&cases).expect("they are JSON");
    let cases = cases["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 60);
    for case in cases {
        let input = case["input"].as_str().expect("a text");
        let read = dates.read(input).unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(Some(read.as_str()), case["model"].as_str(), "{input}");
    }
}

/// What is declared is plain operators: to optimize what was written as declared is to optimize the declaration,
/// to the byte.
#[test]
fn optimizing_the_file_equals_optimizing_the_declaration() {
    for part in [Part::Encoder, Part::Decoder, Part::Whole] {
        for target in TARGETS {
            let out = TempDir::new().expect("a folder");
            let direct = std::fs::read(write(&model(part, Some(target), false), &out)).expect("it was written");
            let declared = write(&model(part, None, false), &out);
            for round in ["once", "twice"] {
                let mut read = onnx::read(&declared, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
                passes::optimize(&mut read, &Options::for_target(target)).unwrap_or_else(|error| panic!("{error}"));
                onnx::write(&read, &declared, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
                let indirect = std::fs::read(&declared).expect("it was written");
                assert!(direct == indirect, "{part:?} for {} differs when optimized {round}", target.name);
            }
        }
    }
}

/// No attention keeps a node for its scale where the target folds it, and names play no part in that.
#[test]
fn no_scale_remains_and_names_do_not_matter() {
    let declared = open().build(Part::Whole, false).expect("it builds");
    let mut scrambled = declared.clone();
    let values: Vec<_> = scrambled.schedule().into_iter().flat_map(|id| declared.results(id)).collect();
    for (at, value) in values.into_iter().enumerate() {
        if !matches!(scrambled.op(value), netwright::ir::Op::Input) {
            scrambled.rename(value, &format!("v{}", (at * 7919) % 10_007));
        }
    }
    let count = |graph: &netwright::ir::Graph, target| {
        let mut model = Model::new(graph.clone());
        passes::optimize(&mut model, &Options::for_target(target)).unwrap_or_else(|error| panic!("{error}"));
        inventory(&model).operators
    };
    for target in TARGETS {
        let operators = count(&declared, target);
        assert_eq!(count(&scrambled, target), operators, "{}", target.name);
        // One to scale each embedding; nine more where the scales stay.
        let expected = if target == Target::ONNX { 11 } else { 2 };
        assert_eq!(operators["Mul"], expected, "{}: {operators:?}", target.name);
        assert!(!operators.contains_key("Div"), "{operators:?}");
    }
}
