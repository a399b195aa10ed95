//! Matrices of 8-bit floats with a scale for each tile.

use super::{Floats, Number, Recipe, Tensor, TensorError};
use crate::ElementType;

/// A matrix of 8-bit floats with a scale for each tile of rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// The 8-bit floats `[rows, columns]`.
    pub(crate) of: Tensor,
    /// The scales, one for each tile; the last tiles may be smaller.
    pub(crate) scales: Tensor,
    /// The rows and columns of a tile.
    pub(crate) tile: [u64; 2],
}

impl Tensor {
    /// Multiplies a matrix of 8-bit floats `[rows, columns]` by the scale of each tile, `[ceil(rows / tile[0]),
    /// ceil(columns / tile[1])]`. Each product is rounded once to the type.
    ///
    /// # Errors
    /// If the elements are not `f8e4m3fn` or `f8e5m2`, the scales do not fit, or the result is not one of `f32`, `f16`,
    /// `bf16` and `f64`.
    pub fn scaled_by_tiles(&self, scales: &Tensor, tile: [u64; 2], to: ElementType) -> Result<Self, TensorError> {
        if !matches!(self.element, ElementType::F8E4M3FN | ElementType::F8E5M2) {
            return Err(self.refuse("tiles", "its elements are not f8e4m3fn or f8e5m2"));
        }
        if Number::of(to).is_none() {
            return Err(self.refuse("tiles", "the result must be f32, f16, bf16 or f64"));
        }
        let &[rows, columns] = self.dims() else { return Err(self.refuse("tiles", "it is not a matrix")) };
        let [height, width] = tile;
        if height == 0 || width == 0 {
            return Err(self.refuse("tiles", "a tile has no elements"));
        }
        let expected = [rows.div_ceil(height), columns.div_ceil(width)];
        if *scales.dims != expected || scales.element.bits() > 32 || Number::of(scales.element).is_none() {
            return Err(scales.refuse("tiles", "the scales must be one f32, f16 or bf16 for each tile"));
        }
        let tiles = Tiles { of: self.clone(), scales: scales.clone(), tile };
        Self::made(to, &self.dims, Recipe::Tiles(Box::new(tiles)))
    }
}

/// Returns the number that the bits of an 8-bit float mean.
fn decode(element: ElementType, bits: u8) -> f32 {
    // An f8e5m2 is the upper half of an f16.
    if element == ElementType::F8E5M2 {
        return half::f16::from_bits(u16::from(bits) << 8).to_f32();
    }
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2.0_f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
    };
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

impl Tiles {
    /// Fills `out` with the products from element `first` on, in the type `to`.
    pub(super) fn fill(&self, to: ElementType, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let (Some(number), &[_, columns]) = (Number::of(to), self.of.dims()) else { return Ok(()) };
        let table: Vec<f32> = (0..=u8::MAX).map(|bits| decode(self.of.element, bits)).collect();
        let [height, width] = self.tile;
        let tiles = columns.div_ceil(width);
        let mut scales = Floats::of(&self.scales);
        let mut bytes = vec![];
        let (mut at, mut rest) = (first, out);
        while !rest.is_empty() {
            // The rest of a row.
            let (row, column) = (at / columns, at % columns);
            let left = usize::try_from(columns - column).unwrap_or(usize::MAX);
            let here = left.min(rest.len() / number.size());
            let (part, later) = rest.split_at_mut(here * number.size());
            bytes.resize(here, 0);
            self.of.read(at, &mut bytes)?;
            let (from, to) = (column / width, (column + here as u64 - 1) / width);
            let scales = scales.read(row / height * tiles + from, to - from + 1)?;
            let mut tile_start = column % width;
            let (mut bytes, mut places) = (&*bytes, part);
            for scale in scales {
                let count = usize::try_from(width - tile_start).unwrap_or(usize::MAX).min(bytes.len());
                let (own, others) = places.split_at_mut(count * number.size());
                for (bits, place) in bytes[..count].iter().zip(own.chunks_exact_mut(number.size())) {
                    // The product is exact in double precision.
                    number.write(f64::from(table[usize::from(*bits)]) * f64::from(*scale), place);
                }
                (bytes, places, tile_start) = (&bytes[count..], others, 0);
            }
            at += here as u64;
            rest = later;
        }
        Ok(())
    }
}
