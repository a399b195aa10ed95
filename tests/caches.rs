//! A prefill and steps with each form of KV cache compute what one pass over all tokens computes.

mod common;

use common::floats;
use netwright::ir;
use netwright::nn::layers::{CacheForm, CacheWrite};
use netwright::nn::{OpenError, Settings};
use netwright::onnx::set_opset;
use netwright::prelude::*;
use netwright::verify::{Array, OrtLevel, Runtime, Session};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The number of tokens with padding, of which the prefill reads all but the last ones.
const LENGTH: usize = 11;
const STEPS: usize = 4;

/// The room in a cache of fixed length, of which some is left.
const ROOM: u64 = 13;

/// The padding at the start of each row of a batch.
const BATCHES: [&[usize]; 2] = [&[0], &[0, 3, 5]];

fn folder_of(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(family)
}

fn load(family: &str, form: Option<CacheForm>, target: Target, runtime: &Runtime) -> Session {
    let options = PretrainedOptions::default().with_past(form.is_some()).with_cache(form.unwrap_or_default());
    let pretrained = Pretrained::open(folder_of(family), &options).unwrap_or_else(|error| panic!("{family}: {error}"));
    let mut model = ir::Model::new(pretrained.build(Part::Whole, false).expect("it is built"));
    set_opset(&mut model, 24).expect("its opset is raised");
    optimize(&mut model, &OptimizeOptions::for_target(target)).unwrap_or_else(|error| panic!("{family}: {error}"));
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("model.onnx");
    write(&model, &file, &WriteOptions::default()).expect("it is written");
    Session::load_in(&file, runtime).unwrap_or_else(|error| panic!("{family} {form:?}: {error}"))
}

fn token(row: usize, at: usize) -> i64 {
    i64::try_from(3 + (row * 17 + at * 7 + at * at) % 40).expect("a small number")
}

fn numbers(rows: usize, values: impl Iterator<Item = i64>) -> Array {
    let values: Vec<i64> = values.collect();
    Array::new([rows, values.len() / rows], values).expect("an array")
}

/// Runs the tokens of some places after the earlier ones, and returns the logits and the next past.
fn step(
    session: &Session,
    padding: &[usize],
    places: std::ops::Range<usize>,
    past: Vec<(String, Array)>,
) -> (Array, Vec<(String, Array)>) {
    let rows = padding.len();
    let is_fixed = session.inputs().iter().any(|port| port.name == "past_sequence_length");
    let columns = if is_fixed { usize::try_from(ROOM).expect("a small number") } else { places.end };
    let all = |of: &dyn Fn(usize, usize) -> i64| {
        numbers(rows, (0..rows).flat_map(|row| places.clone().map(move |at| (row, at))).map(|(row, at)| of(row, at)))
    };
    let signed = |number: usize| i64::try_from(number).expect("a small number");
    let mask = padding.iter().flat_map(|own| (0..columns).map(|at| i64::from((*own..places.end).contains(&at))));
    let mut given = past;
    given.push(("input_ids".to_owned(), all(&token)));
    given.push(("attention_mask".to_owned(), numbers(rows, mask)));
    given.push(("position_ids".to_owned(), all(&|row, at| signed(at.saturating_sub(padding[row])))));
    if is_fixed {
        given.push(("past_sequence_length".to_owned(), Array::new([1], vec![signed(places.start)]).expect("an array")));
    }
    let known = |(name, array): &(String, Array)| {
        session.inputs().iter().any(|port| port.name == *name).then(|| (name.clone(), array.clone()))
    };
    let given: Vec<(String, Array)> = given.iter().filter_map(known).collect();
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let mut outputs = session.run(&given).unwrap_or_else(|error| panic!("{error}"));
    let logits = outputs.remove(0).1;
    let past = outputs.into_iter().map(|(name, array)| (name.replace("present", "past_key_values"), array));
    (logits, past.collect())
}

/// Returns pasts without a token.
fn empty(session: &Session, rows: usize) -> Vec<(String, Array)> {
    let pasts = session.inputs().iter().filter(|port| port.name.starts_with("past_key_values"));
    let zeros = |port: &netwright::verify::Port| {
        let ty = port.ty.as_ref().expect("a type");
        let dims = ty.shape.as_ref().expect("a shape").iter();
        let sizes: Vec<usize> =
            dims.map(|dim| dim.known().map_or(0, |size| size.try_into().expect("a size"))).collect();
        (port.name.clone(), Array::zeros(ty.element, [&[rows], &sizes[1..]].concat()).expect("an array"))
    };
    pasts.map(zeros).collect()
}

