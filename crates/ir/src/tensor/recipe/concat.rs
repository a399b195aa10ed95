//! Concatenation of tensors along their last axis.

use super::{BLOCK, Tensor, TensorError};

/// Reads each tensor in strips of whole rows and puts the rows side by side.
pub(super) fn concat(whole: &Tensor, tensors: &[Tensor], first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let size = u64::from(whole.element.bits() / 8);
    let Some(width) = whole.dims.last().map(|width| width * size).filter(|width| *width > 0) else { return Ok(()) };
    let in_memory =
        |bytes: u64| usize::try_from(bytes).map_err(|_| whole.refuse("concat", "a row does not fit in memory"));
    let (start, end) = (first * size, first * size + out.len() as u64);
    let most_rows = (BLOCK / width).max(1);
    let mut row = start / width;
    while row * width < end {
        let rows = most_rows.min((end - row * width).div_ceil(width));
        let mut offset = 0;
        for tensor in tensors {
            let own = tensor.dims.last().map_or(0, |own| own * size);
            let mut strip = vec![0; in_memory(rows * own)?];
            tensor.read(row * own / size, &mut strip)?;
            for (at, part) in (row..).zip(strip.chunks_exact(in_memory(own)?.max(1))) {
                let place = at * width + offset;
                let (from, to) = (place.max(start), (place + own).min(end));
                if from < to {
                    let place = in_memory(from - place)?..in_memory(to - place)?;
                    out[in_memory(from - start)?..in_memory(to - start)?].copy_from_slice(&part[place]);
                }
            }
            offset += own;
        }
        row += rows;
    }
    Ok(())
}
