//! The float types that recipes compute with: reading, writing, scaling and casting their elements.

use super::super::blocks::pack;
use super::{BLOCK, Data, Recipe, Tensor, TensorError};
use crate::ElementType;
use half::slice::HalfFloatSliceExt;

/// A float type that recipes compute with.
#[derive(Clone, Copy, Debug)]
pub(in crate::tensor) enum Number {
    F32,
    F64,
    F16,
    BF16,
}

impl Number {
    pub(in crate::tensor) fn of(element: ElementType) -> Option<Self> {
        match element {
            ElementType::F32 => Some(Number::F32),
            ElementType::F64 => Some(Number::F64),
            ElementType::F16 => Some(Number::F16),
            ElementType::BF16 => Some(Number::BF16),
            _ => None,
        }
    }

    /// Returns the bytes of a number.
    pub(in crate::tensor) fn size(self) -> usize {
        match self {
            Number::F16 | Number::BF16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    pub(super) fn scale(self, factor: f32, all: &mut [u8]) {
        match self {
            // Written out because this loop runs over every weight and must vectorize.
            Number::F32 => all.as_chunks_mut::<4>().0.iter_mut().for_each(|place| {
                *place = (f32::from_le_bytes(*place) * factor).to_le_bytes();
            }),
            Number::F64 | Number::F16 | Number::BF16 => {
                for place in all.chunks_exact_mut(self.size()) {
                    self.write(self.read(place) * f64::from(factor), place);
                }
            }
        }
    }

    /// Returns whether an element is infinite.
    pub(super) fn has_infinity(self, all: &[u8]) -> bool {
        // No early return, so that the loops vectorize.
        let infinite = half::f16::INFINITY.to_bits();
        match self {
            Number::F16 => {
                let found = |any, x: &[u8; 2]| any | (u16::from_le_bytes(*x) & !(1 << 15) == infinite);
                all.as_chunks::<2>().0.iter().fold(false, found)
            }
            Number::F32 => {
                let found = |any, x: &[u8; 4]| any | f32::from_le_bytes(*x).is_infinite();
                all.as_chunks::<4>().0.iter().fold(false, found)
            }
            Number::BF16 | Number::F64 => all.chunks_exact(self.size()).any(|x| self.read(x).is_infinite()),
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

    /// Rounds each float to its place.
    pub(in crate::tensor) fn write_all(self, floats: &[f32], out: &mut [u8]) {
        /// The floats that are written at once: they stay in the cache.
        const PIECE: usize = 1024;
        let mut bytes = [0; 4 * PIECE];
        for (floats, out) in floats.chunks(PIECE).zip(out.chunks_mut(self.size() * PIECE)) {
            let bytes = &mut bytes[..4 * floats.len()];
            bytes.as_chunks_mut().0.iter_mut().zip(floats).for_each(|(place, x)| *place = x.to_le_bytes());
            match self {
                Number::F32 => out.copy_from_slice(bytes),
                _ => convert(Number::F32, self, bytes, out),
            }
        }
    }

    /// Rounds once, from `f64`: no type here is wider.
    pub(in crate::tensor) fn write(self, value: f64, place: &mut [u8]) {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "the result is an f32")]
            Number::F32 => place.copy_from_slice(&(value as f32).to_le_bytes()),
            Number::F64 => place.copy_from_slice(&value.to_le_bytes()),
            // Both types drop the lower half of an f64 before they round.
            Number::F16 => place.copy_from_slice(&half::f16::from_f32(to_odd(value)).to_le_bytes()),
            Number::BF16 => place.copy_from_slice(&half::bf16::from_f32(to_odd(value)).to_le_bytes()),
        }
    }
}

/// Rounds to the neighbor whose last bit is 1, unless the number is exact: rounding the result to a shorter type is then
/// the same as rounding the number to it once.
fn to_odd(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded below")]
    let nearest = value as f32;
    let back = f64::from(nearest);
    #[expect(clippy::float_cmp, reason = "whether the number is exact")]
    if back == value || !nearest.is_finite() {
        return nearest;
    }
    let toward_zero = nearest.to_bits() - u32::from(back.abs() > value.abs());
    f32::from_bits(toward_zero | 1)
}

/// Fills `out` with the elements of `of` from `first` on, in the type of `tensor`.
pub(super) fn cast(tensor: &Tensor, of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    if widened(of.element).is_some() {
        return pack::read(of, first, out);
    }
    if widened(tensor.element).is_some() {
        return narrow(tensor, of, first, out);
    }
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
        convert(from, to, source, part);
        at += (part.len() / to_size) as u64;
    }
    Ok(())
}