/// Compares the scores after each token; those of padding mean nothing.
fn compare(what: &str, found: &Array, expected: &Array, padding: &[usize], places: std::ops::Range<usize>) {
    let width = *found.shape().last().expect("an axis");
    let (found, expected) = (floats(found), floats(expected));
    for (row, padding) in padding.iter().enumerate() {
        for (at, place) in places.clone().enumerate().filter(|(_, place)| place >= padding) {
            let own = &found[(row * places.len() + at) * width..][..width];
            let other = &expected[(row * LENGTH + place) * width..][..width];
            let worst = own.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{what}: row {row}, token {place}: {worst}");
        }
    }
}

/// Decoders whose rotary frequencies depend on the number of tokens: the keys of earlier steps have other frequencies than
/// those of one pass.
const EXCEPTIONS: [&str; 2] = ["llama_dynamic", "phi3"];

/// Returns the folders of decoders that may have a cache.
fn decoders() -> Vec<String> {
    let options = PretrainedOptions::default().with_past(true);
    let folders = std::fs::read_dir(folder_of("")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let is_decoder = |family: &String| {
        let model = Pretrained::open(folder_of(family), &options);
        let is_alone = model.is_ok_and(|model| !model.is_encoder_decoder());
        // A model without a head differs from one with a head only in its last product.
        is_alone && !family.ends_with("_base") && !EXCEPTIONS.contains(&family.as_str())
    };
    let mut families: Vec<String> = folders.filter_map(|name| name.into_string().ok()).filter(is_decoder).collect();
    families.sort_unstable();
    assert!(families.len() >= 37, "{families:?}");
    families
}

fn check(runtime: &Runtime, target: Target, forms: &[CacheForm]) {
    for family in &decoders() {
        let whole = load(family, None, target, runtime);
        for form in forms {
            let options = PretrainedOptions::default().with_past(true).with_cache(*form);
            if matches!(Pretrained::open(folder_of(family), &options), Err(OpenError::Cache { .. })) {
                assert_eq!(*form, CacheForm::Sliding, "{family}");
                continue;
            }
            let cached = load(family, Some(*form), target, runtime);
            for padding in BATCHES {
                let (expected, _) = step(&whole, padding, 0..LENGTH, vec![]);
                let what = format!("{family} {form:?} {padding:?}");
                let mut past = empty(&cached, padding.len());
                // A prefill, a step of several tokens, and steps of one.
                let starts = [0, LENGTH - STEPS - 2].into_iter().chain(LENGTH - STEPS..=LENGTH);
                let starts: Vec<usize> = starts.collect();
                for pair in starts.windows(2) {
                    let (logits, present) = step(&cached, padding, pair[0]..pair[1], past);
                    compare(&what, &logits, &expected, padding, pair[0]..pair[1]);
                    past = present;
                }
            }
        }
    }
}

const TENSOR: CacheForm = CacheForm::Static { length: ROOM, write: CacheWrite::TensorScatter };
const ELEMENTS: CacheForm = CacheForm::Static { length: ROOM, write: CacheWrite::ScatterElements };

#[test]
fn steps_in_tract_equal_one_pass() {
    check(&Runtime::Tract, Target::TRACT, &[CacheForm::Growing, ELEMENTS, CacheForm::Sliding]);
}

/// The test is skipped if ONNX Runtime is not installed, unless `REQUIRE_ONNX_RUNTIME` is set.
#[test]
fn steps_in_onnx_runtime_equal_one_pass() {
    let Some(runtime) = common::onnx_runtime() else { return };
    let runtime = Runtime::Ort(runtime.with_level(OrtLevel::All));
    check(&runtime, Target::ONNX, &[CacheForm::Growing, TENSOR, CacheForm::Sliding]);
    check(&runtime, Target::ORT, &[CacheForm::Growing, ELEMENTS, CacheForm::Sliding]);
}

#[test]
fn forms_that_a_model_cannot_have_are_refused() {
    let refused = |family: &str, form: CacheForm| {
        let settings = Settings::open(folder_of(family).join("config.json")).expect("a configuration");
        let options = PretrainedOptions::default().with_past(true).with_cache(form);
        Pretrained::from_settings(&settings, &options).err().expect("it is refused").to_string()
    };
    assert!(refused("llama", CacheForm::Sliding).contains("none of its layers attends to a window"));
    assert!(refused("t5", TENSOR).contains("the first pass of its decoder has no past"));
    assert!(refused("t5", CacheForm::Sliding).contains("the first pass of its decoder has no past"));
    let none = CacheForm::Static { length: 0, write: CacheWrite::TensorScatter };
    assert!(refused("llama", none).contains("a length of 0 has no room"));
}
