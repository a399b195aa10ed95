//! Rounding to nearest: the codes of a block cover its range exactly, as in ONNX Runtime's weight-only quantizer
//! (`onnxruntime/core/mlas/lib/q4_dq.cpp`), bit for bit.

use super::BlockFormat;
use super::encode::Block;
use crate::ElementType;

/// The number of floats that are compared or summed at once.
pub(super) const LANES: usize = 8;

/// As many floats of a block; the compiler keeps them in vectors.
pub(super) type Lanes = [f32; LANES];

/// Combines lanes pairwise: in order, each step would wait for the one before it.
pub(super) fn fold(lanes: Lanes, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let half: [f32; LANES / 2] = std::array::from_fn(|lane| combine(lanes[lane], lanes[lane + LANES / 2]));
    combine(combine(half[0], half[2]), combine(half[1], half[3]))
}

/// Returns the smallest and the largest number of a block; `None` if one is infinite or NaN.
pub(super) fn range(block: &[f32]) -> Option<(f32, f32)> {
    let min = |a: f32, b: f32| if b < a { b } else { a };
    let max = |a: f32, b: f32| if b > a { b } else { a };
    let first = *block.first()?;
    let (mut least, mut most, mut wrong): (Lanes, Lanes, Lanes) = ([first; LANES], [first; LANES], [0.0; LANES]);
    let (all, rest) = block.as_chunks::<LANES>();
    for lanes in all {
        for (lane, x) in lanes.iter().enumerate() {
            least[lane] = min(least[lane], *x);
            most[lane] = max(most[lane], *x);
            // 0 for every finite number, NaN for others.
            wrong[lane] += x * 0.0;
        }
    }
    for x in rest {
        (least[0], most[0], wrong[0]) = (min(least[0], *x), max(most[0], *x), wrong[0] + x * 0.0);
    }
    (fold(wrong, |a, b| a + b) == 0.0).then(|| (fold(least, min), fold(most, max)))
}

/// Returns the numbers of a block with this range.
pub(super) fn choose((least, most): (f32, f32), format: BlockFormat, scale: ElementType) -> Block {
    if format.symmetric {
        // There is one more code on the side of the smallest: the larger side of the range goes there.
        let largest = if most.abs() > least.abs() { most } else { least };
        return Block { scale: round(-largest / f32::from(format.middle()), scale), zero: format.middle() };
    }
    let (least, most, codes) = (least.min(0.0), most.max(0.0), f32::from(format.largest()));
    let wide = (most - least) / codes;
    let zero = if wide == 0.0 { 0.0 } else { -least / wide };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the largest code")]
    let zero = zero.round().clamp(0.0, codes) as u8;
    Block { scale: round(wide, scale), zero }
}

/// Rounds a scale to its type.
pub(super) fn round(scale: f32, to: ElementType) -> f32 {
    match to {
        ElementType::F16 => half::f16::from_f32(scale).to_f32(),
        ElementType::BF16 => half::bf16::from_f32(scale).to_f32(),
        _ => scale,
    }
}

/// Sets the codes of a block, or of as much of it as there are places for.
pub(super) fn encode(block: &[f32], numbers: Block, format: BlockFormat, codes: &mut [u8]) {
    let code = Code::new(format);
    let (inverse, zero) = numbers.factors();
    for (x, place) in block.iter().zip(codes) {
        *place = code.of(*x, inverse, zero);
    }
}

/// Sets the codes of floats that are in one block each.
pub(super) fn encode_each(floats: &[f32], numbers: &[Block], format: BlockFormat, codes: &mut [u8]) {
    let code = Code::new(format);
    for ((x, numbers), place) in floats.iter().zip(numbers).zip(codes) {
        let (inverse, zero) = numbers.factors();
        *place = code.of(*x, inverse, zero);
    }
}

impl Block {
    /// Returns the reciprocal of the scale, and the zero point. All codes are zero points if the scale is 0 or so small
    /// that its reciprocal overflows.
    fn factors(self) -> (f32, f32) {
        let inverse = 1.0 / self.scale;
        (if inverse.is_finite() { inverse } else { 0.0 }, f32::from(self.zero))
    }
}

/// How codes are rounded and stored.
#[derive(Clone, Copy)]
struct Code {
    largest: f32,
    /// What the smallest code is stored as is this many below 0.
    smallest: u8,
}

impl Code {
    fn new(format: BlockFormat) -> Self {
        let smallest = if format.symmetric { format.middle() } else { 0 };
        Self { largest: f32::from(format.largest()), smallest }
    }

    #[inline]
    fn of(self, x: f32, inverse: f32, zero: f32) -> u8 {
        let exact = x * inverse + zero;
        let exact = if exact > 0.0 { exact } else { 0.0 };
        let exact = if exact < self.largest { exact } else { self.largest };
        // The sum has no fraction: it is rounded to nearest, ties to even, and its lowest bits are the integer. Ties
        // that went down go up.
        let sum = exact + 8_388_608.0;
        let tie = u32::from(exact - (sum - 8_388_608.0) == 0.5);
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 255")]
        let rounded = (sum.to_bits() + tie) as u8;
        rounded.wrapping_sub(self.smallest)
    }
}
