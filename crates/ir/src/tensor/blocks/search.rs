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
const SYMMETRIC: [f32; 5] = [1.0, 1.06, 0.9, 1.1, 0.97];
const ASYMMETRIC: [f32; 5] = [1.0, 1.05, 0.94, 0.88, 1.02];

/// The length up to which blocks are searched together: a longer one has enough floats for all lanes.
pub(super) const TOGETHER: u64 = 256;

/// Blocks that are searched at once: one in each lane, or one spread over all lanes.
pub(super) struct Group<'a> {
    pub(super) floats: &'a [Lanes],
    pub(super) spread: bool,
}

/// The codes of a group, counted from the zero points.
struct Codes {
    smallest: Lanes,
    largest: Lanes,
}

impl Group<'_> {
    /// Improves the numbers of the blocks from the nearest ones.
    pub(super) fn improve(&self, format: BlockFormat, scale: ElementType, numbers: &mut [Block]) {
        let first: [Block; LANES] = from_fn(|lane| {
            let lane = if self.spread { 0 } else { lane };
            numbers.get(lane).copied().unwrap_or(Block { scale: 0.0, zero: 0 })
        });
        // With the reciprocal 0, nothing is better than the nearest: the reciprocals of tiny scales overflow.
        let nearest = first.map(|block| if block.scale.abs() > 1e-30 { 1.0 / block.scale } else { 0.0 });
        let zeros = first.map(|block| f32::from(block.zero));
        let largest = zeros.map(|zero| f32::from(format.largest()) - zero);
        let codes = Codes { smallest: zeros.map(|zero| -zero), largest };
        let mut norm = Lanes::default();
        for floats in self.floats {
            (0..LANES).for_each(|lane| norm[lane] += (floats[lane] * nearest[lane]) * (floats[lane] * nearest[lane]));
        }
        let norm = self.sum(norm);
        let (mut least, mut inverse) = ([f32::INFINITY; LANES], Lanes::default());
        for factor in if format.symmetric { SYMMETRIC } else { ASYMMETRIC } {
            let tried = nearest.map(|nearest| nearest * factor);
            let (error, larger) = self.fit(&codes, tried, norm.map(|norm| norm * factor * factor));
            for lane in 0..LANES {
                // In units of the nearest scale.
                let error = error[lane] / (factor * factor);
                let better = error < least[lane];
                least[lane] = if better { error } else { least[lane] };
                inverse[lane] = if better { tried[lane] / (1.0 + larger[lane]) } else { inverse[lane] };
            }
        }
        // The codes that are nearest under the best scale have a better scale again.
        let norm = from_fn(|lane| norm[lane] * (inverse[lane] / nearest[lane]) * (inverse[lane] / nearest[lane]));
        let (_, larger) = self.fit(&codes, inverse, norm);
        for (lane, block) in numbers.iter_mut().enumerate().take(if self.spread { 1 } else { LANES }) {
            let best = round((1.0 + larger[lane]) / inverse[lane], scale);
            if best.is_finite() && best != 0.0 {
                block.scale = best;
            }
        }
    }

    /// Returns the squared error that remains under the best scale for the codes that `inverse` gives, and the part by
    /// which that scale is larger. `norm` is the squared norm of the products with `inverse`.
    fn fit(&self, codes: &Codes, inverse: Lanes, norm: Lanes) -> (Lanes, Lanes) {
        /// The sum of a small number and this one has no fraction: the sum is rounded to nearest.
        const WHOLE: f32 = 12_582_912.0;
        let (mut square, mut with) = (Lanes::default(), Lanes::default());
        for floats in self.floats {
            for lane in 0..LANES {
                let y = floats[lane] * inverse[lane];
                let code = (y + WHOLE) - WHOLE;
                let code = if code > codes.smallest[lane] { code } else { codes.smallest[lane] };
                let code = if code < codes.largest[lane] { code } else { codes.largest[lane] };
                let error = y - code;
                square[lane] += error * error;
                with[lane] += error * code;
            }
        }
        let (square, with) = (self.sum(square), self.sum(with));
        // <c, c>, because c is y minus the error.
        let own: Lanes = from_fn(|lane| norm[lane] - 2.0 * with[lane] - square[lane]);
        (from_fn(|lane| square[lane] - with[lane] * with[lane] / own[lane]), from_fn(|lane| with[lane] / own[lane]))
    }

    fn sum(&self, lanes: Lanes) -> Lanes {
        if self.spread { [fold(lanes, |a, b| a + b); LANES] } else { lanes }
    }
}

/// Fills a buffer with up to `LANES` blocks of at most [`TOGETHER`] floats, or with one block.
pub(super) fn group<'b>(blocks: &[&[f32]], buffer: &'b mut Vec<Lanes>) -> Group<'b> {
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
    Group { floats: buffer, spread }
}
