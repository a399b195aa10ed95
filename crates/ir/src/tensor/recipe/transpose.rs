//! Swapping the last two axes of a tensor, strip by strip.

use super::{BLOCK, Data, Tensor, TensorError};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Deref;

/// A matrix in a file is mapped up to this size; a larger one is read in strips.
const WHOLE: u64 = 64 << 20;

/// The bytes of each row of a file that a strip takes: with fewer, the system call costs more than the bytes.
const PIECE: u64 = 2 << 10;

/// The elements of each computed row that a strip takes at least: whole blocks of the usual sizes.
const COMPUTED: u64 = 512;

/// The maximum size of a strip, unless one column is larger.
const STRIP: u64 = 16 << 20;

/// Returns the number of columns of a source that are read at once, to become rows of its transpose.
pub(super) fn strip_columns(of: &Tensor) -> u64 {
    let size = u64::from(of.element.bits() / 8).max(1);
    let &[.., rows, columns] = of.dims() else { return 1 };
    let column = rows.saturating_mul(size).max(1);
    let most = match &of.data {
        Data::File(_) if column.saturating_mul(columns) <= WHOLE => columns,
        Data::File(_) => (PIECE / size).min(STRIP / column),
        // Whole rows, if they are few, and otherwise not too few elements of a row: then finding them takes longer than
        // computing them.
        _ if column.saturating_mul(columns) <= 4 * BLOCK => columns,
        _ => (BLOCK / column / COMPUTED * COMPUTED).max(COMPUTED.min(STRIP / column)),
    };
    most.clamp(1, columns.max(1))
}

/// `width` columns of a source from `first` on, in the matrix that begins with the element `base`.
struct Strip {
    of: Tensor,
    base: u64,
    first: u64,
    width: u64,
    bytes: Columns,
    /// When the strip was used last.
    used: u64,
}

impl Strip {
    /// Returns when the strip was used last and how many bytes it maps, if it is a map.
    fn mapped(&self) -> Option<(u64, u64)> {
        matches!(self.bytes, Columns::Mapped(_)).then_some((self.used, self.bytes.len() as u64))
    }
}

/// The bytes of the columns of a strip.
enum Columns {
    Mapped(Bytes),
    Read(Vec<u8>),
}

impl Deref for Columns {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Columns::Mapped(bytes) => bytes,
            Columns::Read(bytes) => bytes,
        }
    }
}

/// The strips read last: parts of a block that are computed one after the other need the same strips.
struct Strips {
    all: Vec<Strip>,
    /// The number of strips requested so far.
    requested: u64,
}

thread_local! {
    static STRIPS: RefCell<Strips> = const { RefCell::new(Strips { all: vec![], requested: 0 }) };
}

/// The number of strips that are kept: packed weights are three side by side.
const MAX_STRIPS: u64 = 3;

impl Strips {
    /// Takes out a matching strip, or else a buffer of `wanted` bytes.
    fn take(&mut self, wanted: u64, is_it: impl Fn(&Strip) -> bool) -> Result<Strip, Vec<u8>> {
        self.requested += 1;
        if let Some(at) = self.all.iter().position(is_it) {
            return Ok(self.all.swap_remove(at));
        }
        let requested = self.requested;
        // The oldest map goes first, so that at most one large matrix is in memory.
        let mut mapped: Vec<(u64, u64)> = self.all.iter().filter_map(Strip::mapped).collect();
        mapped.sort_unstable();
        let mut total: u64 = mapped.iter().map(|(_, len)| len).sum();
        for (used, len) in mapped {
            if total + wanted <= WHOLE {
                break;
            }
            self.all.retain(|strip| strip.mapped() != Some((used, len)));
            total -= len;
        }
        let stale = self.all.extract_if(.., |strip| strip.used + MAX_STRIPS < requested);
        // A reused buffer needs no new pages.
        let room = |strip: Strip| match strip.bytes {
            Columns::Mapped(_) => None,
            Columns::Read(bytes) => Some(bytes),
        };
        Err(stale.filter_map(room).max_by_key(Vec::len).unwrap_or_default())
    }

    fn put(&mut self, strip: Strip) {
        self.all.push(Strip { used: self.requested, ..strip });
    }
}

