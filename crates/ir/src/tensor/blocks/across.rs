//! Codes and numbers of blocks along the second last axis: the transpose of a tensor that was quantized transposed, as
//! ONNX files hold weights. Rows are read and written as they are in the file.

use super::super::recipe::Floats;
use super::encode::{Block, Encoder};
use super::nearest::{self, Chosen, LANES, Lanes};
use super::{Rounding, TensorError, kept, search};
use std::ops::Range;
use std::sync::Arc;

/// The number of elements of blocks beside one another that are read at once: they stay in the cache.
const TILE: u64 = 1 << 17;

/// The columns of long blocks that are read at once: with fewer, the system call costs more than the bytes.
const COLUMNS: u64 = 512;

/// The maximum number of elements that are read at once, except that at least one group of columns is.
const MAX_TILE: u64 = 1 << 20;

/// Buffers for the floats of blocks and their numbers.
struct Tiles<'a> {
    floats: Floats<'a>,
    chosen: Chosen,
    lanes: Vec<Lanes>,
    numbers: Vec<Block>,
}

/// Blocks beside one another.
struct Tile<'t> {
    /// The rows that were read.
    rows: Range<u64>,
    /// Those of the rows in the columns of the blocks.
    floats: &'t [f32],
    numbers: &'t [Block],
}

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

    fn tiles(&self) -> Tiles<'_> {
        Tiles { floats: Floats::of(&self.of), chosen: Chosen::default(), lanes: vec![], numbers: vec![] }
    }

    /// Splits columns of a row of blocks with so many rows into those that are read at once.
    fn columns(&self, of: Range<u64>, height: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        // Whole rows are read at once, so they may be somewhat longer.
        let whole = if height * self.width() <= 2 * TILE { self.width() } else { 0 };
        let most = (TILE / height).max(COLUMNS.min(MAX_TILE / height)).max(LANES as u64).max(whole);
        let starts = std::iter::successors(Some(of.start), move |at| at.checked_add(most));
        let starts = starts.take_while(move |start| *start < of.end);
        starts.map(move |start| start..of.end.min(start.saturating_add(most)))
    }

    /// Sets `numbers` to those of consecutive blocks, which are beside one another.
    pub(super) fn numbers_across(
        self: &Arc<Self>,
        blocks: Range<u64>,
        numbers: &mut Vec<Block>,
    ) -> Result<(), TensorError> {
        let mut tiles = self.tiles();
        numbers.clear();
        let mut at = blocks.start;
        while at < blocks.end {
            let (own, column) = (at / self.width(), at % self.width());
            let rows = self.rows(own);
            let end = self.width().min(column + blocks.end - at);
            for columns in self.columns(column..end, rows.end - rows.start) {
                numbers.extend_from_slice(self.tile(own, &columns, &(rows.start..rows.start), &mut tiles)?.numbers);
            }
            at += end - column;
        }
        Ok(())
    }

    /// Chooses the numbers of the blocks in some columns of a row of blocks, and reads at least the floats of the `needed`
    /// rows.
    fn tile<'t>(
        self: &Arc<Self>,
        own: u64,
        columns: &Range<u64>,
        needed: &Range<u64>,
        tiles: &'t mut Tiles<'_>,
    ) -> Result<Tile<'t>, TensorError> {
        let blocks = own * self.width() + columns.start..own * self.width() + columns.end;
        let width = columns.end - columns.start;
        let is_known = kept::get(self, blocks.clone(), &mut tiles.numbers);
        let rows = if is_known { needed.clone() } else { self.rows(own) };
        let first = rows.start * self.width() + columns.start;
        let Tiles { floats, chosen, lanes, numbers } = tiles;
        let floats = floats.read_rows(first, width, (rows.end - rows.start, self.width()))?;
        if !is_known {
            self.choose_across(floats, usize::try_from(width).unwrap_or(usize::MAX), chosen, lanes, numbers)?;
            self.keep(blocks.start, numbers)?;
        }
        Ok(Tile { rows, floats, numbers })
    }

    /// Sets `numbers` to those of the blocks of columns of rows of `width` floats.
    fn choose_across(
        &self,
        floats: &[f32],
        width: usize,
        chosen: &mut Chosen,
        lanes: &mut Vec<Lanes>,
        numbers: &mut Vec<Block>,
    ) -> Result<(), TensorError> {
        numbers.clear();
        let is_finite = chosen.columns(floats, width, (self.format, self.scale), numbers);
        self.expect_in_range(is_finite, numbers)?;
        if self.rounding == Rounding::Nearest {
            return Ok(());
        }
        let mut block = vec![];
        for (group, numbers) in numbers.chunks_mut(LANES).enumerate() {
            let columns = group * LANES..group * LANES + numbers.len();
            lanes.clear();
            lanes.extend(floats.chunks_exact(width).map(|row| {
                let mut lanes = Lanes::default();
                lanes[..columns.len()].copy_from_slice(&row[columns.clone()]);
                lanes
            }));
            if lanes.len() as u64 <= search::TOGETHER {
                search::Group { floats: lanes, spread: false }.improve(self.format, self.scale, numbers);
                continue;
            }
            for (lane, numbers) in numbers.iter_mut().enumerate() {
                block.clear();
                block.extend(lanes.iter().map(|floats| floats[lane]));
                let group = &mut vec![];
                search::group(&[&block], group).improve(self.format, self.scale, std::slice::from_mut(numbers));
            }
        }
        Ok(())
    }

    pub(super) fn codes_across(self: &Arc<Self>, first: u64, codes: &mut [u8]) -> Result<(), TensorError> {
        let in_memory = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let (width, blocks) = (self.width(), self.format.blocks(self.height()));
        let (mut tiles, mut inverses, mut zeros) = (self.tiles(), vec![], vec![]);
        let (mut at, end) = (first, first + codes.len() as u64);
        while at < end {
            let own = at / width / self.height() * blocks + at / width % self.height() / self.format.size;
            let rows = self.rows(own);
            let stop = end.min(rows.end * width);
            let needed = at / width..stop.div_ceil(width);
            // Several rows need all columns.
            let columns = if needed.end - needed.start > 1 { 0..width } else { at % width..(stop - 1) % width + 1 };
            for columns in self.columns(columns, rows.end - rows.start) {
                let Tile { rows: read, floats, numbers } = self.tile(own, &columns, &needed, &mut tiles)?;
                let skipped = in_memory((needed.start - read.start) * (columns.end - columns.start));
                let floats = floats[skipped..].chunks_exact(in_memory(columns.end - columns.start));
                inverses.clear();
                zeros.clear();
                for numbers in numbers {
                    let (inverse, zero) = numbers.factors();
                    inverses.push(inverse);
                    zeros.push(zero);
                }
                for (row, floats) in needed.clone().zip(floats) {
                    // The first row may begin, and the last end, within the columns.
                    let start = row * width + columns.start;
                    let (from, to) = (start.max(at), (row * width + columns.end).min(stop));
                    if from < to {
                        let skipped = in_memory(from - start);
                        let place = &mut codes[in_memory(from - first)..in_memory(to - first)];
                        let factors = (&inverses[skipped..], &zeros[skipped..]);
                        nearest::encode_each(&floats[skipped..], factors, self.format, place);
                    }
                }
            }
            at = stop;
        }
        Ok(())
    }
}
