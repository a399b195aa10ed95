//! Codes, scales and zero points of a float tensor, computed block by block while they are written.

use super::super::recipe::{BLOCK, Floats, Number};
use super::nearest::Chosen;
use super::{BlockFormat, Rounding, Tensor, TensorError, kept, nearest, pack, search};
use crate::ElementType;
use std::ops::Range;
use std::sync::Arc;

/// What codes, scales and zero points of a quantized tensor are computed from.
#[derive(Debug)]
pub struct Encoder {
    /// The floats; they have at least one axis and one element.
    pub(crate) of: Tensor,
    pub(crate) format: BlockFormat,
    pub(crate) rounding: Rounding,
    /// The type of the scales.
    pub(crate) scale: ElementType,
    /// Whether blocks are along the second last axis, across rows, instead of the last.
    pub(crate) across: bool,
    /// Tells this encoder and those of its transposed parts from all others.
    pub(super) identity: Arc<()>,
}

impl PartialEq for Encoder {
    fn eq(&self, other: &Self) -> bool {
        let key = |own: &Self| (own.format, own.rounding, own.scale, own.across);
        key(self) == key(other) && self.of == other.of
    }
}

/// A part of a quantized tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizedPart {
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
const PIECE: usize = 1 << 18;

/// What the codes of a block mean: codes are counted from the smallest here, whether they are signed or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    /// Rounded to its type.
    pub(super) scale: f32,
    pub(super) zero: u8,
}

impl Encoder {
    pub(super) fn new(of: Tensor, format: BlockFormat, rounding: Rounding, scale: ElementType) -> Self {
        Self { of, format, rounding, scale, across: false, identity: Arc::default() }
    }

    /// Returns the encoder of the transposed parts, if the source is that of a transpose: transposing it costs nothing.
    pub(in crate::tensor) fn transposed(&self) -> Option<Self> {
        let of = if self.across { self.of.transposed().ok()? } else { self.of.canceled()? };
        Some(Self { of, across: !self.across, identity: Arc::clone(&self.identity), ..*self })
    }

    /// Returns the number of bytes of a part that one thread should compute as one piece.
    pub(in crate::tensor) fn block(&self, part: QuantizedPart) -> u64 {
        let source = self.of.block() * 8 / u64::from(self.of.element.bits()).max(1);
        // Whole blocks of the source, for about as many bytes of codes as other tensors have in a block.
        let elements = source.max(1).saturating_mul((2 * BLOCK).div_ceil(source.max(1)));
        let blocks = elements / self.format.size.max(1);
        match part {
            QuantizedPart::Codes => elements * u64::from(self.codes().bits()) / 8,
            QuantizedPart::Scales => (blocks * u64::from(self.scale.bits() / 8)).next_multiple_of(64).max(64),
            QuantizedPart::Zeros => (blocks * u64::from(self.codes().bits()) / 8).max(64),
        }
    }

    /// Computes elements of a part from `first` on.
    pub(in crate::tensor) fn fill(
        self: &Arc<Self>,
        part: QuantizedPart,
        first: u64,
        out: &mut [u8],
    ) -> Result<(), TensorError> {
        match part {
            QuantizedPart::Codes if self.codes().bits() == 8 => self.fill_unpacked(first, out),
            QuantizedPart::Codes => {
                let (bits, mut codes, mut first) = (self.codes().bits(), vec![], first);
                for piece in out.chunks_mut(PIECE * bits as usize / 8) {
                    let count = (piece.len() as u64 * 8 / u64::from(bits)).min(self.of.count() - first);
                    codes.resize(usize::try_from(count).unwrap_or(usize::MAX), 0);
                    self.fill_unpacked(first, &mut codes)?;
                    pack::pack(bits, &codes, piece);
                    first += count;
                }
                Ok(())
            }
            QuantizedPart::Scales => self.fill_scales(first, out),
            QuantizedPart::Zeros => self.fill_zeros(first, out),
        }
    }

    /// Computes codes from `first` on, one in each byte; signs are extended.
    pub(super) fn fill_unpacked(self: &Arc<Self>, first: u64, codes: &mut [u8]) -> Result<(), TensorError> {
        if self.across { self.codes_across(first, codes) } else { self.codes_along(first, codes) }
    }

    pub(super) fn codes(&self) -> ElementType {
        self.format.element().unwrap_or(ElementType::U8)
    }

    pub(super) fn width(&self) -> u64 {
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

    /// Returns the number of blocks.
    pub(super) fn blocks(&self) -> u64 {
        if self.across {
            return self.of.count() / self.height().max(1) * self.format.blocks(self.height());
        }
        self.of.count() / self.width() * self.format.blocks(self.width())
    }

    /// Returns the blocks in parts of a bounded number of elements.
    fn chunks(&self, blocks: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let step = (CHUNK / self.format.size).max(1);
        let starts = std::iter::successors(Some(blocks.start), move |at| at.checked_add(step));
        let starts = starts.take_while(move |start| *start < blocks.end);
        starts.map(move |start| start..blocks.end.min(start.saturating_add(step)))
    }

    /// Reads the floats of blocks.
    fn read<'f>(&self, blocks: &Range<u64>, floats: &'f mut Floats<'_>) -> Result<&'f [f32], TensorError> {
        let start = self.start(blocks.start);
        floats.read(start, self.start(blocks.end) - start)
    }

    /// Splits floats into blocks, each with its first element; the first block begins with `start`.
    fn split<'f>(&self, start: u64, floats: &'f [f32]) -> impl Iterator<Item = (u64, &'f [f32])> + use<'f> {
        let (width, size) = (self.width(), self.format.size);
        let (mut at, mut column, mut rest) = (start, start % width, floats);
        std::iter::from_fn(move || {
            let len = size.min(width - column);
            let (block, others) = rest.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(rest.len()));
            let found = (at, block);
            (at, column, rest) = (at + len, if column + len < width { column + len } else { 0 }, others);
            (!block.is_empty()).then_some(found)
        })
    }