/// Returns the strip that begins with column `first`; the caller gives it back to [`STRIPS`].
fn strip(of: &Tensor, base: u64, first: u64, width: u64) -> Result<Strip, TensorError> {
    let is_it = |strip: &Strip| strip.base == base && strip.first == first && strip.of.is_same(of);
    let size = u64::from(of.element.bits() / 8);
    let &[.., rows, columns] = of.dims() else { return Err(of.refuse("transpose", "it has fewer than two axes")) };
    let in_memory =
        |bytes: u64| usize::try_from(bytes).map_err(|_| of.refuse("transpose", "a row does not fit in memory"));
    let mut bytes = match STRIPS.with_borrow_mut(|strips| strips.take(rows * width * size, is_it)) {
        Ok(strip) => return Ok(strip),
        Err(bytes) => bytes,
    };
    let made = |bytes| Ok(Strip { of: of.clone(), base, first, width, bytes, used: 0 });
    if width == columns
        && let Data::File(range) = &of.data
    {
        return made(Columns::Mapped(range.slice(base * size, rows * columns * size)?.map()?));
    }
    bytes.resize(in_memory(rows * width * size)?, 0);
    if width == columns {
        of.read(base, &mut bytes)?;
    } else {
        for (row, place) in (0..rows).zip(bytes.chunks_exact_mut(in_memory(width * size)?)) {
            of.read(base + row * columns + first, place)?;
        }
    }
    made(Columns::Read(bytes))
}

/// Fills `out` with the elements from `first` on of `of` with its last two axes swapped.
pub(super) fn transpose(of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let size = of.element.bits() as usize / 8;
    let &[.., rows, columns] = of.dims() else { return Err(of.refuse("transpose", "it has fewer than two axes")) };
    let wide = |count: u64| usize::try_from(count).map_err(|_| of.refuse("transpose", "a row does not fit in memory"));
    let (matrix, most) = (rows * columns, strip_columns(of));
    let mut at = first;
    let mut out = out;
    while !out.is_empty() {
        // Row `r` of the result is column `r` of the source: whole rows are read as a strip of columns of the source.
        let (base, within) = (at / matrix * matrix, at % matrix);
        let strip_first = within / rows / most * most;
        let strip = strip(of, base, strip_first, most.min(columns - strip_first))?;
        let skipped = within - strip_first * rows;
        let taken = (strip.width * rows - skipped).min((out.len() / size) as u64);
        let (now, later) = out.split_at_mut(wide(taken)? * size);
        let (width, rows, skipped) = (wide(strip.width)?, wide(rows)?, wide(skipped)?);
        match size {
            1 => gather::<1, 64>(&strip.bytes, width, rows, skipped, now),
            2 => gather::<2, 32>(&strip.bytes, width, rows, skipped, now),
            4 => gather::<4, 16>(&strip.bytes, width, rows, skipped, now),
            8 => gather::<8, 8>(&strip.bytes, width, rows, skipped, now),
            _ => gather::<16, 4>(&strip.bytes, width, rows, skipped, now),
        }
        STRIPS.with_borrow_mut(|strips| strips.put(strip));
        at += taken;
        out = later;
    }
    Ok(())
}

