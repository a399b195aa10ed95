//! Options that are absent in `config.json` have the values that they have in transformers, or are refused by name.
//! `tests/interop/make_absent.py` writes what PyTorch computes without each option of every folder in `tests/families`.

mod common;

use common::folders::{TOLERANCE, Values, cases, difference, folders, root, run, session};
use netwright::ir::Model;
use netwright::nn::{Part, Pretrained, PretrainedOptions};
use netwright::onnx;
use serde_json::{Map, Value};
use std::path::Path;
use tempfile::TempDir;

/// The number of values of an output that the table holds, if it has so many.
const MOST: usize = 12;

type Config = Map<String, Value>;

/// The name, and the row of each of its options.
type Rows = (String, Map<String, Value>);

fn read(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).expect("it is read")).expect("it is an object")
}

/// A configuration without an option, which may be one of a section.
fn without(config: &Config, option: &str) -> Config {
    let mut config = config.clone();
    match option.split_once('.') {
        Some((section, option)) => {
            let section =
                config.get_mut(section).expect("it has the section").as_object_mut().expect("it is an object");
            *section = without(section, option);
        }
        None => assert!(config.shift_remove(option).is_some(), "it has {option}"),
    }
    config
}

/// Copies all files of a folder, with those of its folders.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&place).expect("it is created");
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).expect("it is copied");
        }
    }
}

fn bytes(model: &Pretrained) -> Vec<u8> {
    let graph = model.build(Part::Whole, false).unwrap_or_else(|errors| panic!("{errors}"));
    onnx::to_bytes(&Model::new(graph)).unwrap_or_else(|error| panic!("{error}"))
}

/// Values of the first text at equal distances, from the last one on.
fn some(values: &[f32]) -> impl Iterator<Item = f32> {
    values.iter().rev().step_by((values.len() / MOST).max(1)).copied()
}

/// Returns what is silently wrong without each option of a folder.
fn wrong((name, rows): &Rows) -> Vec<String> {
    let folder = root().join(name);
    let place = TempDir::new().expect("a folder");
    copy(&folder, place.path());
    let config = read(&folder.join("config.json"));
    let open = |config: &Config| {
        std::fs::write(place.path().join("config.json"), Value::from(config.clone()).to_string())
            .expect("it is written");
        Pretrained::open(place.path(), &PretrainedOptions::default())
    };
    let whole = bytes(&open(&config).unwrap_or_else(|error| panic!("{error}")));
    let [values, expected] = cases(&folder).swap_remove(1);
    let compare = |option: &str, row: &Value| -> Option<String> {
        // A refusal names the option or the weights; only a model may be wrong.
        let model = open(&without(&config, option)).ok()?;
        let is_same = bytes(&model) == whole;
        let found: Values = if is_same { expected.clone() } else { run(&session(&model, Part::Whole, None), &values) };
        match row {
            Value::Object(outputs) => {
                let numbers =
                    |outputs: &Value| -> Vec<f32> { serde_json::from_value(outputs.clone()).expect("numbers") };
                let differs = |(output, numbers): (&String, Vec<f32>)| {
                    let array = found.get(output)?;
                    let row = common::floats(array).len() / array.shape()[0];
                    let found = some(&common::floats(array)[..row]);
                    let largest = found.zip(numbers).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
                    (largest > TOLERANCE).then(|| format!("{output} differs by {largest}"))
                };
                outputs.iter().map(|(output, row)| (output, numbers(row))).find_map(differs)
            }
            Value::String(row) if row == "same" => {
                let largest =
                    if is_same { 0.0 } else { difference(&found, &expected, values.get("attention_mask"), name) };
                (largest > TOLERANCE).then(|| format!("differs by {largest}"))
            }
            // No table of embeddings has a row for the default, which is nothing to a model that does not read it.
            _ if option == "pad_token_id" && is_same => None,
            _ => Some("transformers refuses it".to_owned()),
        }
    };
    rows.iter()
        .filter_map(|(option, row)| Some(format!("{name} without {option}: {}", compare(option, row)?)))
        .collect()
}

#[test]
fn absent_options_have_the_values_of_transformers() {
    let table: Vec<Rows> = read(&root().with_file_name("absent.json"))
        .into_iter()
        .map(|(name, rows)| (name, rows.as_object().expect("rows").clone()))
        .collect();
    for folder in folders() {
        let is_in = table.iter().any(|(name, _)| folder.ends_with(name));
        assert!(is_in, "{} is not in tests/absent.json: run tests/interop/make_absent.py", folder.display());
    }
    let (left, right) = table.split_at(table.len() / 2);
    let half = |half: &[Rows]| half.iter().flat_map(wrong).collect::<Vec<_>>();
    let wrong = std::thread::scope(|scope| {
        let left = scope.spawn(move || half(left));
        let right = half(right);
        [left.join().expect("the other half"), right].concat()
    });
    assert!(table.iter().map(|(_, rows)| rows.len()).sum::<usize>() > 1000);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
