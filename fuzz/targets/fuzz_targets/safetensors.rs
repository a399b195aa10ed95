//! Reads bytes as safetensors, and reads every tensor.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_nn::Weights;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("it is written");
    let Ok(Weights::Trained(tensors)) = Weights::open(&path) else { return };
    for tensor in tensors.values() {
        _ = tensor.to_bytes();
    }
});
