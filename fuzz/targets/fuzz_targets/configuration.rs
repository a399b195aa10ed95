//! Reads bytes as the `config.json` of a folder whose tensors are missing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_nn::{Part, Pretrained, PretrainedOptions};

/// A safetensors file without tensors.
const NO_TENSORS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("config.json"), bytes).expect("it is written");
    std::fs::write(folder.path().join("model.safetensors"), NO_TENSORS).expect("it is written");
    let Ok(model) = Pretrained::open(folder.path(), &PretrainedOptions::default()) else { return };
    _ = model.build(Part::Whole, false);
});
