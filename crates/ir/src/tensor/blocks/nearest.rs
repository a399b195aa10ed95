//! Rounding to nearest: the codes of a block cover its range exactly, as in ONNX Runtime's weight-only quantizer
//! (`onnxruntime/core/mlas/lib/q4_dq.cpp`), bit for bit.

use super::BlockFormat;
use super::encode::Block;
use crate::ElementType;
use half::slice::HalfFloatSliceExt;
use std::array::from_fn;

/// The number of floats that are compared or summed at once.
pub(super) const LANES: usize = 8;

/// As many floats of a block; the compiler keeps them in vectors.
pub(super) type Lanes = [f32; LANES];

/// Combines lanes pairwise: in order, each step would wait for the one before it.
pub(super) fn fold(lanes: Lanes, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let half: [f32; LANES / 2] = std::array::from_fn(|lane| combine(lanes[lane], lanes[lane + LANES / 2]));
    combine(combine(half[0], half[2]), combine(half[1], half[3]))
}

/// The smallest and the largest numbers of some lanes of floats.
#[derive(Clone, Copy)]
pub(super) struct Ends<const N: usize> {
    least: [f32; N],
    most: [f32; N],
}

impl<const N: usize> Ends<N> {
    const NONE: Self = Self { least: [f32::INFINITY; N], most: [f32::NEG_INFINITY; N] };

    /// Returns the ends with other floats, one in each lane.
    #[inline]
    fn with(self, floats: &[f32; N]) -> Self {
        self.join(&Self { least: *floats, most: *floats })
    }

    #[inline]
    fn join(self, other: &Self) -> Self {
        let (min, max) = (|a: f32, b: f32| if b < a { b } else { a }, |a: f32, b: f32| if b > a { b } else { a });
        Self {
            least: from_fn(|lane| min(self.least[lane], other.least[lane])),
            most: from_fn(|lane| max(self.most[lane], other.most[lane])),
        }
    }

    /// Returns those of every `M`th lane together.
    #[inline]
    fn halves<const M: usize>(&self) -> Ends<M> {
        let part = |at: usize| Ends {
            least: from_fn(|lane| self.least[at + lane]),
            most: from_fn(|lane| self.most[at + lane]),
        };
        part(0).join(&part(M))
    }
}

/// The numbers of blocks that are chosen together, and buffers for them.
#[derive(Default)]
pub(super) struct Chosen {
    ends: Vec<Ends<1>>,
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

impl Chosen {
    /// Appends the numbers that cover the range of each block to `numbers`; returns whether all floats are finite.
    pub(super) fn blocks<'f>(
        &mut self,
        blocks: impl Iterator<Item = &'f [f32]>,
        (format, scale): (BlockFormat, ElementType),
        numbers: &mut Vec<Block>,
    ) -> bool {
        self.ends.clear();
        // 0 for every finite number, NaN for others.
        let mut wrong = Lanes::default();
        for block in blocks {
            let (all, rest) = block.as_chunks::<LANES>();
            let mut ends = Ends::NONE;
            for lanes in all {
                ends = ends.with(lanes);
                (0..LANES).for_each(|lane| wrong[lane] += lanes[lane] * 0.0);
            }
            let mut ends = ends.halves::<4>();
            for x in rest {
                ends = ends.with(&[*x; 4]);
                wrong[0] += x * 0.0;
            }
            self.ends.push(ends.halves::<2>().halves());
        }
        self.choose(format, scale, numbers);
        fold(wrong, |a, b| a + b) == 0.0
    }

