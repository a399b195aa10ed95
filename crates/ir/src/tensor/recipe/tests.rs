//! Recipes give the same elements as a whole and in blocks.

use super::*;
use crate::tensor::{BlockFormat, Rounding};

fn f32s(tensor: &Tensor) -> Vec<f32> {
    let bytes = tensor.to_bytes().expect("it is small");
    bytes.as_chunks::<4>().0.iter().map(|element| f32::from_le_bytes(*element)).collect()
}

fn counting(dims: &[u64]) -> Tensor {
    let count = dims.iter().product::<u64>();
    let bytes: Vec<u8> = (0..count).flat_map(|at| (at as f32).to_le_bytes()).collect();
    Tensor::from_bytes(ElementType::F32, dims, bytes).expect("the length fits")
}

/// Integers whose bytes differ.
fn words(dims: &[u64]) -> Tensor {
    let count = u32::try_from(dims.iter().product::<u64>()).expect("it is small");
    let bytes: Vec<u8> = (0..count).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    Tensor::from_bytes(ElementType::I32, dims, bytes).expect("the length fits")
}

fn eighths(dims: &[u64]) -> Tensor {
    let bytes = words(&[dims.iter().product::<u64>() / 4]).to_bytes().expect("it is small");
    // Without NaN.
    let bytes: Vec<u8> = bytes.iter().map(|bits| bits & 0xfe).collect();
    Tensor::from_bytes(ElementType::F8E4M3FN, dims, bytes).expect("the length fits")
}

/// The first, second and last integer of a type of at most 8 bits.
fn codes(element: ElementType) -> Tensor {
    let bytes = match element.bits() {
        2 => vec![0b11_01_00],
        4 => vec![0x10, 0x0f],
        _ => vec![0, 1, 0xff],
    };
    Tensor::from_bytes(element, &[3], bytes).expect("the length fits")
}

fn halves(dims: &[u64]) -> Tensor {
    counting(dims).cast(ElementType::BF16).expect("both are floats")
}

#[test]
fn blocks_agree_with_the_whole() {
    let counting = counting(&[3, 37, 41]);
    let tensors = [
        Tensor::random(7, Distribution::Uniform { bound: 0.5 }, &[50, 30]).unwrap(),
        Tensor::sinusoidal(Wave::Interleaved, 20, 64).unwrap(),
        Tensor::sinusoidal(Wave::Halves, 20, 64).unwrap(),
        Tensor::fill(0.25, &[11]).unwrap(),
        counting.scaled(0.5).unwrap(),
        counting.transposed().unwrap(),
        counting.transposed().unwrap().scaled(3.0).unwrap().transposed().unwrap(),
        counting.cast(ElementType::F64).unwrap().cast(ElementType::F32).unwrap(),
        Tensor::sinusoidal(Wave::Halves, 20, 64).unwrap().reshaped(&[1280]).unwrap(),
        Tensor::concatenated(&[counting.clone(), counting.scaled(2.0).unwrap()]).unwrap(),
        words(&[6, 50]).unpacked([0, 4, 1, 5, 2, 6, 3, 7], 1).unwrap(),
        words(&[6, 50]).unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0).unwrap(),
        eighths(&[44, 32]).scaled_by_tiles(&halves(&[4, 5]), [12, 7], ElementType::F32).unwrap(),
        eighths(&[44, 32]).scaled_by_tiles(&halves(&[44, 1]), [1, 32], ElementType::BF16).unwrap(),
        words(&[24, 11]).with_rows_interleaved(2, 3).unwrap(),
        halves(&[40, 50]).plus_low_rank(&halves(&[40, 3]), &halves(&[3, 50]), 0.5).unwrap(),
        halves(&[40, 50]).plus_low_rank(&halves(&[40, 3]), &halves(&[3, 50]), 0.5).unwrap().transposed().unwrap(),
        counting.rows(0..2).unwrap(),
        counting.rows(1..3).unwrap(),
        halves(&[40, 50]).expecting_no_infinity().unwrap(),
        counting.reshaped(&[111, 41]).unwrap().transposed().unwrap().rows(12..41).unwrap(),
        words(&[12, 8]).unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0).unwrap().with_rows_interleaved(3, 2).unwrap(),
    ];
    agree(&tensors, [4, 44, 1000]);
}

