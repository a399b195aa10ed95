//! Rounding by search: the scale with the smallest squared error among candidates around the nearest.
//!
//! For given codes `c`, counted from the zero point, the best scale of floats `x` is `<x, c> / <c, c>`, and the squared
//! error that remains is `<x, x> - <x, c>^2 / <c, c>`. So a candidate is worth `<x, c>^2 / <c, c>`.

use super::BlockFormat;
use super::encode::Block;
use super::nearest::{LANES, Lanes, fold, round};
use crate::ElementType;
use std::array::from_fn;

/// The factors of the reciprocal of the nearest scale: with those above 1, the largest elements are cut off. The nearest
/// is among them, so that no block becomes worse. Each of the others lowers the error of normally distributed weights
/// most, after those before it.
const SYMMETRIC: [f32; 8] = [1.0, 1.06, 0.9, 1.1, 0.97, 1.03, 0.86, 0.78];
const ASYMMETRIC: [f32; 8] = [1.0, 1.05, 0.94, 0.88, 1.02, 0.97, 1.08, 0.83];

/// The length up to which blocks are searched together: a longer one has enough floats for all lanes.
pub(super) const TOGETHER: u64 = 256;

/// Blocks that are searched at once: one in each lane, or one spread over all lanes.
struct Group<'a> {
    floats: &'a [Lanes],
    spread: bool,
    smallest: Lanes,
    largest: Lanes,
}

impl Group<'_> {
    /// Returns `<y, c>` and `<c, c>` of the products `y` of the floats and `inverse`, and their codes `c`.
    fn products(&self, inverse: Lanes) -> (Lanes, Lanes) {
        /// The sum of a small number and this one has no fraction: the sum is rounded to nearest.
        const WHOLE: f32 = 12_582_912.0;
        let (mut with, mut own) = (Lanes::default(), Lanes::default());
        for floats in self.floats {
            for lane in 0..LANES {
                let y = floats[lane] * inverse[lane];
                let code = (y + WHOLE) - WHOLE;
                let code = if code > self.smallest[lane] { code } else { self.smallest[lane] };
                let code = if code < self.largest[lane] { code } else { self.largest[lane] };
                with[lane] += y * code;
                own[lane] += code * code;
            }
        }
        let sum = |lanes| if self.spread { [fold(lanes, |a, b| a + b); LANES] } else { lanes };
        (sum(with), sum(own))
    }
}

/// Improves the numbers of up to `LANES` blocks of at most [`TOGETHER`] floats, or of one block, from the nearest ones.
///
/// `buffer` is used again by the next call.
pub(super) fn improve(
    blocks: &[&[f32]],
    format: BlockFormat,
    scale: ElementType,
    numbers: &mut [Block],
    buffer: &mut Vec<Lanes>,
) {
    let spread = blocks.first().is_some_and(|block| block.len() as u64 > TOGETHER);
    let longest = blocks.iter().map(|block| block.len()).max().unwrap_or(0);
    buffer.clear();
    buffer.resize(if spread { longest.div_ceil(LANES) } else { longest }, Lanes::default());
    // Zeros in place of floats that a lane does not have change no sum.
    for (lane, block) in blocks.iter().enumerate() {
        if spread {
            buffer.as_flattened_mut().iter_mut().zip(*block).for_each(|(place, x)| *place = *x);
        } else {
            buffer.iter_mut().zip(*block).for_each(|(floats, x)| floats[lane] = *x);
        }
    }
    let first: [Block; LANES] = from_fn(|lane| {
        let lane = if spread { 0 } else { lane };
        numbers.get(lane).copied().unwrap_or(Block { scale: 0.0, zero: 0 })
    });
    // With the reciprocal 0, nothing is better than the nearest: the reciprocals of tiny scales overflow.
    let nearest: Lanes = from_fn(|lane| if first[lane].scale.abs() > 1e-30 { 1.0 / first[lane].scale } else { 0.0 });
    let zeros: Lanes = first.map(|block| f32::from(block.zero));
    let largest = zeros.map(|zero| f32::from(format.largest()) - zero);
    let group = Group { floats: buffer, spread, smallest: zeros.map(|zero| -zero), largest };
    let (mut worth, mut inverse) = (Lanes::default(), Lanes::default());
    for factor in if format.symmetric { SYMMETRIC } else { ASYMMETRIC } {
        let tried = nearest.map(|nearest| nearest * factor);
        let (with, own) = group.products(tried);
        for lane in 0..LANES {
            // Relative to the nearest scale, so that no number overflows.
            let found = with[lane] * with[lane] / (factor * factor * own[lane]);
            let better = found > worth[lane];
            worth[lane] = if better { found } else { worth[lane] };
            inverse[lane] = if better { tried[lane] * own[lane] / with[lane] } else { inverse[lane] };
        }
    }
    // The codes that are nearest under the best scale have a better scale again.
    let (with, own) = group.products(inverse);
    for (lane, block) in numbers.iter_mut().enumerate().take(if spread { 1 } else { LANES }) {
        let best = round(with[lane] / (own[lane] * inverse[lane]), scale);
        if best.is_finite() && best != 0.0 {
            block.scale = best;
        }
    }
}
