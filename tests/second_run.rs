//! A second `optimize` changes no byte, with or without a conversion to f16: exports, models of users, and generated
//! models that once were optimized wrongly.

#[path = "common/mod.rs"]
mod common;

use netwright::ir::ElementType;
use netwright::onnx::{self, ReadOptions};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

fn check(folder: &str, count: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder of models");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let paths = paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    let paths = Mutex::new(paths.collect::<Vec<_>>());
    assert_eq!(paths.lock().expect("nothing panicked").len(), count, "each model is one of those that are counted on");
    let work = || {
        while let Some(path) = { paths.lock().expect("nothing panicked").pop() } {
            let model = onnx::read(&path, &ReadOptions::default());
            let model = model.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for to in [None, Some(ElementType::F16)] {
                let is_written = common::check_second_run_in(&path.display().to_string(), &model, to);
                assert!(is_written, "{} is not written", path.display());
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
}

#[test]
fn of_exports() {
    check("tests/interop/models", 44);
}

#[test]
fn of_models_of_users() {
    check("tests/interop/user_models", 40);
}

#[test]
fn of_generated_models() {
    check("fuzz/found", 40);
}
