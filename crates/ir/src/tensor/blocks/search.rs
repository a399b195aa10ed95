//! Rounding by search: the scale with the smallest squared error among candidates around the nearest.
//!
//! A candidate gives floats `x` the products `y` with the reciprocal of its scale, and their codes `c`, counted from the
//! zero point. For these codes the best scale is larger than that of the candidate by the part `<y - c, c> / <c, c>`, and
//! the squared error that remains, in units of the scale, is `<y - c, y - c> - <y - c, c>^2 / <c, c>`.

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
    /// Returns the squared error that remains under the best scale for the codes that `inverse` gives, and the part by
    /// which that scale is larger.
    fn fit(&self, inverse: Lanes) -> (Lanes, Lanes) {
        /// The sum of a small number and this one has no fraction: the sum is rounded to nearest.
        const WHOLE: f32 = 12_582_912.0;
        let (mut square, mut with, mut own) = (Lanes::default(), Lanes::default(), Lanes::default());
        for floats in self.floats {
            for lane in 0..LANES {
                let y = floats[lane] * inverse[lane];
                let code = (y + WHOLE) - WHOLE;
                let code = if code > self.smallest[lane] { code } else { self.smallest[lane] };
                let code = if code < self.largest[lane] { code } else { self.largest[lane] };
                let error = y - code;
                square[lane] += error * error;
                with[lane] += error * code;
                own[lane] += code * code;
            }
        }
        let sum = |lanes| if self.spread { [fold(lanes, |a, b| a + b); LANES] } else { lanes };
        let (square, with, own) = (sum(square), sum(with), sum(own));
        (from_fn(|lane| square[lane] - with[lane] * with[lane] / own[lane]), from_fn(|lane| with[lane] / own[lane]))
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
    let (mut least, mut inverse) = ([f32::INFINITY; LANES], Lanes::default());
    for factor in if format.symmetric { SYMMETRIC } else { ASYMMETRIC } {
        let tried = nearest.map(|nearest| nearest * factor);
        let (error, larger) = group.fit(tried);
        for lane in 0..LANES {
            // In units of the nearest scale.
            let error = error[lane] / (factor * factor);
            let better = error < least[lane];
            least[lane] = if better { error } else { least[lane] };
            inverse[lane] = if better { tried[lane] / (1.0 + larger[lane]) } else { inverse[lane] };
        }
    }
    // The codes that are nearest under the best scale have a better scale again.
    let (_, larger) = group.fit(inverse);
    for (lane, block) in numbers.iter_mut().enumerate().take(if spread { 1 } else { LANES }) {
        let best = round((1.0 + larger[lane]) / inverse[lane], scale);
        if best.is_finite() && best != 0.0 {
            block.scale = best;
        }
    }
}
