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
            // The bytes of the rows that are requested: all but for the first and the last row.
            let from = start.saturating_sub(row * width + offset).min(own);
            let to = (rows * own).min((rows - 1) * own + end.saturating_sub((row + rows - 1) * width + offset));
            let mut strip = vec![0; in_memory(to.saturating_sub(from))?];
            tensor.read((row * own + from) / size, &mut strip)?;
            for at in row..row + rows {
                let place = at * width + offset;
                let (first, last) = (place.max(start), (place + own).min(end));
                if first < last {
                    let skipped = in_memory((at - row) * own + first - place - from)?;
                    let here = in_memory(first - start)?..in_memory(last - start)?;
                    out[here.clone()].copy_from_slice(&strip[skipped..skipped + here.len()]);
                }
            }
            offset += own;
        }
        row += rows;
    }
    Ok(())
}
