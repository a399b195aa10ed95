//! Rounding to nearest gives what ONNX Runtime's weight-only quantizer gives, bit for bit.

use netwright_ir::tensor::{BlockFormat, Rounding};
use netwright_ir::{ElementType, Tensor, fingerprint};

/// The cases, which `tests/interop/make_blocks.py` makes.
const CASES: &str = include_str!("nearest.txt");

const ROWS: u64 = 16;

/// The weights `[ROWS, width]` that the script generates: sums of hashes, with rows of zeros and others.
fn weights(width: u64) -> Tensor {
    let number = |at: u64| {
        let hashed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let [a, b, c, d] = [hashed[4], hashed[5], hashed[6], hashed[7]].map(f32::from);
        let (row, column) = (at / width, at % width);
        match row % 8 {
            4 => 0.0,
            5 => -(row as f32),
            6 => (a + b - c - d).abs(),
            7 if column < width / 2 => 0.0,
            _ => a + b - c - d,
        }
    };
    let bytes: Vec<u8> = (0..ROWS * width).flat_map(|at| (number(at) / 1024.0).to_le_bytes()).collect();
    Tensor::from_bytes(ElementType::F32, &[ROWS, width], bytes).unwrap()
}

/// Hashes codes one in each byte, counted from the smallest.
fn hash_of_codes(codes: &Tensor) -> u64 {
    let signed = matches!(codes.element(), ElementType::I4 | ElementType::I8);
    let unsigned = if signed { codes.offset().unwrap() } else { codes.clone() };
    fingerprint(unsigned.cast(ElementType::U8).unwrap().to_bytes().unwrap())
}

#[test]
fn nearest_is_onnx_runtime_bit_for_bit() {
    for line in CASES.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [element, bits, size, symmetric, width, codes, scales, zeros @ ..] = &words[..] else { panic!("{line}") };
        let element: ElementType = element.parse().unwrap();
        let format = BlockFormat {
            bits: bits.parse().unwrap(),
            size: size.parse().unwrap(),
            symmetric: symmetric.parse().unwrap(),
        };
        let weights = weights(width.parse().unwrap()).cast(element).unwrap();
        let quantized = weights.quantized(format, Rounding::Nearest, element).unwrap();
        let mut found = vec![hash_of_codes(quantized.codes()), fingerprint(quantized.scales().to_bytes().unwrap())];
        found.extend(quantized.zeros().map(hash_of_codes));
        let found: Vec<String> = found.iter().map(|hash| format!("{hash:016x}")).collect();
        assert_eq!(found, [&[*codes, *scales], zeros].concat(), "{line}");
    }
    assert_eq!(CASES.lines().count(), 96);
}