/// Checks that tensors read in blocks of these sizes are those read as a whole.
fn agree<const N: usize>(tensors: &[Tensor], blocks: [usize; N]) {
    for tensor in tensors {
        let whole = tensor.to_bytes().unwrap();
        for block in blocks {
            let mut parts = vec![0; whole.len()];
            for (at, part) in parts.chunks_mut(block).enumerate() {
                tensor.read((at * block * 8) as u64 / u64::from(tensor.element.bits()), part).unwrap();
            }
            assert_eq!(parts, whole, "{tensor:?} by {block}");
        }
    }
}

/// Tensors of more bytes than are computed at once: each later piece begins where the one before ends.
#[test]
fn large_blocks_agree_with_the_whole() {
    use ElementType::{F16, F32, F64, U4, U8};
    let columns = 300_000;
    let numbers = words(&[2, columns]);
    let bytes = Tensor::from_bytes(U8, &[2, 4 * columns], numbers.to_bytes().unwrap()).unwrap();
    let random = Tensor::random(7, Distribution::Uniform { bound: 0.5 }, &[1, columns]).unwrap();
    let tensors = [
        random.cast(F64).unwrap(),
        random.cast(F16).unwrap().cast(F32).unwrap(),
        numbers.with_rows_interleaved(2, 1).unwrap(),
        Tensor::concatenated(&[random.clone(), random.scaled(2.0).unwrap()]).unwrap(),
        random.plus_low_rank(&Tensor::fill(0.5, &[1, 1]).unwrap(), &random, 1.0).unwrap(),
    ];
    agree(&tensors, [1 << 19]);
    // A block need not begin with a whole integer of eight codes.
    let codes = [bytes.cast(U4).unwrap(), numbers.unpacked([0, 4, 1, 5, 2, 6, 3, 7], 1).unwrap()];
    agree(&codes, [1 << 19, (1 << 20) + 1001]);
}

/// Small ones: this takes no time.
#[test]
fn small_blocks_agree_with_the_whole() {
    use ElementType::{BF16, F16, F32, F64};
    let counting = counting(&[2, 3, 5]);
    let matrix = halves(&[4, 5]);
    let sum = matrix.plus_low_rank(&halves(&[4, 3]), &halves(&[3, 5]), 0.5).unwrap();
    let blocks = Tensor::from_bytes(ElementType::U8, &[17, 144], words(&[612]).to_bytes().unwrap()).unwrap();
    let blocks = blocks.reshaped(&[1, 72 * 34]).unwrap();
    let mut tensors = vec![
        Tensor::random(7, Distribution::Uniform { bound: 0.5 }, &[7, 3]).unwrap(),
        Tensor::sinusoidal(Wave::Interleaved, 3, 8).unwrap(),
        Tensor::sinusoidal(Wave::Halves, 3, 8).unwrap(),
        Tensor::concatenated(&[counting.clone(), counting.scaled(2.0).unwrap(), counting.clone()]).unwrap(),
        words(&[2, 3]).unpacked([0, 4, 1, 5, 2, 6, 3, 7], 1).unwrap(),
        words(&[2, 3]).unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0).unwrap(),
        eighths(&[11, 8]).scaled_by_tiles(&halves(&[4, 3]), [3, 3], F32).unwrap(),
        eighths(&[11, 8]).scaled_by_tiles(&halves(&[11, 1]), [1, 8], BF16).unwrap(),
        nibbles(&[5, 7]).dequantized_by_groups(halves(&[5, 3]), None, thirds(7)).unwrap(),
        nibbles(&[4, 9]).dequantized_by_groups(halves(&[4, 3]), Some(halves(&[4, 3])), thirds(9)).unwrap(),
        words(&[12, 3]).with_rows_interleaved(2, 3).unwrap(),
        words(&[12, 1]).unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0).unwrap().with_rows_interleaved(3, 2).unwrap(),
        sum.transposed().unwrap(),
        sum,
        counting.rows(1..2).unwrap(),
        eighths(&[16]).reinterpreted(ElementType::U4, &[32]).unwrap().offset().unwrap(),
        Tensor::from_bytes(ElementType::U4, &[33], vec![7; 17]).unwrap().offset().unwrap(),
        blocks.ggml_part(GgmlFormat::Q8_0, GgmlPart::Codes).unwrap(),
        blocks.ggml_part(GgmlFormat::Q8_0, GgmlPart::Scales).unwrap(),
        blocks.reshaped(&[17, 144]).unwrap().ggml_part(GgmlFormat::Q4_K, GgmlPart::Floats).unwrap(),
    ];
    for element in [F32, F16, BF16, F64] {
        let cast = counting.cast(element).unwrap();
        tensors.extend([cast.scaled(0.5).unwrap(), cast.transposed().unwrap()]);
        for to in [F32, F16, BF16, F64] {
            tensors.push(cast.cast(to).unwrap().reshaped(&[30]).unwrap());
        }
    }
    agree(&tensors, [8, 24, 32]);
}

