//! Reads bytes as the safetensors file of a folder with quantized weights, whose configuration is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_nn::{Part, Pretrained, PretrainedOptions};

const CONFIGURATIONS: [&str; 4] = [
    include_str!("../../../tests/quantized/gptq/config.json"),
    include_str!("../../../tests/quantized/awq/config.json"),
    include_str!("../../../tests/quantized/compressed_asymmetric/config.json"),
    include_str!("../../../tests/quantized/fp8_tiles/config.json"),
];

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.safetensors"), bytes).expect("it is written");
    for configuration in CONFIGURATIONS {
        std::fs::write(folder.path().join("config.json"), configuration).expect("it is written");
        for dequantize in [false, true] {
            let options = PretrainedOptions::default().with_dequantize(dequantize);
            let Ok(model) = Pretrained::open(folder.path(), &options) else { continue };
            _ = model.build(Part::Whole, false);
        }
    }
});
