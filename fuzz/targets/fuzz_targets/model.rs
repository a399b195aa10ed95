//! Reads bytes as a model, writes it, reads it again, and writes the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_ir::{Model, check};
use netwright_onnx::{ReadError, ReadOptions, read, to_bytes};

fn read_bytes(bytes: &[u8]) -> Result<Model, ReadError> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("it is written");
    read(file.path(), &ReadOptions::default())
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = read_bytes(bytes) else { return };
    check(&model.graph).expect("a graph that is read is valid");
    let Ok(written) = to_bytes(&model) else { return };
    let again = read_bytes(&written).expect("what is written can be read");
    assert_eq!(to_bytes(&again).expect("it can be written again"), written);
});
