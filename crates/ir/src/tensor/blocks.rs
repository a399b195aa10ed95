//! Tensors quantized in blocks: codes of a few bits, and a scale for each block of elements along the last axis.
//!
//! - `encode` computes codes, scales and zero points while they are written, `across` does so for blocks across rows; `nearest` and `search` choose the numbers
//!   of a block.
//! - `decode` computes the floats that the codes mean.
//! - `kept` remembers the numbers of the blocks encoded last, for the next of the three.
//! - `pack` stores codes in bytes.
//! - `ggml` reads the block formats of GGUF files.
//! - `layout` arranges codes and scales as operators expect them.

use super::recipe::Number;
use super::{Data, Recipe, Tensor, TensorError};
use crate::ElementType;
use encode::MAX_BLOCK;
use std::sync::Arc;

mod across;
pub(super) mod decode;
pub(super) mod encode;
pub(super) mod ggml;
mod kept;
mod layout;
mod nearest;
pub(super) mod pack;
mod search;
#[cfg(test)]
mod tests;

pub use encode::{Encoder, QuantizedPart};
pub use ggml::{GgmlFormat, GgmlPart};
pub use layout::QuantizedOperands;

/// How a float tensor is quantized: in blocks along its last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockFormat {
    /// The bits of a code: 4 or 8; 7 in elements of 8 bits, for kernels whose sums of two products saturate; or 2,
    /// which no tensor is quantized to.
    pub bits: u32,
    /// The number of elements that share a scale; the last block of a row may be shorter.
    pub size: u64,
    /// Whether codes are signed and the zero point is 0. Otherwise they are unsigned, and each block has a zero point.
    pub symmetric: bool,
}

/// How the scale and the zero point of a block are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// The range of the codes covers the block exactly, as in ONNX Runtime's weight-only quantizer.
    Nearest,
    /// The squared error of the block is close to the smallest possible.
    Search,
}

impl BlockFormat {
    /// Returns the element type of the codes; `None` if no type has as many bits.
    pub fn element(self) -> Option<ElementType> {
        Some(match (self.bits, self.symmetric) {
            (2, true) => ElementType::I2,
            (2, false) => ElementType::U2,
            (4, true) => ElementType::I4,
            (4, false) => ElementType::U4,
            (7 | 8, true) => ElementType::I8,
            (7 | 8, false) => ElementType::U8,
            _ => return None,
        })
    }

    /// Returns the number of blocks of a row of so many elements.
    pub fn blocks(self, width: u64) -> u64 {
        width.div_ceil(self.size.max(1))
    }

    /// Returns the zero point of symmetric codes counted from the smallest.
    fn middle(self) -> u8 {
        1 << (self.bits.clamp(1, 8) - 1)
    }

    /// Returns the largest code counted from the smallest.
    fn largest(self) -> u8 {
        u8::MAX >> (8 - self.bits.clamp(1, 8))
    }
}

/// A tensor quantized in blocks along its last axis: the float that a code means is `(code - zero) * scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    codes: Tensor,
    scales: Tensor,
    zeros: Option<Tensor>,
    format: BlockFormat,
}

impl Quantized {
    /// Joins codes with the scales and zero points of their blocks.
    ///
    /// `scales` and `zeros` have the shape of `codes`, except that the last axis counts blocks; `zeros` have the type of
    /// `codes`.
    ///
    /// # Errors
    /// If the types or shapes do not fit `format`, and if zero points are given for symmetric codes or missing for
    /// others.
    pub fn from_parts(
        codes: Tensor,
        scales: Tensor,
        zeros: Option<Tensor>,
        format: BlockFormat,
    ) -> Result<Self, TensorError> {
        let refuse = |tensor: &Tensor, why| Err(tensor.refuse("dequantize", why));
        if format.element() != Some(codes.element) {
            return refuse(&codes, "its elements are not the codes of the format");
        }
        if format.size == 0 {
            return refuse(&codes, "a block has no elements");
        }
        let Some((width, rows)) = codes.dims.split_last() else {
            return refuse(&codes, "it has no axis");
        };
        let expected = [rows, &[format.blocks(*width)]].concat();
        if *scales.dims != *expected || scales.element.bits() > 32 || Number::of(scales.element).is_none() {
            return refuse(&scales, "the scales must be one f32, f16 or bf16 for each block");
        }
        match &zeros {
            Some(zeros) if format.symmetric => refuse(zeros, "symmetric codes have no zero points"),
            None if !format.symmetric => refuse(&codes, "the zero points are missing"),
            Some(zeros) if *zeros.dims != *expected || zeros.element != codes.element => {
                refuse(zeros, "the zero points must be one code for each block")
            }
            _ => Ok(Self { codes, scales, zeros, format }),
        }
    }

    /// Returns the codes, in the shape of the source.
    pub fn codes(&self) -> &Tensor {
        &self.codes
    }

    /// Returns the scales: the last axis counts blocks.
    pub fn scales(&self) -> &Tensor {
        &self.scales
    }

    /// Returns the zero points in the type of the codes, unless the format is symmetric: the last axis counts blocks.
    pub fn zeros(&self) -> Option<&Tensor> {
        self.zeros.as_ref()
    }

