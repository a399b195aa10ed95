//! Some rows of a tensor, and rows of a matrix in another order.

use super::{BLOCK, Quantized, Recipe, Tensor, TensorError};
use std::ops::Range;

impl Tensor {
    /// Reorders the rows of a matrix `[rows, columns]`: the rows are `rows / (outer * inner)` groups of `outer` times
    /// `inner` rows, which become `inner` times `outer` rows. So row `o * inner + i` of a group becomes its row
    /// `i * outer + o`.
    ///
    /// # Errors
    /// If the tensor is not a matrix of whole groups, or a row is not whole bytes.
    pub fn with_rows_interleaved(&self, outer: u64, inner: u64) -> Result<Self, TensorError> {
        let refuse = |why| Err(self.refuse("interleave", why));
        let &[rows, columns] = self.dims() else { return refuse("it is not a matrix") };
        if self.element.bytes(columns).is_none_or(|bytes| bytes * 8 != columns * u64::from(self.element.bits())) {
            return refuse("a row is not whole bytes");
        }
        if !outer.checked_mul(inner).is_some_and(|group| rows.is_multiple_of(group)) {
            return refuse("its rows are not whole groups");
        }
        Self::made(self.element, &self.dims, Recipe::Interleave { of: self.clone(), outer, inner })
    }

    /// Returns the rows of a range along the first axis.
    ///
    /// # Errors
    /// If the tensor has no axis or fewer rows, and if its elements are not whole bytes.
    pub fn rows(&self, rows: Range<u64>) -> Result<Self, TensorError> {
        let refuse = |why| Err(self.refuse("rows", why));
        let Some((own, rest)) = self.dims.split_first() else { return refuse("it has no axis") };
        if rows == (0..*own) {
            return Ok(self.clone());
        }
        if rows.start > rows.end || *own < rows.end {
            return refuse("it has fewer rows");
        }
        if self.element.bits() == 0 || !self.element.bits().is_multiple_of(8) {
            return refuse("its elements are not whole bytes");
        }
        let dims = [&[rows.end - rows.start], rest].concat();
        Self::made(self.element, &dims, Recipe::Rows { of: self.clone(), first: rows.start })
    }
}

impl Quantized {
    /// Reorders the rows of a matrix as [`Tensor::with_rows_interleaved`] does.
    ///
    /// # Errors
    /// As for that, if the codes, scales or zero points cannot be reordered.
    pub fn with_rows_interleaved(&self, outer: u64, inner: u64) -> Result<Self, TensorError> {
        let apart = |tensor: &Tensor| tensor.with_rows_interleaved(outer, inner);
        let zeros = self.zeros().map(apart).transpose()?;
        Self::from_parts(apart(self.codes())?, apart(self.scales())?, zeros, self.format())
    }
}

/// Fills `out` with the elements from `first` on.
pub(super) fn interleave(of: &Tensor, outer: u64, inner: u64, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let &[_, columns] = of.dims() else { return Ok(()) };
    let bits = u64::from(of.element.bits());
    let (mut at, mut rest) = (first, out);
    while !rest.is_empty() {
        let (row, column) = (at / columns, at % columns);
        let (group, own) = (row / (outer * inner), row % (outer * inner));
        let source = group * outer * inner + own % outer * inner + own / outer;
        let left = usize::try_from(((columns - column) * bits / 8).min(BLOCK)).unwrap_or(usize::MAX);
        let here = left.min(rest.len());
        let (part, later) = rest.split_at_mut(here);
        of.read(source * columns + column, part)?;
        at += here as u64 * 8 / bits;
        rest = later;
    }
    Ok(())
}
