//! Reads bytes as a GGUF file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_nn::{Part, Pretrained, PretrainedOptions};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("it is written");
    for dequantize in [false, true] {
        let Ok(model) = Pretrained::open(&path, &PretrainedOptions::default().with_dequantize(dequantize)) else { continue };
        _ = model.build(Part::Whole, false);
    }
});
