//! Rounding to nearest: the codes of a block cover its range exactly, as in ONNX Runtime's weight-only quantizer
//! (`onnxruntime/core/mlas/lib/q4_dq.cpp`), bit for bit.

use super::BlockFormat;
use super::encode::Block;
use crate::ElementType;

/// The number of floats that are compared or summed at once.
pub(super) const LANES: usize = 8;

/// Returns the smallest and the largest number of a block; `None` if one is infinite or NaN.
pub(super) fn range(block: &[f32]) -> Option<(f32, f32)> {
    let (mut least, mut most, mut wrong) = ([f32::MAX; LANES], [f32::MIN; LANES], [0.0; LANES]);
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut see = |lane: usize, x: f32| {
        least[lane] = if x < least[lane] { x } else { least[lane] };
        most[lane] = if x > most[lane] { x } else { most[lane] };
        // 0 for every finite number, NaN for others.
        wrong[lane] += x * 0.0;
    };
    for chunk in chunks {
        (0..LANES).for_each(|lane| see(lane, chunk[lane]));
    }
    rest.iter().enumerate().for_each(|(lane, x)| see(lane, *x));
    let least = least.into_iter().fold(f32::MAX, |a, b| if b < a { b } else { a });
    let most = most.into_iter().fold(f32::MIN, |a, b| if b > a { b } else { a });
    wrong.iter().all(|wrong| *wrong == 0.0).then_some((least, most))
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
    // All codes are 0 where the scale is 0 or so small that its reciprocal overflows.
    let inverse = Some(1.0 / numbers.scale).filter(|inverse| inverse.is_finite()).unwrap_or(0.0);
    let (zero, largest) = (f32::from(numbers.zero), f32::from(format.largest()));
    let smallest = if format.symmetric { format.middle() } else { 0 };
    for (x, code) in block.iter().zip(codes) {
        let exact = x * inverse + zero;
        let exact = if exact > 0.0 { exact } else { 0.0 };
        let exact = if exact < largest { exact } else { largest };
        // Ties go up: the sum with the number just below a half is below the next integer unless the fraction is at
        // least a half.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
        let rounded = (exact + 0.499_999_97) as i32 as u8;
        *code = rounded.wrapping_sub(smallest);
    }
}
