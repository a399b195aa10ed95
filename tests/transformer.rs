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
    // A date that is written ambiguously has several readings, the most probable of which is the greedy one.
    let readings = dates.read_all("3/4/2021", 4).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(readings.len(), 4);
    assert_eq!(readings[0].0, dates.read("3/4/2021").expect("a date"));
    assert!(readings.is_sorted_by(|a, b| a.1 >= b.1 && a.0 != b.0), "{readings:?}");
}

/// Steps with a KV cache compute what one pass over the target computes.
#[test]
fn steps_equal_one_pass() {
    let folder = folder();
    let out = TempDir::new().expect("a folder");
    let pretrained = Pretrained::open(&folder, &PretrainedOptions::default().with_past(true)).expect("it is opened");
    for target in [None, Some(Target::TRACT)] {
        let session = |part: Part| {
            let mut model = Model::new(pretrained.build(part, false).expect("it is built"));
            if let Some(target) = target {
                passes::optimize(&mut model, &Options::for_target(target)).expect("it is optimized");
            }
            let path = out.path().join(format!("{}.onnx", part.name()));
            onnx::write(&model, &path, &WriteOptions::default()).expect("it is written");
            Session::load(&path).unwrap_or_else(|error| panic!("{error}"))
        };
        let [first, later] = [Part::Decoder, Part::DecoderWithPast].map(session);
        let ids = |ids: &[i64]| Array::new([1, ids.len()], ids.to_vec()).expect("the shape fits");
        let memory = Array::new([1, 2, 128], (0..256).map(|at| (at as f32 * 0.7).sin()).collect::<Vec<f32>>());
        let (memory, mask) = (memory.expect("the shape fits"), ids(&[1, 1]));
        let prefill = |tokens: &[i64]| {
            let tokens = ids(tokens);
            let inputs =
                [("decoder_input_ids", &tokens), ("encoder_hidden_states", &memory), ("encoder_attention_mask", &mask)];
            first.run(&inputs).unwrap_or_else(|error| panic!("{error}"))
        };
        let all = prefill(&[1, 9, 20, 33]);
        let mut cache = prefill(&[1, 9]);
        for (at, token) in [(2, 20), (3, 33)] {
            let token = ids(&[token]);
            let pasts: Vec<(String, &Array)> = cache
                .iter()
                .filter_map(|(name, array)| Some((format!("past_key_values{}", name.strip_prefix("present")?), array)))
                .collect();
            let mut inputs = vec![("decoder_input_ids", &token), ("encoder_attention_mask", &mask)];
            inputs.extend(pasts.iter().map(|(name, array)| (name.as_str(), *array)));
            let mut step = later.run(&inputs).unwrap_or_else(|error| panic!("{error}"));
            let width = step[0].1.shape()[2];
            let expected = &floats(&all[0].1)[at * width..(at + 1) * width];
            let found = floats(&step[0].1);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs().max(1.0)), "token {at}");
            // Keys and values of the memory stay.
            step.extend(cache.into_iter().filter(|(name, _)| name.contains("encoder")));
            cache = step;
        }
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
