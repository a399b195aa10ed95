//! Codes of 4 bits that are packed in integers of 32 bits.

use super::{BLOCK, Recipe, Tensor, TensorError};
use crate::ElementType;

/// The number of codes in an integer.
const CODES: usize = 8;

impl Tensor {
    /// Unpacks integers of 32 bits `[.., n]` to `u4` codes `[.., 8 n]`: code `i` of an integer is in the four bits from
    /// `4 * order[i]` on. `plus` is added to each code, modulo 16.
    ///
    /// # Errors
    /// If the elements are not `i32` or `u32`, the tensor has no axis, or `order` is not a permutation of 0 to 7.
    pub fn unpacked(&self, order: [u8; CODES], plus: u8) -> Result<Self, TensorError> {
        if !matches!(self.element, ElementType::I32 | ElementType::U32) {
            return Err(self.refuse("unpack", "its elements are not integers of 32 bits"));
        }
        if (0..8).any(|place| !order.contains(&place)) {
            return Err(self.refuse("unpack", "the order is not a permutation of 0 to 7"));
        }
        let mut dims = self.dims.to_vec();
        let Some(last) = dims.last_mut() else { return Err(self.refuse("unpack", "it has no axis")) };
        *last = last.checked_mul(CODES as u64).ok_or_else(|| self.refuse("unpack", "it is too large"))?;
        Self::made(ElementType::U4, &dims, Recipe::Unpack { of: self.clone(), order, plus })
    }
}

/// Fills `out` with the codes from `first` on.
pub(super) fn unpack(of: &Tensor, order: [u8; CODES], plus: u8, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    /// The bytes of an integer, both packed and unpacked.
    const SIZE: usize = 4;
    let is_same = order == [0, 1, 2, 3, 4, 5, 6, 7] && plus.is_multiple_of(16);
    let shifts = order.map(|place| 4 * u32::from(place % 8));
    let mut words = vec![];
    // Codes within the first integer, in bytes, which come before `first`.
    let mut skipped = usize::try_from(first % CODES as u64 / 2).unwrap_or(0);
    let mut at = first / CODES as u64;
    let mut rest = out;
    while !rest.is_empty() {
        let here = rest.len().min(usize::try_from(BLOCK).unwrap_or(usize::MAX) - skipped);
        let (part, later) = rest.split_at_mut(here);
        words.resize((skipped + here).next_multiple_of(SIZE), 0);
        of.read(at, &mut words)?;
        if !is_same {
            for word in words.as_chunks_mut::<SIZE>().0 {
                let packed = u32::from_le_bytes(*word);
                let codes = shifts.iter().rev().fold(0, |codes, shift| {
                    let code = (packed >> shift).wrapping_add(plus.into()) & 15;
                    codes << 4 | code
                });
                *word = codes.to_le_bytes();
            }
        }
        part.copy_from_slice(&words[skipped..skipped + here]);
        at += (words.len() / SIZE) as u64;
        (rest, skipped) = (later, 0);
    }
    Ok(())
}
