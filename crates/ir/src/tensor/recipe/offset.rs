//! Integers counted from the smallest of their signed type.

use super::{Recipe, Tensor, TensorError};
use crate::ElementType;

impl Tensor {
    /// Adds half of the range to signed integers of 2, 4 or 8 bits, which makes them unsigned, or subtracts it from
    /// unsigned ones.
    ///
    /// # Errors
    /// If the elements are not integers of 2, 4 or 8 bits.
    pub fn offset(&self) -> Result<Self, TensorError> {
        let element = match self.element {
            ElementType::I2 => ElementType::U2,
            ElementType::U2 => ElementType::I2,
            ElementType::I4 => ElementType::U4,
            ElementType::U4 => ElementType::I4,
            ElementType::I8 => ElementType::U8,
            ElementType::U8 => ElementType::I8,
            _ => return Err(self.refuse("offset", "its elements are not integers of 2, 4 or 8 bits")),
        };
        Self::made(element, &self.dims, Recipe::Offset(self.clone()))
    }
}

/// Flips the top bit of the elements of `of` from `first` on.
pub(super) fn offset(of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let bits = of.element.bits();
    let top: u8 = match bits {
        8 => 0x80,
        4 => 0x88,
        _ => 0xaa,
    };
    of.read(first, out)?;
    for byte in out.iter_mut() {
        *byte ^= top;
    }
    // The last byte of the tensor may have bits that no element uses.
    let unused = (out.len() as u64 * 8).saturating_sub((of.count() - first) * u64::from(bits));
    if let Some(last) = out.last_mut() {
        *last &= u8::MAX >> unused.min(7);
    }
    Ok(())
}