/// Converts the numbers of `source`, as many as `out` has room for, and rounds each once.
fn convert(from: Number, to: Number, source: &[u8], out: &mut [u8]) {
    /// The numbers that are converted at once: they stay in the cache.
    const PIECE: usize = 1024;
    // The loops over weights are written out because they must vectorize.
    match (from, to) {
        (Number::F32, Number::F16) => {
            let (mut floats, mut halves) = ([0.0; PIECE], [half::f16::ZERO; PIECE]);
            for (source, out) in source.chunks(4 * PIECE).zip(out.chunks_mut(2 * PIECE)) {
                let (source, out) = (source.as_chunks().0, out.as_chunks_mut().0);
                let (floats, halves) = (&mut floats[..source.len()], &mut halves[..source.len()]);
                floats.iter_mut().zip(source).for_each(|(x, raw)| *x = f32::from_le_bytes(*raw));
                halves.convert_from_f32_slice(floats);
                out.iter_mut().zip(halves).for_each(|(place, x)| *place = x.to_le_bytes());
            }
        }
        (Number::F16, Number::F32) => {
            let (mut floats, mut halves) = ([0.0; PIECE], [half::f16::ZERO; PIECE]);
            for (source, out) in source.chunks(2 * PIECE).zip(out.chunks_mut(4 * PIECE)) {
                let (source, out) = (source.as_chunks().0, out.as_chunks_mut().0);
                let (floats, halves) = (&mut floats[..source.len()], &mut halves[..source.len()]);
                halves.iter_mut().zip(source).for_each(|(x, raw)| *x = half::f16::from_le_bytes(*raw));
                halves.convert_to_f32_slice(floats);
                out.iter_mut().zip(floats).for_each(|(place, x): (&mut [u8; 4], _)| *place = x.to_le_bytes());
            }
        }
        (Number::F32, Number::BF16) => {
            for (raw, place) in source.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                let bits = u32::from_le_bytes(*raw);
                // To the nearest, to even if two are equally near; NaN is quiet.
                let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
                let is_nan = bits & 0x7fff_ffff > 0x7f80_0000;
                let [low, high, ..] = if is_nan { bits >> 16 | 0x40 } else { rounded }.to_le_bytes();
                *place = [low, high];
            }
        }
        (Number::BF16, Number::F32) => {
            for (raw, place) in source.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                let bits = u32::from(u16::from_le_bytes(*raw)) << 16;
                let is_nan = bits & 0x7fff_ffff > 0x7f80_0000;
                *place = if is_nan { bits | 0x40_0000 } else { bits }.to_le_bytes();
            }
        }
        _ => one_by_one(from, to, source, out),
    }
}

fn one_by_one(from: Number, to: Number, source: &[u8], out: &mut [u8]) {
    let pairs = source.chunks_exact(from.size()).zip(out.chunks_exact_mut(to.size()));
    pairs.for_each(|(source, place)| to.write(from.read(source), place));
}

/// Returns the type of 8 bits for integers of 2 or 4 bits, which have the same sign.
pub(crate) fn widened(element: ElementType) -> Option<ElementType> {
    match element {
        ElementType::I2 | ElementType::I4 => Some(ElementType::I8),
        ElementType::U2 | ElementType::U4 => Some(ElementType::U8),
        _ => None,
    }
}

/// Fills `out` with the integers of `of` from `first` on, packed in the type of `tensor`.
fn narrow(tensor: &Tensor, of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let in_byte = 8 / tensor.element.bits().max(1) as usize;
    let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let mut source = vec![0; (out.len() * in_byte).min(block)];
    let mut at = first;
    for part in out.chunks_mut(block / in_byte) {
        let left = usize::try_from(tensor.count() - at).unwrap_or(usize::MAX);
        let source = &mut source[..(part.len() * in_byte).min(left)];
        of.read(at, source)?;
        pack::pack(tensor.element.bits(), source, part);
        at += source.len() as u64;
    }
    Ok(())
}

/// Reads elements of a float tensor as `f32`, in buffers that are used again.
pub(in crate::tensor) struct Floats<'a> {
    of: &'a Tensor,
    bytes: Vec<u8>,
    halves: Vec<half::f16>,
    decoded: Vec<f32>,
}