    /// Returns the format.
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// Returns the floats `(code - zero) * scale`, each rounded once to the type.
    ///
    /// # Errors
    /// If the type is not `f32`, `f16`, `bf16` or `f64`.
    pub fn dequantized(&self, to: ElementType) -> Result<Tensor, TensorError> {
        if Number::of(to).is_none() {
            return Err(self.codes.refuse("dequantize", "the result must be f32, f16, bf16 or f64"));
        }
        Tensor::made(to, &self.codes.dims, Recipe::Dequantize(Box::new(self.clone())))
    }
}

impl Tensor {
    /// Returns the quantized tensor whose floats this is, if it was created by [`Quantized::dequantized`].
    pub fn quantization(&self) -> Option<&Quantized> {
        match &self.data {
            Data::Recipe(recipe) => match recipe.as_ref() {
                Recipe::Dequantize(quantized) => Some(quantized),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether the elements are scales or zero points of blocks, perhaps rearranged, which are computed
    /// together with the codes.
    pub fn follows_codes(&self) -> bool {
        let mut tensor = self;
        while let Data::Recipe(recipe) = &tensor.data {
            match (recipe.as_ref(), recipe.tensors().next()) {
                (Recipe::Quantize { part, .. }, _) => return *part != QuantizedPart::Codes,
                (_, Some(inner)) => tensor = inner,
                (_, None) => return false,
            }
        }
        false
    }

    /// Quantizes a float tensor in blocks along its last axis.
    ///
    /// The scales are rounded to the type `scale` before the codes are chosen. Codes, scales and zero points are
    /// recipes: an element that is infinite or NaN, or a scale that overflows, is an error when they are read. Call
    /// [`Tensor::quantizable`] to know before.
    ///
    /// # Errors
    /// If the tensor is not one of floats with at least one element, `scale` is not `f32`, `f16` or `bf16`, the bits are
    /// not 4, 7 or 8, or a block has more than 2^20 elements.
    pub fn quantized(
        &self,
        format: BlockFormat,
        rounding: Rounding,
        scale: ElementType,
    ) -> Result<Quantized, TensorError> {
        let refuse = |why| Err(self.refuse("quantize", why));
        let (Some(element), 4..) = (format.element(), format.bits) else {
            return refuse("codes have 4, 7 or 8 bits");
        };
        let Some((&width, rows)) = self.dims.split_last().filter(|_| !self.is_empty()) else {
            return refuse("it has no axis or no elements");
        };
        if Number::of(self.element).is_none() {
            return refuse("its elements are not f32, f16, bf16 or f64");
        }
        if scale.bits() > 32 || Number::of(scale).is_none() {
            return refuse("the scales must be f32, f16 or bf16");
        }
        if format.size == 0 || format.size.min(width) > MAX_BLOCK {
            return refuse("a block has no elements or more than 2^20");
        }
        let encoder = Arc::new(Encoder::new(self.clone(), format, rounding, scale));
        let part = |part, element, dims: &[u64]| {
            Tensor::made(element, dims, Recipe::Quantize { part, encoder: Arc::clone(&encoder) })
        };
        let blocks = [rows, &[format.blocks(width)]].concat();
        let codes = part(QuantizedPart::Codes, element, &self.dims)?;
        let scales = part(QuantizedPart::Scales, scale, &blocks)?;
        let zeros = (!format.symmetric).then(|| part(QuantizedPart::Zeros, element, &blocks)).transpose()?;
        Quantized::from_parts(codes, scales, zeros, format)
    }

    /// Checks that the tensor can be quantized with scales of the type: reads it once, in pieces.
    ///
    /// # Errors
    /// If an element is infinite, NaN or so large that a range, a scale or a dequantized element may overflow, if all
    /// elements are so small that scales are not normal numbers of their type, and if a file cannot be read.
    pub fn quantizable(&self, format: BlockFormat, scale: ElementType) -> Result<(), TensorError> {
        self.quantizable_with(self.magnitude()?, format, scale)
    }

    /// Checks that a tensor whose [`magnitude`](Self::magnitude) is known can be quantized with scales of the type.
    ///
    /// # Errors
    /// As for [`quantizable`](Self::quantizable), except that no file is read.
    pub fn quantizable_with(&self, magnitude: f64, format: BlockFormat, scale: ElementType) -> Result<(), TensorError> {
        let is_finite = |element: ElementType, number: f64| element.round(number).is_some_and(f64::is_finite);
        // A searched scale maps the largest element to no less than half of the codes of its sign, so that codes may mean
        // numbers of twice its size. Without symmetry, a range is as large.
        let element = if self.element.bits() > 32 { ElementType::F32 } else { self.element };
        if !is_finite(element, magnitude * 2.0) {
            return Err(self.refuse("quantize", "an element is infinite, NaN or too large"));
        }
        if !is_finite(scale, magnitude / f64::from(format.middle()) * 2.0) {
            return Err(self.refuse("quantize", "a scale may overflow its type"));
        }
        let codes = if format.symmetric { format.middle() } else { format.largest() };
        if magnitude > 0.0 && scale.least_normal().is_some_and(|least| magnitude / f64::from(codes) < least) {
            return Err(self.refuse("quantize", "its elements are too small for scales of the type"));
        }
        Ok(())
    }
}