    /// Appends the numbers that cover the range of each column of rows of `width` floats.
    pub(super) fn columns(
        &mut self,
        floats: &[f32],
        width: usize,
        (format, scale): (BlockFormat, ElementType),
        numbers: &mut Vec<Block>,
    ) -> bool {
        /// The columns that are compared at once: a line of the cache.
        const COLUMNS: usize = 2 * LANES;
        let mut wrong = [0.0; COLUMNS];
        self.ends.clear();
        for left in (0..width).step_by(COLUMNS) {
            let mut ends = Ends::NONE;
            for row in floats.chunks_exact(width) {
                let own = &row[left..];
                let mut last = [0.0; COLUMNS];
                let lanes = own.first_chunk().unwrap_or_else(|| {
                    last[..own.len()].copy_from_slice(own);
                    &last
                });
                ends = ends.with(lanes);
                (0..COLUMNS).for_each(|lane| wrong[lane] += lanes[lane] * 0.0);
            }
            let columns = 0..COLUMNS.min(width - left);
            self.ends.extend(columns.map(|lane| Ends { least: [ends.least[lane]], most: [ends.most[lane]] }));
        }
        self.choose(format, scale, numbers);
        wrong.iter().sum::<f32>() == 0.0
    }

    /// Appends the numbers of blocks with the ends.
    fn choose(&mut self, format: BlockFormat, scale: ElementType, numbers: &mut Vec<Block>) {
        self.scales.clear();
        self.zeros.clear();
        let ends = self.ends.iter().map(|ends| (ends.least[0], ends.most[0]));
        if format.symmetric {
            let middle = f32::from(format.middle());
            self.scales.extend(ends.map(|(least, most)| {
                // There is one more code on the side of the smallest: the larger side of the range goes there.
                let largest = if most.abs() > least.abs() { most } else { least };
                -largest / middle
            }));
            self.zeros.resize(self.scales.len(), middle);
        } else {
            let codes = f32::from(format.largest());
            for (least, most) in ends {
                let (least, most) = (least.min(0.0), most.max(0.0));
                let wide = (most - least) / codes;
                let zero = if wide == 0.0 { 0.0 } else { -least / wide };
                self.scales.push(wide);
                self.zeros.push(zero.round().clamp(0.0, codes));
            }
        }
        round_all(&mut self.scales, scale);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the largest code")]
        numbers.extend(self.scales.iter().zip(&self.zeros).map(|(&scale, &zero)| Block { scale, zero: zero as u8 }));
    }
}

/// Rounds scales to their type, many at once.
fn round_all(scales: &mut [f32], to: ElementType) {
    match to {
        ElementType::F16 => {
            let mut halves = [half::f16::ZERO; 64];
            for scales in scales.chunks_mut(halves.len()) {
                let halves = &mut halves[..scales.len()];
                halves.convert_from_f32_slice(scales);
                halves.convert_to_f32_slice(scales);
            }
        }
        ElementType::BF16 => scales.iter_mut().for_each(|scale| {
            // To the nearest, to even if two are equally near; ranges are not NaN.
            let bits = scale.to_bits();
            *scale = f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
        }),
        _ => {}
    }
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
    /// The codes that are set at once: every block size is a multiple, so that nothing is left for slower loops.
    const TOGETHER: usize = 16;
    let code = Code::new(format);
    let (inverse, zero) = numbers.factors();
    let len = block.len().min(codes.len());
    let (all, rest) = block[..len].as_chunks::<TOGETHER>();
    let (all_places, rest_places) = codes[..len].as_chunks_mut::<TOGETHER>();
    for (floats, places) in all.iter().zip(all_places) {
        (0..TOGETHER).for_each(|at| places[at] = code.of(floats[at], inverse, zero));
    }
    for (x, place) in rest.iter().zip(rest_places) {
        *place = code.of(*x, inverse, zero);
    }
}

/// Sets the codes of floats that are in one block each, from the [factors](Block::factors) of these.
pub(super) fn encode_each(floats: &[f32], (inverses, zeros): (&[f32], &[f32]), format: BlockFormat, codes: &mut [u8]) {
    let code = Code::new(format);
    for (((x, inverse), zero), place) in floats.iter().zip(inverses).zip(zeros).zip(codes) {
        *place = code.of(*x, *inverse, *zero);
    }
}

impl Block {
    /// Returns the reciprocal of the scale, and the zero point. All codes are zero points if the scale is 0 or so small
    /// that its reciprocal overflows.
    pub(super) fn factors(self) -> (f32, f32) {
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
