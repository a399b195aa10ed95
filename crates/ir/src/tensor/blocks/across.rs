//! Codes and numbers of blocks along the second last axis: the transpose of a tensor that was quantized transposed, as
//! ONNX files hold weights. Rows are read and written as they are in the file.

use super::super::recipe::Floats;
use super::encode::{Block, Encoder, PIECE};
use super::nearest::{self, Chosen, LANES, Lanes};
use super::{Rounding, TensorError, kept, pack, search};
use std::ops::Range;
use std::sync::Arc;

/// The number of elements of the blocks that are chosen at once, except that at least one group of columns is.
const TILE: u64 = 1 << 20;

impl Encoder {
    pub(super) fn height(&self) -> u64 {
        self.of.dims.iter().rev().nth(1).copied().unwrap_or(1).max(1)
    }

    /// Returns the rows of a row of blocks.
    fn rows(&self, of: u64) -> Range<u64> {
        let blocks = self.format.blocks(self.height());
        let start = of % blocks * self.format.size;
        let matrix = of / blocks * self.height();
        matrix + start..matrix + self.height().min(start.saturating_add(self.format.size))
    }

    /// Sets `numbers` to those of consecutive blocks, which are beside one another.
    pub(super) fn numbers_across(
        self: &Arc<Self>,
        blocks: Range<u64>,
        numbers: &mut Vec<Block>,
    ) -> Result<(), TensorError> {
        numbers.clear();
        let mut own = vec![];
        let mut at = blocks.start;
        while at < blocks.end {
            let (row, column) = (at / self.width(), at % self.width());
            let rows = self.rows(row);
            let columns = (TILE / (rows.end - rows.start)).clamp(LANES as u64, 512);
            let end = (column + columns).min(self.width()).min(column + blocks.end - at);
            if !kept::get(self, at..at + (end - column), &mut own) {
                self.choose_across(&rows, column..end, &mut own)?;
                self.keep(at, &own)?;
            }
            numbers.extend_from_slice(&own);
            at += end - column;
        }
        Ok(())
    }

    /// Sets `numbers` to those of the blocks in some rows and columns.
    fn choose_across(
        &self,
        rows: &Range<u64>,
        columns: Range<u64>,
        numbers: &mut Vec<Block>,
    ) -> Result<(), TensorError> {
        let in_memory = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let (height, width) = (in_memory(rows.end - rows.start), in_memory(columns.end - columns.start));
        // The lanes of a group of columns, row after row.
        let mut lanes = vec![Lanes::default(); height * width.div_ceil(LANES)];
        let mut floats = Floats::of(&self.of);
        for (at, row) in rows.clone().enumerate() {
            let floats = floats.read(row * self.width() + columns.start, columns.end - columns.start)?;
            for (group, floats) in floats.chunks(LANES).enumerate() {
                lanes[group * height + at][..floats.len()].copy_from_slice(floats);
            }
        }
        numbers.clear();
        let (mut block, mut chosen) = (vec![], Chosen::default());
        for (group, floats) in lanes.chunks_exact(height).enumerate() {
            let own = numbers.len();
            let is_finite = chosen.lanes(floats, (self.format, self.scale), numbers);
            numbers.truncate(own + LANES.min(width - group * LANES));
            self.expect_in_range(is_finite, &numbers[own..])?;
            if self.rounding == Rounding::Search && height as u64 > search::TOGETHER {
                for (lane, numbers) in numbers[own..].iter_mut().enumerate() {
                    block.clear();
                    block.extend(floats.iter().map(|floats| floats[lane]));
                    search::group(&[&block], &mut vec![]).improve(
                        self.format,
                        self.scale,
                        std::slice::from_mut(numbers),
                    );
                }
            }
            if self.rounding == Rounding::Search && height as u64 <= search::TOGETHER {
                let group = search::Group { floats, spread: false };
                group.improve(self.format, self.scale, &mut numbers[own..]);
            }
        }
        Ok(())
    }

    pub(super) fn fill_codes_across(self: &Arc<Self>, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let bits = self.codes().bits();
        let (mut floats, mut numbers, mut factors, mut codes) = (Floats::of(&self.of), vec![], vec![], vec![]);
        let (width, blocks) = (self.width(), self.format.blocks(self.height()));
        let mut first = first;
        for piece in out.chunks_mut(PIECE * bits as usize / 8) {
            let count = (piece.len() as u64 * 8 / u64::from(bits)).min(self.of.count() - first);
            codes.resize(usize::try_from(count).unwrap_or(usize::MAX), 0);
            let (mut at, end) = (first, first + count);
            let mut places = &mut *codes;
            // Of no row of blocks yet.
            let mut known = u64::MAX;
            while at < end {
                let (row, column) = (at / width, at % width);
                let len = (width - column).min(end - at);
                let own = row / self.height() * blocks + row % self.height() / self.format.size;
                if own != known {
                    // Other rows may need other columns, unless this is the only one.
                    let columns = if end - first > len { 0..width } else { column..column + len };
                    self.numbers_across(own * width + columns.start..own * width + columns.end, &mut numbers)?;
                    factors.clear();
                    factors.extend(numbers.iter().map(|numbers| numbers.factors()));
                    known = own;
                }
                let skipped =
                    if factors.len() as u64 == width { usize::try_from(column).unwrap_or(usize::MAX) } else { 0 };
                let floats = floats.read(at, len)?;
                let (here, later) = places.split_at_mut(floats.len());
                nearest::encode_each(floats, factors.get(skipped..).unwrap_or_default(), self.format, here);
                places = later;
                at += len;
            }
            pack::pack(bits, &codes, piece);
            first += count;
        }
        Ok(())
    }
}
