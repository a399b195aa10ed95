//! The floats that codes mean: `(code - zero) * scale`.

use super::super::recipe::{Floats, Number};
use super::{Quantized, TensorError, pack};
use crate::ElementType;

/// The number of elements that are computed at once.
const CHUNK: usize = 1 << 14;

impl Quantized {
    /// Computes the floats from element `first` on, in the type `to`.
    pub(in crate::tensor) fn fill(&self, to: ElementType, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let Some(number) = Number::of(to) else { return Ok(()) };
        let (width, size) = (self.codes.dims.last().copied().unwrap_or(1).max(1), self.format.size);
        let blocks = self.format.blocks(width);
        let block_of = |element: u64| element / width * blocks + element % width / size;
        let bytes = to.bits() as usize / 8;
        let (mut codes, mut zeros) = (vec![0; CHUNK.min(out.len() / bytes)], vec![]);
        let mut scales = Floats::of(&self.scales);
        let mut at = first;
        for piece in out.chunks_mut(CHUNK * bytes) {
            let count = piece.len() / bytes;
            let codes = &mut codes[..count];
            pack::read(&self.codes, at, codes)?;
            let of = block_of(at)..block_of(at + count as u64 - 1) + 1;
            let scales = scales.read(of.start, of.end - of.start)?;
            zeros.resize(scales.len(), 0);
            if let Some(of_blocks) = &self.zeros {
                pack::read(of_blocks, of.start, &mut zeros)?;
            }
            let mut column = at % width;
            let (mut codes, mut places) = (&*codes, piece);
            for (scale, zero) in scales.iter().zip(&zeros) {
                // The first block may begin before the piece, and the last may end after it.
                let len = (size - column % size).min(width - column);
                let here = usize::try_from(len).unwrap_or(usize::MAX).min(codes.len());
                let (own, rest) = places.split_at_mut(here * bytes);
                self.decode(&codes[..here], *scale, *zero, number, own);
                (codes, places, column) = (&codes[here..], rest, (column + len) % width);
            }
            at += count as u64;
        }
        Ok(())
    }

    /// Computes the floats of codes of one block.
    fn decode(&self, codes: &[u8], scale: f32, zero: u8, number: Number, out: &mut [u8]) {
        let value = |code: u8| {
            if self.format.symmetric { i16::from(code.cast_signed()) } else { i16::from(code) - i16::from(zero) }
        };
        // The product of a code and a scale of 16 bits is exact in single precision, and any in double precision.
        let product = |code: u8| f32::from(value(code)) * scale;
        let narrow = self.scales.element.bits() == 16;
        let halves = out.as_chunks_mut::<2>().0;
        match number {
            Number::F16 if narrow => codes.iter().zip(halves).for_each(|(code, place)| {
                *place = half::f16::from_f32(product(*code)).to_le_bytes();
            }),
            Number::BF16 if narrow => codes.iter().zip(halves).for_each(|(code, place)| {
                *place = half::bf16::from_f32(product(*code)).to_le_bytes();
            }),
            Number::F32 => codes.iter().zip(out.as_chunks_mut().0).for_each(|(code, place)| {
                *place = product(*code).to_le_bytes();
            }),
            _ => codes.iter().zip(out.chunks_exact_mut(number.size())).for_each(|(code, place)| {
                number.write(f64::from(value(*code)) * f64::from(scale), place);
            }),
        }
    }
}