/// Sets `out[i]` to element `skipped + i` of the transpose of `source`, a matrix of `rows` rows of `width` elements.
///
/// Tiles, a cache line wide, pass through a small buffer: each line of both sides is touched once, whatever the
/// strides.
fn gather<const SIZE: usize, const TILE: usize>(
    source: &[u8],
    width: usize,
    rows: usize,
    skipped: usize,
    out: &mut [u8],
) {
    let source = source.as_chunks::<SIZE>().0;
    let out = out.as_chunks_mut::<SIZE>().0;
    let mut buffer = [[[0; SIZE]; TILE]; TILE];
    let requested = skipped / rows..(skipped + out.len()).div_ceil(rows);
    // Neighboring tiles first: they share the rows of the source that are in the cache.
    for top in (0..rows).step_by(TILE) {
        let height = TILE.min(rows - top);
        for left in requested.clone().step_by(TILE) {
            let columns = TILE.min(requested.end - left);
            for (row, line) in buffer[..height].iter_mut().enumerate() {
                let start = (top + row) * width + left;
                let found = &source[start..start + columns];
                // A whole tile has a size known to the compiler.
                match <&[[u8; SIZE]; TILE]>::try_from(found) {
                    Ok(found) => *line = *found,
                    Err(_) => line[..columns].copy_from_slice(found),
                }
            }
            for column in 0..columns {
                // The first row of the result may begin, and the last end, within the tile.
                let start = (left + column) * rows + top;
                let whole = start.checked_sub(skipped).and_then(|start| out.get_mut(start..start + height));
                if let Some(places) = whole {
                    match <&mut [[u8; SIZE]; TILE]>::try_from(&mut *places) {
                        Ok(places) => (0..TILE).for_each(|row| places[row] = buffer[row][column]),
                        Err(_) => places.iter_mut().zip(&buffer).for_each(|(place, line)| *place = line[column]),
                    }
                    continue;
                }
                for (row, line) in buffer[..height].iter().enumerate() {
                    if let Some(place) = (start + row).checked_sub(skipped).and_then(|at| out.get_mut(at)) {
                        *place = line[column];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType::F32;
    use netwright_files::{AtomicFile, ScratchFolder, Source};

    /// The number of elements of the file, which takes 80 MiB.
    const COUNT: u64 = 20 << 20;

    /// The elements of the file that are their own position; the others are 0.
    const PLACES: [u64; 5] = [1, 5 << 20 | 3, 10 << 20, 17 << 20 | 7, COUNT - 1];

    fn file(folder: &ScratchFolder) -> Source {
        let path = folder.path().join("weights");
        let mut file = AtomicFile::create(&path).unwrap();
        file.reserve(COUNT * 4).unwrap();
        for place in PLACES {
            file.write_at(place * 4, &u32::try_from(place).unwrap().to_le_bytes()).unwrap();
        }
        file.commit().unwrap();
        Source::open(path).unwrap()
    }

    fn matrix(source: &Source, dims: &[u64]) -> Tensor {
        let range = source.range(0, dims.iter().product::<u64>() * 4).unwrap();
        Tensor::from_file(F32, dims, range).unwrap()
    }

    #[test]
    fn columns_that_are_read_at_once() {
        let folder = ScratchFolder::create().unwrap();
        let source = file(&folder);
        let computed = |dims: &[u64]| Tensor::fill(0.0, dims).unwrap();
        for (tensor, expected) in [
            (computed(&[4, 3]), 3),
            (computed(&[1 << 10, 1 << 10]), 1 << 10),
            (computed(&[1 << 10, 2304]), 512),
            (computed(&[200, 6000]), 1024),
            (computed(&[1 << 17, 100]), 32),
            (computed(&[1 << 22, 100]), 1),
            (matrix(&source, &[1 << 11, 1 << 13]), 1 << 13),
            (matrix(&source, &[200, 100_000]), 512),
            (matrix(&source, &[1 << 16, 300]), 64),
        ] {
            assert_eq!(strip_columns(&tensor), expected, "{}", tensor.ty());
        }
    }

    /// Reads single elements, so that little of the file is read.
    #[test]
    fn matrices_in_files_are_transposed() {
        let folder = ScratchFolder::create().unwrap();
        let source = file(&folder);
        STRIPS.with_borrow_mut(|strips| strips.all.clear());
        // The map of a matrix of 40 MiB is dropped when the next one is mapped, or is not among the strips used last.
        for (dims, maps) in [(&[2, 10, 1 << 20][..], 1), (&[1 << 12, 5120], 0)] {
            let (rows, columns) = (dims[dims.len() - 2], dims[dims.len() - 1]);
            let transposed = matrix(&source, dims).transposed().unwrap();
            for place in PLACES {
                let (matrix, within) = (place / (rows * columns), place % (rows * columns));
                let first = matrix * rows * columns + within % columns * rows + within / columns;
                let mut found = [0; 4];
                transposed.read(first, &mut found).unwrap();
                assert_eq!(u64::from(u32::from_le_bytes(found)), place, "{dims:?}");
            }
            let mapped = STRIPS.with_borrow(|strips| strips.all.iter().filter_map(Strip::mapped).count());
            assert_eq!(mapped, maps, "{dims:?}");
        }
    }

    #[test]
    fn strips_that_are_kept() {
        let strip = |used: u64, bytes| Strip { of: Tensor::indices(&[]), base: 0, first: 0, width: 1, bytes, used };
        let used = |strips: &Strips| strips.all.iter().map(|strip| strip.used).collect::<Vec<_>>();
        // Of three maps of 30 MiB and one more, the limit leaves two.
        let map = |at| strip(at, Columns::Mapped(vec![0; 30 << 20].into()));
        let mut strips = Strips { all: [1, 2, 3].map(map).into(), requested: 3 };
        assert_eq!(strips.take(30 << 20, |_| false).err(), Some(vec![]));
        assert_eq!(used(&strips), [3]);
        // The buffer of a strip that was not among the last ones is used again.
        let read = |at: u8| strip(at.into(), Columns::Read(vec![at]));
        let mut strips = Strips { all: [7, 8, 9].map(read).into(), requested: 10 };
        assert_eq!(strips.take(0, |_| false).err(), Some(vec![7]));
        assert_eq!(used(&strips), [8, 9]);
        strips.put(read(0));
        assert_eq!(used(&strips), [8, 9, 11]);
        assert!(strips.take(0, |strip| strip.used == 11).is_ok());
    }
}
