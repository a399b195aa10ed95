//! Folders of pretrained models, and what PyTorch computed with them.

use super::{floats, tensors};
use netwright::ir::Model;
use netwright::nn::{Part, Pretrained};
use netwright::onnx::{self, WriteOptions};
use netwright::passes::{self, Options, Target};
use netwright::verify::{Array, Session};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const TOLERANCE: f32 = 1e-4;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families")
}

pub(crate) fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root()).expect("the folders are there");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

pub(crate) type Values = BTreeMap<String, Array>;

/// Inputs and outputs of each shape, by name.
pub(crate) fn cases(folder: &Path) -> Vec<[Values; 2]> {
    let mut cases: BTreeMap<String, [Values; 2]> = BTreeMap::new();
    for (name, array) in tensors(&folder.join("expected.safetensors")) {
        let mut parts = name.splitn(3, '/');
        let mut part = || parts.next().expect("case, part and name").to_owned();
        let (case, side, name) = (part(), part(), part());
        cases.entry(case).or_default()[usize::from(side == "out")].insert(name, array);
    }
    cases.into_values().collect()
}

/// One part of a model, in tract.
pub(crate) fn session(model: &Pretrained, part: Part, target: Option<Target>) -> Session {
    let graph = model.build(part, false).unwrap_or_else(|errors| panic!("{errors}"));
    let mut model = Model::new(graph);
    match target {
        Some(target) => passes::optimize(&mut model, &Options::for_target(target)),
        None => passes::lower(&mut model, &Target::ONNX, true),
    }
    .unwrap_or_else(|error| panic!("{error}"));
    let out = TempDir::new().expect("a folder");
    let path = out.path().join("model.onnx");
    onnx::write(&model, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    Session::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// All outputs by name, from all values that there are.
pub(crate) fn run(session: &Session, values: &Values) -> Values {
    let inputs: Vec<(&str, &Array)> = values.iter().map(|(name, array)| (name.as_str(), array)).collect();
    session.run(&inputs).unwrap_or_else(|error| panic!("{error}")).into_iter().collect()
}

/// The largest difference to what PyTorch gave, each relative to 1 or more, without rows of padding.
pub(crate) fn difference(found: &Values, expected: &Values, mask: Option<&Array>, what: &str) -> f32 {
    let mut largest = 0.0_f32;
    for (name, expected) in expected {
        let found = found.get(name).unwrap_or_else(|| panic!("{what}: the output {name} is not there"));
        assert_eq!(found.shape(), expected.shape(), "{what}: {name}");
        let mask = mask.filter(|mask| expected.shape().starts_with(mask.shape()));
        let keep = mask.map(|mask| mask.values::<i64>().expect("a mask"));
        let row: usize = expected.shape().iter().skip(2).product();
        for (at, (a, b)) in floats(found).iter().zip(floats(expected)).enumerate() {
            if keep.is_none_or(|keep| keep[at / row] == 1) {
                largest = largest.max((a - b).abs() / b.abs().max(1.0));
            }
        }
    }
    largest
}
