//! Reads bytes as a file of `torch.save`: as an archive, as the older format, and as the pickle in an archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_nn::Weights;

/// An archive with one entry, which is the pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let size = u32::try_from(pickle.len()).unwrap_or(u32::MAX).to_le_bytes();
    let name = b"m/data.pkl";
    let middle = [&[0; 12][..], &size, &size, &[10, 0, 0, 0]].concat();
    let data = [&b"PK\x03\x04\0\0"[..], &middle, name, pickle].concat();
    let directory = [&b"PK\x01\x02\0\0\0\0"[..], &middle, &[0; 14], name].concat();
    let [size, start] = [directory.len(), data.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &size, &start, &[0; 2]].concat();
    [data, directory, end].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pytorch_model.bin");
    for bytes in [bytes.to_vec(), archive(bytes)] {
        std::fs::write(&path, bytes).expect("it is written");
        let Ok(Weights::Trained(tensors)) = Weights::open(&path) else { continue };
        for tensor in tensors.values() {
            _ = tensor.to_bytes();
        }
    }
});