impl<'a> Floats<'a> {
    pub(in crate::tensor) fn of(of: &'a Tensor) -> Self {
        // Floats that were cast to f32 are converted only here.
        let of = match &of.data {
            Data::Recipe(recipe) => match recipe.as_ref() {
                Recipe::Cast(other) if of.element == ElementType::F32 => other,
                _ => of,
            },
            _ => of,
        };
        Self { of, bytes: vec![], halves: vec![], decoded: vec![] }
    }

    /// Reads `count` elements from `first` on.
    pub(in crate::tensor) fn read(&mut self, first: u64, count: u64) -> Result<&[f32], TensorError> {
        self.read_rows(first, count, (1, count))
    }

    /// Reads `count` elements of each of some rows, from `first` on in the first of them.
    pub(in crate::tensor) fn read_rows(
        &mut self,
        first: u64,
        count: u64,
        (rows, width): (u64, u64),
    ) -> Result<&[f32], TensorError> {
        let number = Number::of(self.of.element);
        let number = number.ok_or_else(|| self.of.refuse("read", "its elements are not f32, f16, bf16 or f64"))?;
        let in_memory = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let (all, count) = if count == width { (1, count.saturating_mul(rows)) } else { (rows, count) };
        self.bytes.resize(in_memory(count.saturating_mul(all)).saturating_mul(number.size()), 0);
        let places = self.bytes.chunks_exact_mut((in_memory(count) * number.size()).max(1));
        for (row, place) in places.enumerate() {
            self.of.read(first + row as u64 * width, place)?;
        }
        self.decoded.resize(in_memory(count.saturating_mul(all)), 0.0);
        let places = self.decoded.iter_mut();
        match number {
            Number::F32 => places.zip(self.bytes.as_chunks().0).for_each(|(x, raw)| *x = f32::from_le_bytes(*raw)),
            Number::BF16 => places.zip(self.bytes.as_chunks().0).for_each(|(x, raw)| {
                *x = f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
            }),
            Number::F16 => {
                self.halves.clear();
                self.halves.extend(self.bytes.as_chunks().0.iter().map(|raw| half::f16::from_le_bytes(*raw)));
                self.halves.convert_to_f32_slice(&mut self.decoded);
            }
            #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
            Number::F64 => {
                places.zip(self.bytes.as_chunks().0).for_each(|(x, raw)| *x = f64::from_le_bytes(*raw) as f32);
            }
        }
        Ok(&self.decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_converted_at_once_are_those_converted_one_by_one() {
        let narrow: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        // The floats around each one that is exact in a narrow type, and around the middle between two.
        let around = |at: u16| {
            [Number::F16, Number::BF16].into_iter().flat_map(move |number| {
                let exact = number.read(&at.to_le_bytes());
                #[expect(clippy::cast_possible_truncation, reason = "it is exact")]
                let bits = (exact as f32).to_bits();
                [0, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, u32::MAX].map(|more| bits.wrapping_add(more))
            })
        };
        let wide: Vec<u8> = (0..=u16::MAX).flat_map(around).flat_map(u32::to_le_bytes).collect();
        for (from, to, source) in [
            (Number::F16, Number::F32, &narrow),
            (Number::BF16, Number::F32, &narrow),
            (Number::F32, Number::F16, &wide),
            (Number::F32, Number::BF16, &wide),
        ] {
            let [mut all, mut each] = [(); 2].map(|()| vec![0; source.len() / from.size() * to.size()]);
            convert(from, to, source, &mut all);
            one_by_one(from, to, source, &mut each);
            let differ = all.chunks(to.size()).zip(each.chunks(to.size())).position(|(all, each)| all != each);
            assert_eq!(differ, None, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn floats_are_read_by_rows() {
        use ElementType::{BF16, F16, F32, F64};
        let counting = Tensor::from_floats(&[3, 4], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        for narrow in [F32, F16, BF16, F64] {
            let narrow = counting.as_ref().unwrap().cast(narrow).unwrap();
            for tensor in [narrow.cast(F32).unwrap(), narrow] {
                let mut floats = Floats::of(&tensor);
                assert_eq!(floats.read_rows(1, 2, (3, 4)).unwrap(), [1.0, 2.0, 5.0, 6.0, 9.0, 10.0]);
                assert_eq!(floats.read_rows(4, 4, (2, 4)).unwrap(), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
            }
        }
        // What is too large for the type is infinite, whatever it was cast from.
        let large = Tensor::fill(65536.0, &[1]).and_then(|large| large.cast(BF16)?.cast(F16)).unwrap();
        assert_eq!(Floats::of(&large).read(0, 1).unwrap(), [f32::INFINITY]);
    }
}