#[test]
fn codes_are_unpacked_from_their_places() {
    let word = Tensor::from_bytes(ElementType::I32, &[1], 0x7654_3210_u32.to_le_bytes().to_vec()).unwrap();
    for (order, plus, expected) in [
        ([0, 1, 2, 3, 4, 5, 6, 7], 0, [0, 1, 2, 3, 4, 5, 6, 7]),
        ([0, 4, 1, 5, 2, 6, 3, 7], 0, [0, 4, 1, 5, 2, 6, 3, 7]),
        ([7, 6, 5, 4, 3, 2, 1, 0], 10, [1, 0, 15, 14, 13, 12, 11, 10]),
    ] {
        let codes = word.unpacked(order, plus).unwrap().cast(ElementType::U8).unwrap();
        assert_eq!(codes.integers(), Some(expected.to_vec()), "{order:?} {plus}");
    }
}

#[test]
fn every_float_of_8_bits_is_decoded() {
    let all = Tensor::from_bytes(ElementType::F8E4M3FN, &[1, 256], (0..=255).collect::<Vec<u8>>()).unwrap();
    let one = Tensor::fill(2.0, &[1, 1]).unwrap();
    let found = f32s(&all.scaled_by_tiles(&one, [1, 256], ElementType::F32).unwrap());
    for (bits, expected) in
        [(0, 0.0), (1, 2_f32.powi(-9)), (7, 7.0 / 512.0), (8, 2_f32.powi(-6)), (0x38, 1.0), (0x7e, 448.0)]
    {
        assert_eq!((found[bits], found[bits + 128]), (2.0 * expected, -2.0 * expected), "{bits:#x}");
    }
    assert!(found[0x7f].is_nan() && found[0xff].is_nan());
    let ones = Tensor::from_bytes(ElementType::F8E4M3FN, &[3, 4], vec![0x38; 12]).unwrap();
    let tiles = f32s(&ones.scaled_by_tiles(&counting(&[2, 2]), [2, 2], ElementType::F32).unwrap());
    assert_eq!(tiles, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    let wide = Tensor::from_bytes(ElementType::F8E5M2, &[1, 3], vec![0x3c, 0xc4, 0x7b]).unwrap();
    let found = f32s(&wide.scaled_by_tiles(&one, [1, 4], ElementType::F32).unwrap());
    assert_eq!(found, [2.0, -8.0, 114_688.0]);
}

/// Codes of 4 bits.
fn nibbles(dims: &[u64]) -> Tensor {
    let count = dims.iter().product::<u64>().div_ceil(2);
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().zip(0..count).map(|(at, _)| at.wrapping_mul(37)).collect();
    Tensor::from_bytes(ElementType::U4, dims, bytes).unwrap()
}

/// The groups of columns: each third one is in the same.
fn thirds(columns: u64) -> Vec<u64> {
    (0..columns).map(|column| column % 3).collect()
}

#[test]
fn columns_in_groups_have_a_scale_and_a_zero_point() {
    let codes = Tensor::from_bytes(ElementType::U4, &[2, 3], vec![0x81, 0xf0, 0x42]).unwrap();
    let scales = Tensor::concatenated(&[Tensor::fill(2.0, &[2, 1]).unwrap(), Tensor::fill(0.5, &[2, 1]).unwrap()]);
    let scales = scales.unwrap();
    let found = codes.dequantized_by_groups(scales.clone(), None, vec![1, 0, 1]).unwrap();
    assert_eq!(f32s(&found), [-3.5, 0.0, -4.0, 3.5, -12.0, -2.0]);
    let zeros = Some(counting(&[2, 2]).scaled(0.5).unwrap());
    let found = codes.dequantized_by_groups(scales, zeros, vec![1, 0, 1]).unwrap();
    assert_eq!(f32s(&found), [0.25, 16.0, -0.25, 6.75, 2.0, 1.25]);
}

#[test]
fn rows_are_interleaved_in_groups() {
    let found = f32s(&counting(&[12, 1]).with_rows_interleaved(2, 3).unwrap());
    assert_eq!(found, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
}

#[test]
fn rows_stand_side_by_side() {
    let [a, b] = [[2, 1], [2, 3]].map(|dims| counting(&dims));
    let both = Tensor::concatenated(&[a, b]).unwrap();
    assert_eq!((both.dims(), f32s(&both)), (&[2, 4][..], vec![0.0, 0.0, 1.0, 2.0, 1.0, 3.0, 4.0, 5.0]));
}

#[test]
fn transposing_in_strips_equals_transposing_whole() {
    // 9 MiB, above the limit for reading a matrix whole.
    let tensor = Tensor::random(1, Distribution::Uniform { bound: 1.0 }, &[1024, 2300]).unwrap();
    let (plain, turned) = (f32s(&tensor), f32s(&tensor.transposed().unwrap()));
    for (row, column) in [(0, 0), (1, 0), (0, 1), (1023, 2299), (512, 77)] {
        assert_eq!(plain[row * 2300 + column].to_bits(), turned[column * 1024 + row].to_bits());
    }
    let matrices = counting(&[2, 2, 3]).transposed().unwrap();
    assert_eq!(f32s(&matrices), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
}

#[test]
fn random_elements_are_uniform_and_distinct() {
    let sample = f32s(&Tensor::random(3, Distribution::Uniform { bound: 2.0 }, &[100_000]).unwrap());
    let mean = sample.iter().sum::<f32>() / 100_000.0;
    let variance = sample.iter().map(|x| x * x).sum::<f32>() / 100_000.0;
    assert!(mean.abs() < 0.02, "{mean}");
    assert!((variance - 4.0 / 3.0).abs() < 0.02, "{variance}");
    assert!(sample.iter().all(|x| x.abs() <= 2.0));
    // Those of SplitMix64, which another program computed.
    let pinned = Tensor::random(7, Distribution::Uniform { bound: 8_388_608.0 }, &[4]).unwrap();
    assert_eq!(f32s(&pinned), [4_342_803.0, 3_283_944.0, -3_654_551.0, -4_432_792.0]);
    let other = f32s(&Tensor::random(4, Distribution::Uniform { bound: 2.0 }, &[100_000]).unwrap());
    let alike = sample.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(alike < 5, "{alike} elements are alike under two seeds");
}

#[test]
fn sinusoidal_as_in_the_paper() {
    let table = f32s(&Tensor::sinusoidal(Wave::Interleaved, 3, 4).unwrap());
    let halves = f32s(&Tensor::sinusoidal(Wave::Halves, 2, 4).unwrap());
    for (table, expected) in [
        (&table, [0.0, 1.0, 0.0, 1.0, 1f32.sin(), 1f32.cos(), 0.01f32.sin(), 0.01f32.cos()]),
        (&halves, [0.0, 0.0, 1.0, 1.0, 1f32.sin(), 1e-4_f32.sin(), 1f32.cos(), 1e-4_f32.cos()]),
    ] {
        for (found, expected) in table.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }
    let grouped = f32s(&Tensor::sinusoidal(Wave::Grouped, 3, 4).unwrap());
    assert_eq!(grouped[4..8], [table[4], table[6], table[5], table[7]]);
}

#[test]
fn inapplicable_recipes_are_errors() {
    const LOW_RANK: &str =
        "low_rank does not apply to bf16[1, 2]: the factors do not have its rows and columns, and one rank";
    let indices = Tensor::indices(&[1, 2]);
    let sixes = Tensor::from_bytes(ElementType::F6E2M3, &[1, 4], vec![0; 3]).unwrap();
    let texts = Tensor::from_strings(&[1, 1], vec!["a".into()]).unwrap();
    let cases = [
        (indices.scaled(2.0), "scale does not apply to i64[2]: its elements are not f32, f16, bf16 or f64"),
        (Tensor::concatenated(&[]), "concat does not apply to i64[0]: there are no tensors"),
        (
            Tensor::concatenated(&[counting(&[2, 2]), counting(&[3, 2])]),
            "concat does not apply to f32[3, 2]: its type or another axis differs from that of the first tensor",
        ),
        (indices.transposed(), "transpose does not apply to i64[2]: it has fewer than two axes"),
        (
            Tensor::sinusoidal(Wave::Interleaved, 2, 3),
            "sinusoidal does not apply to f32[2, 3]: the width must be even, and at least 4 in halves",
        ),
        (
            indices.unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0),
            "unpack does not apply to i64[2]: its elements are not integers of 32 bits",
        ),
        (
            words(&[2]).unpacked([0, 1, 2, 3, 4, 5, 6, 6], 0),
            "unpack does not apply to i32[2]: the order is not a permutation of 0 to 7",
        ),
        (
            eighths(&[4, 4]).scaled_by_tiles(&halves(&[2, 1]), [2, 2], ElementType::F32),
            "tiles does not apply to bf16[2, 1]: the scales must be one f32, f16 or bf16 for each tile",
        ),
        (
            eighths(&[4, 4]).scaled_by_tiles(
                &counting(&[2, 2]).cast(ElementType::F64).unwrap(),
                [2, 2],
                ElementType::F32,
            ),
            "tiles does not apply to f64[2, 2]: the scales must be one f32, f16 or bf16 for each tile",
        ),
        (
            eighths(&[4, 4]).scaled_by_tiles(&words(&[2, 2]), [2, 2], ElementType::F32),
            "tiles does not apply to i32[2, 2]: the scales must be one f32, f16 or bf16 for each tile",
        ),
        (
            eighths(&[4, 4]).scaled_by_tiles(&halves(&[2, 2]), [0, 2], ElementType::F32),
            "tiles does not apply to f8e4m3fn[4, 4]: a tile has no elements",
        ),
        (
            nibbles(&[2, 2]).dequantized_by_groups(halves(&[2, 2]), None, vec![0, 2]),
            "groups does not apply to u4[2, 2]: each of its columns must be in a group that has a scale",
        ),
        (
            nibbles(&[2, 2]).dequantized_by_groups(halves(&[2, 2]), Some(words(&[2, 2])), vec![0, 1]),
            "groups does not apply to i32[2, 2]: the zero points must be one f32, f16 or bf16 for each scale",
        ),
        (
            counting(&[4, 2]).with_rows_interleaved(0, 1),
            "interleave does not apply to f32[4, 2]: its rows are not whole groups",
        ),
        (
            counting(&[4, 2]).with_rows_interleaved(3, 1),
            "interleave does not apply to f32[4, 2]: its rows are not whole groups",
        ),
        (halves(&[1, 2]).plus_low_rank(&halves(&[2, 3]), &halves(&[3, 2]), 1.0), LOW_RANK),
        (halves(&[1, 2]).plus_low_rank(&halves(&[1, 3]), &halves(&[3, 1]), 1.0), LOW_RANK),
        (halves(&[1, 2]).plus_low_rank(&halves(&[1, 3]), &halves(&[4, 2]), 1.0), LOW_RANK),
        (
            Tensor::fill_with(ElementType::F32, vec![0; 3], &[2]),
            "fill does not apply to f32[2]: its bytes are not those of one element",
        ),
        (
            Tensor::fill_with(ElementType::String, vec![], &[2]),
            "fill does not apply to string[2]: its bytes are not those of one element",
        ),
        (
            Tensor::sinusoidal(Wave::Halves, 2, 2),
            "sinusoidal does not apply to f32[2, 2]: the width must be even, and at least 4 in halves",
        ),
        (sixes.transposed(), "transpose does not apply to f6e2m3[1, 4]: its elements are not whole bytes"),
        (texts.transposed(), "transpose does not apply to string[1, 1]: its elements are not whole bytes"),
        (
            Tensor::concatenated(std::slice::from_ref(&sixes)),
            "concat does not apply to f6e2m3[1, 4]: its elements are not whole bytes",
        ),
        (
            Tensor::concatenated(std::slice::from_ref(&texts)),
            "concat does not apply to string[1, 1]: its elements are not whole bytes",
        ),
        (
            Tensor::concatenated(&[codes(ElementType::U4), codes(ElementType::I4)]),
            "concat does not apply to u4[3]: its elements are not whole bytes",
        ),
        (Tensor::fill(0.0, &[u64::MAX, 2]), "a tensor of f32[18446744073709551615, 2] is larger than any file"),
    ];
    for (made, expected) in cases {
        assert_eq!(made.map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
}

#[test]
fn halves_are_rounded_once() {
    // Just above the middle of two numbers, in the last bit of an f32 and of an f64.
    for (to, unit) in [(ElementType::BF16, 2_f64.powi(-7)), (ElementType::F16, 2_f64.powi(-10))] {
        let middle = 1.0 + unit / 2.0;
        #[expect(clippy::cast_possible_truncation, reason = "the middle is exact")]
        let next = f64::from(f32::from_bits((middle as f32).to_bits() + 1));
        for (value, expected) in [
            (middle, 1.0),
            (next, 1.0 + unit),
            (f64::from_bits(middle.to_bits() + 1), 1.0 + unit),
            (f64::from_bits(middle.to_bits() - 1), 1.0),
            // The f32 that is next to it toward zero is odd.
            (f64::from_bits(next.to_bits() + 1), 1.0 + unit),
            (-next, -1.0 - unit),
            (1e300, f64::INFINITY),
        ] {
            let tensor = Tensor::from_bytes(ElementType::F64, &[1], value.to_le_bytes().to_vec()).unwrap();
            assert_eq!(tensor.cast(to).unwrap().floats(), Some(vec![expected]), "{value:?} as {to}");
        }
    }
}

#[test]
fn halves_round_to_nearest_even() {
    let tensor = Tensor::from_bytes(ElementType::F32, &[1], 1.000_488_3f32.to_le_bytes().to_vec()).unwrap();
    let cast = tensor.cast(ElementType::F16).unwrap();
    assert_eq!(cast.floats(), Some(vec![1.0]));
}

#[test]
fn magnitudes_are_found_in_any_order_of_the_elements() {
    let counting = counting(&[37, 41]);
    let negative = counting.scaled(-2.0).unwrap();
    let format = BlockFormat { bits: 4, size: 32, symmetric: true };
    let quantized = counting.quantized(format, Rounding::Nearest, ElementType::F16).unwrap();
    let tensors = [
        negative.clone(),
        negative.transposed().unwrap(),
        halves(&[37, 41]).transposed().unwrap().cast(ElementType::F32).unwrap(),
        counting.cast(ElementType::F64).unwrap().cast(ElementType::F16).unwrap(),
        Tensor::concatenated(&[counting.transposed().unwrap(), negative.transposed().unwrap()]).unwrap(),
        // Their transposes transpose back.
        halves(&[40, 50]).plus_low_rank(&halves(&[40, 3]), &halves(&[3, 50]), 0.5).unwrap(),
        quantized.scales().clone(),
        quantized.scales().cast(ElementType::F32).unwrap(),
    ];
    for tensor in tensors {
        let elements = f32s(&tensor.cast(ElementType::F32).unwrap());
        let largest = elements.into_iter().map(f32::abs).fold(0.0, f32::max);
        assert_eq!(tensor.magnitude().unwrap(), f64::from(largest), "{}", tensor.ty());
    }
    // Several threads scan a large tensor.
    let large = Tensor::random(1, Distribution::Uniform { bound: 1.0 }, &[1100, 1000]).unwrap();
    let largest = f32s(&large).into_iter().map(f32::abs).fold(0.0, f32::max);
    assert_eq!(large.magnitude().unwrap(), f64::from(largest));
    let infinite = Tensor::fill(f32::INFINITY, &[37, 41]).unwrap().transposed().unwrap();
    let mixed = Tensor::concatenated(&[counting.transposed().unwrap(), infinite]).unwrap();
    assert_eq!(mixed.magnitude().unwrap(), f64::INFINITY);
    for tensor in [mixed.clone(), mixed.transposed().unwrap(), mixed.cast(ElementType::F64).unwrap()] {
        assert_eq!(tensor.finite_magnitude().unwrap(), f64::from(37 * 41 - 1), "{}", tensor.ty());
    }
}

#[test]
fn a_sum_of_low_rank_is_rounded_once() {
    let of = |element, bytes: Vec<f32>, dims: &[u64]| {
        let bytes: Vec<u8> = bytes.into_iter().flat_map(f32::to_le_bytes).collect();
        Tensor::from_bytes(ElementType::F32, dims, bytes).and_then(|tensor| tensor.cast(element)).expect("it fits")
    };
    let left = of(ElementType::F32, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
    let right = of(ElementType::F32, vec![1.0, -1.0, 0.5, 2.0], &[2, 2]);
    let base = of(ElementType::F32, vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0], &[3, 2]);
    // The products are [2, 3], [5, 5] and [8, 7].
    let sum = base.plus_low_rank(&left, &right, 0.5).expect("the shapes fit");
    assert_eq!(f32s(&sum), [11.0, 21.5, 32.5, 42.5, 54.0, 63.5]);
    assert_eq!(f32s(&sum.transposed().expect("a matrix")), [11.0, 32.5, 54.0, 21.5, 42.5, 63.5]);
    // 256 + 0.5 * 3 is between 256 and 258 in bf16; each product alone would be lost.
    let base = of(ElementType::BF16, vec![256.0; 6], &[3, 2]);
    let sum = base.plus_low_rank(&left, &right, 0.5).expect("the shapes fit").cast(ElementType::F32).expect("floats");
    assert_eq!(f32s(&sum), [256.0, 258.0, 258.0, 258.0, 260.0, 260.0]);
    let refused = base.plus_low_rank(&right, &left, 0.5).expect_err("the factors are swapped").to_string();
    assert!(refused.contains("one rank"), "{refused}");
}

#[test]
fn rows_are_a_part() {
    let counting = counting(&[4, 3]);
    assert_eq!(f32s(&counting.rows(0..2).unwrap()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(f32s(&counting.transposed().unwrap().rows(1..3).unwrap()), [1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0]);
    assert_eq!(counting.rows(0..4).unwrap(), counting);
    assert!(counting.rows(2..2).unwrap().is_empty());
    let codes = words(&[4, 1]).unpacked([0, 1, 2, 3, 4, 5, 6, 7], 0).unwrap();
    for (tensor, rows) in [(&counting, 0..5), (&counting.reshaped(&[3, 4]).unwrap(), 3..4), (&codes, 0..1)] {
        assert!(tensor.rows(rows).is_err(), "{tensor:?}");
    }
    assert!(Tensor::fill(1.0, &[]).unwrap().rows(0..0).is_err());
}

#[test]
fn numbers_that_a_narrower_type_does_not_hold_are_found_while_they_are_read() {
    for (to, held, lost) in [
        (ElementType::F16, 65519.0, 65520.0),
        (ElementType::BF16, f32::from_bits(0x7f7f_7fff), f32::MAX),
        (ElementType::F32, f32::MAX, f32::INFINITY),
    ] {
        for (number, is_held) in [(held, true), (-held, true), (lost, false), (-lost, false), (f32::NAN, true)] {
            let bytes = [1.0, number, number].into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
            let tensor = Tensor::from_bytes(ElementType::F32, &[1, 3], bytes).unwrap();
            let cast = tensor.transposed().unwrap().cast(to).unwrap();
            for tensor in
                [cast.expecting_no_infinity().unwrap(), cast.expecting_no_infinity().unwrap().transposed().unwrap()]
            {
                let found = tensor.to_bytes();
                assert_eq!(found.is_ok(), is_held, "{number} in {to}: {found:?}");
                if let Err(error) = found {
                    assert!(error.to_string().contains("infinite"), "{error}");
                }
            }
        }
    }
    assert!(Tensor::indices(&[1]).expecting_no_infinity().is_err());
}

#[test]
fn integers_are_counted_from_the_smallest() {
    use ElementType::{I2, I4, I8, U2, U4, U8};
    for (from, to, unused) in [(I2, U2, 0xc0), (U2, I2, 0xc0), (I4, U4, 0xf0), (U4, I4, 0xf0), (I8, U8, 0), (U8, I8, 0)]
    {
        let codes = codes(from);
        let offset = codes.offset().unwrap();
        assert_eq!(offset.element(), to);
        let whole =
            |tensor: &Tensor| tensor.cast(widened(tensor.element()).unwrap_or(tensor.element())).unwrap().integers();
        let half = 1 << (from.bits() - 1);
        let sign = if matches!(from, I2 | I4 | I8) { 1 } else { -1 };
        let expected = whole(&codes).unwrap().into_iter().map(|code| code + sign * half).collect();
        assert_eq!(whole(&offset), Some(expected), "{from}");
        assert_eq!(offset.offset().unwrap().to_bytes().unwrap(), codes.to_bytes().unwrap(), "{from}");
        assert_eq!(offset.to_bytes().unwrap().last().unwrap() & unused, 0, "{from}");
    }
}

/// What two recipes in a row leave.
#[test]
fn recipes_cancel() {
    let counting = counting(&[3, 4]);
    let turned = counting.transposed().unwrap();
    let fill = Tensor::fill(0.5, &[6]).unwrap();
    let scaled = counting.scaled(2.0).unwrap();
    let sum = halves(&[4, 5]).plus_low_rank(&halves(&[4, 3]), &halves(&[3, 5]), 0.5).unwrap();
    for (found, expected) in [
        (turned.transposed(), counting.clone()),
        (turned.scaled(2.0).unwrap().transposed(), scaled.clone()),
        (turned.cast(ElementType::F16).unwrap().transposed(), counting.cast(ElementType::F16).unwrap()),
        (turned.expecting_no_infinity().unwrap().transposed(), counting.expecting_no_infinity().unwrap()),
        (
            sum.transposed(),
            halves(&[4, 5])
                .transposed()
                .unwrap()
                .plus_low_rank(&halves(&[3, 5]).transposed().unwrap(), &halves(&[4, 3]).transposed().unwrap(), 0.5)
                .unwrap(),
        ),
        (sum.transposed().unwrap().transposed(), sum),
        (codes(ElementType::U4).cast(ElementType::U8).unwrap().cast(ElementType::U4), codes(ElementType::U4)),
        (fill.reshaped(&[2, 3]), Tensor::fill(0.5, &[2, 3]).unwrap()),
        (scaled.reshaped(&[2, 6]).unwrap().reshaped(&[3, 4]), scaled.clone()),
        (scaled.reshaped(&[2, 6]).unwrap().reshaped(&[12]), scaled.reshaped(&[12]).unwrap()),
    ] {
        assert_eq!(found.unwrap(), expected);
    }
    // Rounding does not cancel.
    let narrow = Tensor::fill(0.1, &[1]).unwrap().cast(ElementType::F16).unwrap();
    assert_ne!(f32s(&narrow.cast(ElementType::F32).unwrap()), [0.1]);
    // Columns side by side become rows one below the other, but not in three axes.
    for dims in [&[3, 4][..], &[2, 3, 4]] {
        let turned = Tensor::transposed(&super::tests::counting(dims)).unwrap();
        let both = Tensor::concatenated(&[turned.clone(), turned]).unwrap();
        let back = both.transposed().unwrap();
        let is_transposed = matches!(back.data(), Data::Recipe(recipe) if matches!(**recipe, Recipe::Transpose(_)));
        assert_eq!(is_transposed, dims.len() == 3);
        let whole = Tensor::from_bytes(ElementType::F32, both.dims(), both.to_bytes().unwrap().to_vec()).unwrap();
        assert_eq!(f32s(&back), f32s(&whole.transposed().unwrap()), "{dims:?}");
    }
    assert_eq!(f32s(&scaled), (0..12).map(|at| at as f32 * 2.0).collect::<Vec<_>>());
    let fours = Tensor::concatenated(&[codes(ElementType::U4), codes(ElementType::U4)]).unwrap();
    assert_eq!(fours.cast(ElementType::U8).unwrap().integers(), Some(vec![0, 1, 15, 0, 1, 15]));
    let half = counting.cast(ElementType::F16).unwrap().scaled(0.5).unwrap().cast(ElementType::F32).unwrap();
    assert_eq!(f32s(&half), (0..12).map(|at| at as f32 / 2.0).collect::<Vec<_>>());
    let nothing = super::tests::counting(&[2, 0]);
    assert!(Tensor::concatenated(&[nothing.clone(), nothing]).unwrap().to_bytes().unwrap().is_empty());
}

/// A thread computes the bytes that come from one block of what a recipe reads.
#[test]
fn blocks_that_threads_compute() {
    use ElementType::{F16, F32, F64, U8};
    let fill = |element: ElementType, dims: &[u64]| {
        Tensor::fill_with(element, vec![0; element.bits() as usize / 8], dims).unwrap()
    };
    let (floats, halves) = (fill(F32, &[8, 64]), fill(F16, &[8, 64]));
    let format = BlockFormat { bits: 8, size: 16, symmetric: true };
    let quantized = Quantized::from_parts(fill(U8, &[8, 64]).offset().unwrap(), fill(F32, &[8, 4]), None, format);
    for (tensor, expected) in [
        (floats.cast(F16), BLOCK / 2),
        (halves.cast(F64), 4 * BLOCK),
        (halves.cast(F32).unwrap().scaled(2.0), 2 * BLOCK),
        (
            eighths(&[8, 64]).scaled_by_tiles(&floats.rows(0..1).unwrap().reshaped(&[8, 8]).unwrap(), [1, 8], F64),
            8 * BLOCK,
        ),
        (quantized.unwrap().dequantized(F32), 4 * BLOCK),
        (Tensor::concatenated(&[halves.cast(F64).unwrap(), fill(F64, &[8, 1])]), 5 * BLOCK),
        // A strip is at least a block, and 16 MiB of long columns.
        (floats.transposed(), BLOCK),
        (fill(F32, &[1 << 17, 100]).transposed(), 1 << 24),
    ] {
        let tensor = tensor.unwrap();
        assert_eq!(tensor.block(), expected, "{tensor:?}");
    }
}
