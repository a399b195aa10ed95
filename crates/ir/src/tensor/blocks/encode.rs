//! Codes, scales and zero points of a float tensor, computed block by block while they are written.

use super::super::recipe::{BLOCK, Floats, Number};
use super::{BlockFormat, Rounding, Tensor, TensorError, nearest, pack, search};
use crate::ElementType;
use std::ops::Range;

/// What codes, scales and zero points of a quantized tensor are computed from.
#[derive(Debug, PartialEq)]
pub struct Encoder {
    /// The floats; they have at least one axis and one element.
    pub(crate) of: Tensor,
    pub(crate) format: BlockFormat,
    pub(crate) rounding: Rounding,
    /// The type of the scales.
    pub(crate) scale: ElementType,
}

/// A part of a quantized tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The codes, in the shape of the floats.
    Codes,
    /// The scales of the blocks.
    Scales,
    /// The zero points of the blocks.
    Zeros,
}

/// The maximum number of elements of a block: it is in memory while its scale is chosen.
pub(super) const MAX_BLOCK: u64 = 1 << 20;

/// The number of elements that are read at once, unless a block has more: they stay in the cache.
const CHUNK: u64 = 1 << 14;

/// The number of codes that are packed at once.
const PIECE: usize = 1 << 20;

/// What the codes of a block mean: codes are counted from the smallest here, whether they are signed or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    /// Rounded to its type.
    pub(super) scale: f32,
    pub(super) zero: u8,
}

impl Encoder {
    pub(super) fn new(of: Tensor, format: BlockFormat, rounding: Rounding, scale: ElementType) -> Self {
        Self { of, format, rounding, scale }
    }

    /// Returns the number of bytes of a part that one thread should compute as one piece.
    pub(in crate::tensor) fn block(&self, part: Part) -> u64 {
        let source = self.of.block() * 8 / u64::from(self.of.element.bits()).max(1);
        // Whole blocks of the source, for about as many bytes of codes as other tensors have in a block.
        let elements = source.max(1).saturating_mul((2 * BLOCK).div_ceil(source.max(1)));
        let blocks = elements / self.format.size.max(1);
        match part {
            Part::Codes => elements * u64::from(self.codes().bits()) / 8,
            Part::Scales => (blocks * u64::from(self.scale.bits() / 8)).next_multiple_of(64).max(64),
            Part::Zeros => (blocks * u64::from(self.codes().bits()) / 8).max(64),
        }
    }

    /// Computes elements of a part from `first` on.
    pub(in crate::tensor) fn fill(&self, part: Part, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        match part {
            Part::Codes => self.fill_codes(first, out),
            Part::Scales => self.fill_scales(first, out),
            Part::Zeros => self.fill_zeros(first, out),
        }
    }

    fn codes(&self) -> ElementType {
        self.format.element().unwrap_or(ElementType::U8)
    }

    fn width(&self) -> u64 {
        self.of.dims.last().copied().unwrap_or(1).max(1)
    }

    /// Returns the first element of a block, which is the end of the block before it.
    fn start(&self, block: u64) -> u64 {
        let blocks = self.format.blocks(self.width());
        block / blocks * self.width() + block % blocks * self.format.size
    }

    /// Returns the block of an element.
    fn block_of(&self, element: u64) -> u64 {
        element / self.width() * self.format.blocks(self.width()) + element % self.width() / self.format.size
    }

    /// Calls `visit` with the first element, the floats and the numbers of each block in turn.
    fn each_block(&self, blocks: Range<u64>, mut visit: impl FnMut(u64, &[f32], Block)) -> Result<(), TensorError> {
        let mut floats = Floats::of(&self.of);
        let mut at = blocks.start;
        while at < blocks.end {
            let next = blocks.end.min(at + (CHUNK / self.format.size).max(1));
            let (mut start, end) = (self.start(at), self.start(next));
            let mut column = start % self.width();
            let mut rest = floats.read(start, end - start)?;
            while !rest.is_empty() {
                let len = self.format.size.min(self.width() - column);
                let (block, others) = rest.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(rest.len()));
                visit(start, block, self.choose(block)?);
                (start, column, rest) = (start + len, (column + len) % self.width(), others);
            }
            at = next;
        }
        Ok(())
    }

    /// Chooses the numbers of a block.
    fn choose(&self, block: &[f32]) -> Result<Block, TensorError> {
        let range = nearest::range(block);
        let range = range.ok_or_else(|| self.of.refuse("quantize", "an element is infinite or NaN"))?;
        let found = match self.rounding {
            Rounding::Nearest => nearest::choose(range, self.format, self.scale),
            Rounding::Search => search::choose(block, range, self.format, self.scale),
        };
        let fits = found.scale.is_finite();
        if fits { Ok(found) } else { Err(self.of.refuse("quantize", "a scale overflows its type")) }
    }

    fn fill_codes(&self, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let bits = self.codes().bits();
        let mut codes = vec![];
        let mut first = first;
        for piece in out.chunks_mut(PIECE * bits as usize / 8) {
            let count = (piece.len() as u64 * 8 / u64::from(bits)).min(self.of.count() - first);
            codes.resize(usize::try_from(count).unwrap_or(usize::MAX), 0);
            self.each_block(self.block_of(first)..self.block_of(first + count - 1) + 1, |start, block, numbers| {
                // The first block may begin before the piece, and the last may end after it.
                let skipped = usize::try_from(first.saturating_sub(start)).unwrap_or(usize::MAX);
                let place = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
                if let (Some(block), Some(codes)) = (block.get(skipped..), codes.get_mut(place..)) {
                    nearest::encode(block, numbers, self.format, codes);
                }
            })?;
            pack::pack(bits, &codes, piece);
            first += count;
        }
        Ok(())
    }

    fn fill_scales(&self, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let Some(number) = Number::of(self.scale) else { return Ok(()) };
        let size = self.scale.bits() as usize / 8;
        let count = (out.len() / size) as u64;
        let mut places = out.chunks_exact_mut(size);
        self.each_block(first..first + count, |_, _, block| {
            if let Some(place) = places.next() {
                number.write(block.scale.into(), place);
            }
        })
    }

    fn fill_zeros(&self, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let bits = u64::from(self.codes().bits());
        let blocks = self.block_of(self.of.count() - 1) + 1;
        let count = (out.len() as u64 * 8 / bits).min(blocks - first);
        let mut zeros = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        self.each_block(first..first + count, |_, _, block| zeros.push(block.zero))?;
        pack::pack(self.codes().bits(), &zeros, out);
        Ok(())
    }
}
