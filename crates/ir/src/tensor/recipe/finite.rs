//! Floats that are checked while they are read.

use super::{Number, Recipe, Tensor, TensorError};

impl Tensor {
    /// Returns the same floats; reading one that is infinite is an error. A tensor that is [cast](Self::cast) to a narrower
    /// type is so checked for numbers that the type does not hold, without being read once more.
    ///
    /// # Errors
    /// If the elements are not `f32`, `f16`, `bf16` or `f64`.
    pub fn expecting_no_infinity(&self) -> Result<Self, TensorError> {
        if Number::of(self.element).is_none() {
            return Err(self.refuse("finite", "its elements are not f32, f16, bf16 or f64"));
        }
        Self::made(self.element, &self.dims, Recipe::Finite(self.clone()))
    }
}

/// Fills `out` with the elements of `of` from `first` on, of which none may be infinite.
pub(super) fn expect_finite(of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    of.read(first, out)?;
    if Number::of(of.element).is_some_and(|number| number.has_infinity(out)) {
        return Err(of.refuse("finite", "an element is infinite in its type"));
    }
    Ok(())
}
