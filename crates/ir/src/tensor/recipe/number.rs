//! The float types that recipes scale and cast.

use super::{BLOCK, Tensor, TensorError};
use crate::ElementType;

/// A float type that recipes compute with.
#[derive(Clone, Copy)]
pub(super) enum Number {
    F32,
    F64,
    F16,
    BF16,
}

impl Number {
    pub(super) fn of(element: ElementType) -> Option<Self> {
        match element {
            ElementType::F32 => Some(Number::F32),
            ElementType::F64 => Some(Number::F64),
            ElementType::F16 => Some(Number::F16),
            ElementType::BF16 => Some(Number::BF16),
            _ => None,
        }
    }

    pub(super) fn scale(self, factor: f32, all: &mut [u8]) {
        match self {
            // Written out because this loop runs over every weight and must vectorize.
            Number::F32 => all.as_chunks_mut::<4>().0.iter_mut().for_each(|place| {
                *place = (f32::from_le_bytes(*place) * factor).to_le_bytes();
            }),
            Number::F64 | Number::F16 | Number::BF16 => {
                let size = if matches!(self, Number::F64) { 8 } else { 2 };
                for place in all.chunks_exact_mut(size) {
                    self.write(self.read(place) * f64::from(factor), place);
                }
            }
        }
    }

    fn read(self, bytes: &[u8]) -> f64 {
        match self {
            Number::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into(),
            Number::F64 => f64::from_le_bytes(std::array::from_fn(|at| bytes[at])),
            Number::F16 => half::f16::from_le_bytes([bytes[0], bytes[1]]).into(),
            Number::BF16 => half::bf16::from_le_bytes([bytes[0], bytes[1]]).into(),
        }
    }

    /// Rounds once, from `f64`: no type here is wider.
    fn write(self, value: f64, place: &mut [u8]) {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "the result is an f32")]
            Number::F32 => place.copy_from_slice(&(value as f32).to_le_bytes()),
            Number::F64 => place.copy_from_slice(&value.to_le_bytes()),
            Number::F16 => place.copy_from_slice(&half::f16::from_f64(value).to_le_bytes()),
            Number::BF16 => place.copy_from_slice(&half::bf16::from_f64(value).to_le_bytes()),
        }
    }
}

/// Fills `out` with the elements of `of` from `first` on, in the type of `tensor`.
pub(super) fn cast(tensor: &Tensor, of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let (Some(from), Some(to)) = (Number::of(of.element), Number::of(tensor.element)) else {
        return Err(tensor.refuse("cast", "both types must be f32, f16, bf16 or f64"));
    };
    let (from_size, to_size) = (of.element.bits() as usize / 8, tensor.element.bits() as usize / 8);
    let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let mut source = vec![0; (out.len() / to_size * from_size).min(block)];
    let mut at = first;
    for part in out.chunks_mut(block / from_size * to_size) {
        let source = &mut source[..part.len() / to_size * from_size];
        of.read(at, source)?;
        let pairs = source.chunks_exact(from_size).zip(part.chunks_exact_mut(to_size));
        pairs.for_each(|(source, place)| to.write(from.read(source), place));
        at += (part.len() / to_size) as u64;
    }
    Ok(())
}
