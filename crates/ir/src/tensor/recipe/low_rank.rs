//! Sums of a matrix and a product of two small ones, as adapters are merged.

use super::{BLOCK, Floats, Number, Recipe, Tensor, TensorError};
use crate::ElementType;

/// A matrix plus a scaled product of low rank.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// The matrix `[rows, columns]`.
    pub(crate) of: Tensor,
    /// The left factor `[rows, rank]`.
    pub(crate) left: Tensor,
    /// The right factor `[rank, columns]`.
    pub(crate) right: Tensor,
    /// The scale of the product.
    pub(crate) scale: f32,
}

impl Tensor {
    /// Adds `scale · left · right` to a matrix `[rows, columns]`; the factors are `[rows, rank]` and `[rank, columns]`.
    /// Sums are computed in `f32`, and rounded once to the type of the matrix.
    ///
    /// # Errors
    /// If the shapes do not fit, or an element type is not `f32`, `f16`, `bf16` or `f64`.
    pub fn plus_low_rank(&self, left: &Tensor, right: &Tensor, scale: f32) -> Result<Self, TensorError> {
        for tensor in [self, left, right] {
            if Number::of(tensor.element).is_none() {
                return Err(tensor.refuse("low_rank", "its elements are not f32, f16, bf16 or f64"));
            }
        }
        match (self.dims(), left.dims(), right.dims()) {
            ([rows, columns], [height, rank], [depth, width])
                if rows == height && columns == width && rank == depth => {}
            _ => return Err(self.refuse("low_rank", "the factors do not have its rows and columns, and one rank")),
        }
        LowRank { of: self.clone(), left: left.clone(), right: right.clone(), scale }.into_tensor()
    }
}

impl LowRank {
    fn into_tensor(self) -> Result<Tensor, TensorError> {
        let (element, dims) = (self.of.element, self.of.dims.clone());
        Tensor::made(element, &dims, Recipe::LowRank(Box::new(self)))
    }

    /// Returns the transpose, which is a sum of the same form.
    pub(super) fn transposed(&self) -> Result<Tensor, TensorError> {
        let [of, left, right] = [&self.of, &self.right, &self.left].map(Tensor::transposed);
        Self { of: of?, left: left?, right: right?, scale: self.scale }.into_tensor()
    }

    /// Fills `out` with the sums from element `first` on, in the type `to`.
    pub(super) fn fill(&self, to: ElementType, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let (Some(number), &[rank, columns]) = (Number::of(to), self.right.dims()) else { return Ok(()) };
        let [mut of, mut left, mut right] = [&self.of, &self.left, &self.right].map(Floats::of);
        // A matrix of low rank is small beside the one that it is added to.
        let right = right.read(0, rank * columns)?;
        let in_memory = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let mut product: Vec<f32> = vec![];
        let (size, mut at) = (number.size(), first);
        for part in out.chunks_mut(in_memory(BLOCK)) {
            let count = part.len() / size;
            let (row, last) = (at / columns, (at + count as u64).div_ceil(columns));
            let left = left.read(row * rank, (last - row) * rank)?;
            product.clear();
            product.resize(count, 0.0);
            let (mut row, mut column, mut rest) = (0, in_memory(at % columns), &mut *product);
            while !rest.is_empty() {
                // The rest of a row.
                let (here, later) = rest.split_at_mut(rest.len().min(in_memory(columns) - column));
                for factor in 0..in_memory(rank) {
                    let (x, start) = (left[row * in_memory(rank) + factor], factor * in_memory(columns) + column);
                    here.iter_mut().zip(&right[start..]).for_each(|(sum, y)| *sum += x * y);
                }
                (row, column, rest) = (row + 1, 0, later);
            }
            let base = of.read(at, count as u64)?;
            product.iter_mut().zip(base).for_each(|(sum, x)| *sum = x + self.scale * *sum);
            number.write_all(&product, part);
            at += count as u64;
        }
        Ok(())
    }
}