    /// Sets `numbers` to those of the blocks with these floats.
    fn choose_all(
        self: &Arc<Self>,
        blocks: &Range<u64>,
        floats: &[f32],
        chosen: &mut Chosen,
        numbers: &mut Vec<Block>,
    ) -> Result<(), TensorError> {
        numbers.clear();
        let each = || self.split(self.start(blocks.start), floats).map(|(_, block)| block);
        self.expect_in_range(chosen.blocks(each(), (self.format, self.scale), numbers), numbers)?;
        if self.rounding == Rounding::Search {
            // How many blocks are searched together does not change what is found.
            let together = if self.format.size.min(self.width()) > search::TOGETHER { 1 } else { nearest::LANES };
            let mut buffer = vec![];
            let floats: Vec<&[f32]> = each().collect();
            for (floats, numbers) in floats.chunks(together).zip(numbers.chunks_mut(together)) {
                search::group(floats, &mut buffer).improve(self.format, self.scale, numbers);
            }
        }
        self.keep(blocks.start, numbers)
    }

    /// Returns an error unless all elements are finite and so small that neither a scale close to the nearest ones nor an
    /// element that a code stands for overflows. Accepts all that [`Tensor::quantizable`] accepts.
    pub(super) fn expect_in_range(&self, is_finite: bool, nearest: &[Block]) -> Result<(), TensorError> {
        let (format, most) = (self.format, |element: ElementType| match element {
            ElementType::F16 => half::f16::MAX.to_f64(),
            ElementType::BF16 => half::bf16::MAX.to_f64(),
            _ => f32::MAX.into(),
        });
        // Without symmetry, a range has up to twice the magnitude of its elements.
        let (codes, room) =
            if format.symmetric { (f64::from(format.middle()) * 2.0, 2.0) } else { (format.largest().into(), 1.0) };
        // The scales have been rounded, perhaps up.
        let limit = 1.001 * (most(self.of.element) / codes).min(most(self.scale) / room);
        if is_finite && nearest.iter().all(|block| f64::from(block.scale).abs() <= limit) {
            return Ok(());
        }
        Err(self.of.refuse("quantize", "an element is infinite, NaN or too large"))
    }

    /// Keeps the numbers of consecutive blocks.
    pub(super) fn keep(self: &Arc<Self>, first: u64, numbers: &[Block]) -> Result<(), TensorError> {
        if numbers.iter().any(|numbers| !numbers.scale.is_finite()) {
            return Err(self.of.refuse("quantize", "a scale overflows its type"));
        }
        kept::put(self, first, numbers, self.blocks());
        Ok(())
    }

    /// Calls `visit` with the numbers of each block in turn.
    fn for_each_block(self: &Arc<Self>, blocks: Range<u64>, mut visit: impl FnMut(Block)) -> Result<(), TensorError> {
        let (mut floats, mut chosen, mut numbers) = (Floats::of(&self.of), Chosen::default(), vec![]);
        if self.across {
            self.numbers_across(blocks, &mut numbers)?;
            numbers.iter().copied().for_each(&mut visit);
            return Ok(());
        }
        for chunk in self.chunks(blocks) {
            if !kept::get(self, chunk.clone(), &mut numbers) {
                self.choose_all(&chunk, self.read(&chunk, &mut floats)?, &mut chosen, &mut numbers)?;
            }
            numbers.iter().copied().for_each(&mut visit);
        }
        Ok(())
    }

    fn codes_along(self: &Arc<Self>, first: u64, codes: &mut [u8]) -> Result<(), TensorError> {
        let (mut floats, mut chosen, mut numbers) = (Floats::of(&self.of), Chosen::default(), vec![]);
        let Some(last) = (codes.len() as u64).checked_sub(1) else { return Ok(()) };
        for chunk in self.chunks(self.block_of(first)..self.block_of(first + last) + 1) {
            let floats = self.read(&chunk, &mut floats)?;
            if !kept::get(self, chunk.clone(), &mut numbers) {
                self.choose_all(&chunk, floats, &mut chosen, &mut numbers)?;
            }
            for ((start, block), numbers) in self.split(self.start(chunk.start), floats).zip(&numbers) {
                // The first block may begin before the codes, and the last may end after them.
                let skipped = usize::try_from(first.saturating_sub(start)).unwrap_or(usize::MAX);
                let place = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
                if let (Some(block), Some(codes)) = (block.get(skipped..), codes.get_mut(place..)) {
                    nearest::encode(block, *numbers, self.format, codes);
                }
            }
        }
        Ok(())
    }

    fn fill_scales(self: &Arc<Self>, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let Some(number) = Number::of(self.scale) else { return Ok(()) };
        let count = (out.len() / number.size()) as u64;
        let mut scales = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        self.for_each_block(first..first + count, |block| scales.push(block.scale))?;
        number.write_all(&scales, out);
        Ok(())
    }

    fn fill_zeros(self: &Arc<Self>, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let bits = u64::from(self.codes().bits());
        let count = (out.len() as u64 * 8 / bits).min(self.blocks() - first);
        let mut zeros = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        self.for_each_block(first..first + count, |block| zeros.push(block.zero))?;
        pack::pack(self.codes().bits(), &zeros, out);
        Ok(())
    }
}
