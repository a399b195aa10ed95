//! Rounding by search: the scale with the smallest squared error among candidates around the nearest.
//!
//! For given codes `c`, counted from the zero point, the best scale is `<x, c> / <c, c>`, and the squared error that
//! remains is `<x, x> - <x, c>^2 / <c, c>`. So a candidate is worth `<x, c>^2 / <c, c>`.

use super::BlockFormat;
use super::encode::Block;
use super::nearest::{self, Lanes, fold, round};
use crate::ElementType;

/// The code that the largest element of a symmetric block goes to, relative to the smallest code: beyond 1 it is cut
/// off. Chosen one by one, each as that which lowers the error of normally distributed weights most.
const SYMMETRIC: [f32; 8] = [1.02, 1.08, 0.9, 0.98, 1.05, 0.86, 1.12, 0.96];

/// The part of its range that the codes of an asymmetric block cover.
const ASYMMETRIC: [f32; 8] = [1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79];

/// The numbers of a block to try: codes are `round(x * inverse)` between the two bounds.
#[derive(Clone, Copy)]
struct Candidate {
    inverse: f32,
    zero: u8,
    smallest: f32,
    largest: f32,
}

impl Candidate {
    fn new(inverse: f32, zero: u8, format: BlockFormat) -> Self {
        let (zero_point, largest) = (f32::from(zero), f32::from(format.largest()));
        Self { inverse, zero, smallest: -zero_point, largest: largest - zero_point }
    }

    /// Returns `<y, c>` and `<c, c>` of the products `y` of the block and the inverse and their codes `c`.
    fn products(self, block: &[f32]) -> (f32, f32) {
        /// The sum of a small number and this one has no fraction: the sum is rounded to nearest.
        const WHOLE: f32 = 12_582_912.0;
        let (mut with, mut own) = (Lanes::default(), Lanes::default());
        let (all, last) = nearest::lanes(block);
        for lanes in all.iter().chain(&last) {
            for (lane, x) in lanes.iter().enumerate() {
                let y = x * self.inverse;
                let code = (y + WHOLE) - WHOLE;
                let code = if code > self.smallest { code } else { self.smallest };
                let code = if code < self.largest { code } else { self.largest };
                with[lane] += y * code;
                own[lane] += code * code;
            }
        }
        (fold(with, |a, b| a + b), fold(own, |a, b| a + b))
    }
}

/// Returns the numbers of a block with this range.
pub(super) fn choose(block: &[f32], range: (f32, f32), format: BlockFormat, scale: ElementType) -> Block {
    let nearest = nearest::choose(range, format, scale);
    let (least, most) = range;
    // The reciprocals of such numbers overflow.
    if most.max(-least) < 1e-30 {
        return nearest;
    }
    let codes = f32::from(format.largest());
    let (candidates, of): (&[f32], _) = if format.symmetric {
        let largest = if most.abs() > least.abs() { most } else { least };
        (&SYMMETRIC, -f32::from(format.middle()) / largest)
    } else {
        (&ASYMMETRIC, codes / (most.max(0.0) - least.min(0.0)))
    };
    let mut best = (0.0, nearest);
    for relative in candidates {
        let candidate = if format.symmetric {
            Candidate::new(of * relative, format.middle(), format)
        } else {
            let inverse = of / relative;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates")]
            let zero = (-least.min(0.0) * relative * inverse).round() as u8;
            Candidate::new(inverse, zero.min(format.largest()), format)
        };
        let (with, own) = candidate.products(block);
        // Relative, so that no number overflows.
        let inverse = candidate.inverse / of;
        let worth = with * with / (inverse * inverse * own);
        if worth > best.0 {
            best = (worth, Block { scale: with / (candidate.inverse * own), zero: candidate.zero });
        }
    }
    let (_, Block { scale: best, zero }) = best;
    // The codes that are nearest under the best scale have a better scale again.
    let (with, own) = Candidate::new(1.0 / best, zero, format).products(block);
    let better = with / own * best;
    let found = Block { scale: round(if better.is_finite() { better } else { best }, scale), zero };
    if found.scale == 0.0 { nearest } else { found }
}
