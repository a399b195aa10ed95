//! Recipes: tensors computed from numbers or from other tensors, block by block, while they are written.

use super::blocks::{Encoder, GgmlFormat, GgmlPart, Quantized, QuantizedPart, ggml};
use super::{Data, Tensor, TensorError, count};
use crate::ElementType;
use std::sync::Arc;

mod concat;
mod finite;
mod grouped;
mod low_rank;
mod number;
mod offset;
mod random;
mod rows;
mod sinusoidal;
#[cfg(test)]
mod tests;
mod tiles;
mod transpose;
mod unpack;

pub use grouped::Grouped;
pub use low_rank::LowRank;
pub(crate) use number::widened;
pub(super) use number::{Floats, Number};
pub use tiles::Tiles;

/// How the elements of a tensor are computed.
///
/// Any block can be computed without the blocks before it, so several threads can compute blocks at once, and a tensor
/// larger than memory needs only a bounded buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// One element repeated, given by its bytes.
    Fill(Box<[u8]>),
    /// Pseudo-random `f32`s; the same seed gives the same elements on every machine.
    Random {
        /// The seed of the sequence.
        seed: u64,
        /// The distribution.
        distribution: Distribution,
    },
    /// The sinusoidal position table `[positions, d_model]` in `f32` ("Attention Is All You Need", section 3.5).
    Sinusoidal(Wave),
    /// A float tensor multiplied by a number, each product rounded to the tensor's type.
    Scale {
        /// The factor.
        factor: f32,
        /// The tensor.
        of: Tensor,
    },
    /// A float tensor in another float type, rounded to nearest, ties to even; or integers of 2 or 4 bits in elements
    /// of 8 bits, or back.
    Cast(Tensor),
    /// A tensor with its last two axes swapped.
    Transpose(Tensor),
    /// A tensor in another shape, if its own recipe depends on the shape.
    Reshape(Tensor),
    /// Tensors concatenated along their last axis.
    Concat(Box<[Tensor]>),
    /// The packed bytes of a tensor as elements of another type of at most 8 bits.
    Reinterpret(Tensor),
    /// Integers counted from the smallest of a signed type, or back: all with their top bit flipped.
    Offset(Tensor),
    /// A part of a float tensor quantized in blocks.
    Quantize {
        /// The part.
        part: QuantizedPart,
        /// What all parts are computed from.
        encoder: Arc<Encoder>,
    },
    /// The floats that a tensor quantized in blocks means.
    Dequantize(Box<Quantized>),
    /// Codes of 4 bits, eight in each integer of 32 bits: see [`Tensor::unpacked`].
    Unpack {
        /// The integers.
        of: Tensor,
        /// The place of each code in its integer.
        order: [u8; 8],
        /// What is added to each code, modulo 16.
        plus: u8,
    },
    /// A matrix of 8-bit floats multiplied by a scale for each tile.
    Tiles(Box<Tiles>),
    /// A matrix of codes whose columns are in groups: see [`Tensor::dequantized_by_groups`].
    Grouped(Box<Grouped>),
    /// A matrix plus a scaled product of low rank.
    LowRank(Box<LowRank>),
    /// A part of blocks of ggml: see [`Tensor::from_ggml`].
    Ggml {
        /// The bytes of the blocks.
        of: Tensor,
        /// The format of the blocks.
        format: GgmlFormat,
        /// The part.
        part: GgmlPart,
    },
    /// The rows of a matrix in another order: see [`Tensor::with_rows_interleaved`].
    Interleave {
        /// The matrix.
        of: Tensor,
        /// The number of runs of rows in a group.
        outer: u64,
        /// The number of rows in a run.
        inner: u64,
    },
    /// Rows of a tensor: see [`Tensor::rows`].
    Rows {
        /// The tensor.
        of: Tensor,
        /// The first row.
        first: u64,
    },
    /// A float tensor that is checked while it is read: see [`Tensor::expecting_no_infinity`].
    Finite(Tensor),
}

/// A distribution of random weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Uniform from `-bound` to `bound`.
    Uniform {
        /// The bound.
        bound: f32,
    },
}

/// The order of sines and cosines in the sinusoidal table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// `sin(p / 10000^(2i/d))` at `2i` and its cosine at `2i + 1`, as in the paper.
    Interleaved,
    /// All sines, then all cosines, with `10000^(i / (d/2 - 1))`, as in tensor2tensor and fairseq.
    Halves,
    /// The sines of [`Interleaved`](Wave::Interleaved), then its cosines, as in Marian.
    Grouped,
}

/// The size of a block: it fits the cache of one core and amortizes a system call.
pub(super) const BLOCK: u64 = 1 << 20;

impl Tensor {
    /// Creates an `f32` tensor of one repeated value.
    ///
    /// # Errors
    /// If the size of the shape overflows.
    pub fn fill(value: f32, dims: &[u64]) -> Result<Self, TensorError> {
        Self::fill_with(ElementType::F32, value.to_le_bytes().to_vec(), dims)
    }

    /// Creates a tensor of one repeated element, given by its bytes.
    ///
    /// # Errors
    /// If the bytes are not those of one element, or if the size of the shape overflows.
    pub fn fill_with(element: ElementType, value: Vec<u8>, dims: &[u64]) -> Result<Self, TensorError> {
        let whole = element.bits() > 0 && element.bits() as usize == value.len() * 8;
        let tensor = Self::made(element, dims, Recipe::Fill(value.into()))?;
        if whole { Ok(tensor) } else { Err(tensor.refuse("fill", "its bytes are not those of one element")) }
    }

    /// Creates a tensor of pseudo-random `f32` weights.
    ///
    /// # Errors
    /// If the size of the shape overflows.
    pub fn random(seed: u64, distribution: Distribution, dims: &[u64]) -> Result<Self, TensorError> {
        Self::made(ElementType::F32, dims, Recipe::Random { seed, distribution })
    }

    /// Creates the sinusoidal table `[positions, d_model]`, computed in double precision and rounded to `f32`.
    ///
    /// # Errors
    /// When `d_model` is odd, or below 4 for [`Wave::Halves`]: the table has a sine and a cosine for each frequency.
    pub fn sinusoidal(wave: Wave, positions: u64, d_model: u64) -> Result<Self, TensorError> {
        let table = Self::made(ElementType::F32, &[positions, d_model], Recipe::Sinusoidal(wave))?;
        if !d_model.is_multiple_of(2) || d_model < if wave == Wave::Halves { 4 } else { 2 } {
            return Err(table.refuse("sinusoidal", "the width must be even, and at least 4 in halves"));
        }
        Ok(table)
    }

    /// Multiplies the tensor by `factor`, each product rounded to the tensor's type.
    ///
    /// # Errors
    /// If the element type is not `f32`, `f16`, `bf16` or `f64`.
    pub fn scaled(&self, factor: f32) -> Result<Self, TensorError> {
        if Number::of(self.element).is_none() {
            return Err(self.refuse("scale", "its elements are not f32, f16, bf16 or f64"));
        }
        Self::made(self.element, &self.dims, Recipe::Scale { factor, of: self.clone() })
    }

    /// Casts the tensor to another float type, or integers of 2 or 4 bits to the type of 8 bits with the same sign, or
    /// such integers back: then their upper bits are dropped.
    ///
    /// # Errors
    /// If one of the types is not `f32`, `f16`, `bf16` or `f64`, except for these integers.
    pub fn cast(&self, to: ElementType) -> Result<Self, TensorError> {
        if to == self.element {
            return Ok(self.clone());
        }
        // Codes that were widened go back to what they were.
        if let Data::Recipe(recipe) = &self.data
            && let Recipe::Cast(of) = recipe.as_ref()
            && of.element == to
            && widened(to) == Some(self.element)
        {
            return Ok(of.clone());
        }
        let whole = widened(self.element) == Some(to) || widened(to) == Some(self.element);
        if !whole && Number::of(self.element).and(Number::of(to)).is_none() {
            return Err(self.refuse("cast", "both types must be f32, f16, bf16 or f64"));
        }
        Self::made(to, &self.dims, Recipe::Cast(self.clone()))
    }

    /// Swaps the last two axes.
    ///
    /// # Errors
    /// If the tensor has fewer than two axes, or elements of 6 bits.
    pub fn transposed(&self) -> Result<Self, TensorError> {
        let mut dims = self.dims.to_vec();
        let [.., rows, columns] = dims.as_mut_slice() else {
            return Err(self.refuse("transpose", "it has fewer than two axes"));
        };
        std::mem::swap(rows, columns);
        if let Some(transposed) = self.canceled() {
            return Ok(transposed);
        }
        if let Some(whole) = widened(self.element) {
            return self.cast(whole)?.transposed()?.cast(self.element);
        }
        if self.element.bits() == 0 || !self.element.bits().is_multiple_of(8) {
            return Err(self.refuse("transpose", "its elements are not whole bytes"));
        }
        Self::made(self.element, &dims, Recipe::Transpose(self.clone()))
    }

    /// Returns the transpose of a tensor that is transposed itself, perhaps before it was scaled, cast or concatenated:
    /// two transpositions cancel. That of a sum of low rank is the sum of transposes.
    pub(super) fn canceled(&self) -> Option<Self> {
        let Data::Recipe(recipe) = &self.data else { return None };
        let mut dims = self.dims.to_vec();
        let [.., rows, columns] = dims.as_mut_slice() else { return None };
        std::mem::swap(rows, columns);
        match recipe.as_ref() {
            Recipe::Transpose(of) => Some(of.clone()),
            Recipe::Scale { factor, of } => of.canceled()?.scaled(*factor).ok(),
            Recipe::Cast(of) => of.canceled()?.cast(self.element).ok(),
            Recipe::Finite(of) => of.canceled()?.expecting_no_infinity().ok(),
            Recipe::Quantize { part, encoder } => {
                let recipe = Recipe::Quantize { part: *part, encoder: Arc::new(encoder.transposed()?) };
                Self::made(self.element, &dims, recipe).ok()
            }
            Recipe::LowRank(sum) => sum.transposed().ok(),
            // Columns side by side are rows one below the other: one row of all elements.
            Recipe::Concat(tensors) => {
                let &[width, rows_of_all] = self.dims() else { return None };
                let rows = tensors.iter().map(|tensor| tensor.canceled()?.reshaped(&[1, tensor.count()]).ok());
                Self::concatenated(&rows.collect::<Option<Vec<_>>>()?).ok()?.reshaped(&[rows_of_all, width]).ok()
            }
            _ => None,
        }
    }

    /// Concatenates tensors along their last axis, the only one on which their sizes may differ.
    ///
    /// # Errors
    /// If there are no tensors, or if they have different types, different other axes, or elements of 6 bits.
    pub fn concatenated(tensors: &[Tensor]) -> Result<Self, TensorError> {
        let Some(first) = tensors.first() else {
            return Err(Self::indices(&[]).refuse("concat", "there are no tensors"));
        };
        let Some((_, outer)) = first.dims.split_last() else {
            return Err(first.refuse("concat", "it has no axis"));
        };
        if let Some(whole) = widened(first.element)
            && tensors.iter().all(|tensor| tensor.element == first.element)
        {
            let tensors: Result<Vec<_>, _> = tensors.iter().map(|tensor| tensor.cast(whole)).collect();
            return Self::concatenated(&tensors?)?.cast(first.element);
        }
        if first.element.bits() == 0 || !first.element.bits().is_multiple_of(8) {
            return Err(first.refuse("concat", "its elements are not whole bytes"));
        }
        let mut width = 0_u64;
        for tensor in tensors {
            let last = tensor.dims.split_last().filter(|(_, own)| *own == outer && tensor.element == first.element);
            let sum = last.and_then(|(last, _)| width.checked_add(*last));
            width = sum.ok_or_else(|| {
                tensor.refuse("concat", "its type or another axis differs from that of the first tensor")
            })?;
        }
        let dims = [outer, &[width]].concat();
        Self::made(first.element, &dims, Recipe::Concat(tensors.into()))
    }

    pub(super) fn made(element: ElementType, dims: &[u64], recipe: Recipe) -> Result<Self, TensorError> {
        count(element, dims)?;
        Ok(Self { element, dims: dims.into(), data: Data::Recipe(Arc::new(recipe)) })
    }

    pub(super) fn refuse(&self, recipe: &'static str, why: &'static str) -> TensorError {
        TensorError::Recipe { recipe, tensor: self.ty().to_string(), why }
    }
}

impl Recipe {
    /// Returns the tensors that the recipe reads.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let (tensors, others): (&[Tensor], [Option<&Tensor>; 3]) = match self {
            Recipe::Fill(_) | Recipe::Random { .. } | Recipe::Sinusoidal(_) => (&[], [None; 3]),
            Recipe::Scale { of, .. }
            | Recipe::Cast(of)
            | Recipe::Transpose(of)
            | Recipe::Reshape(of)
            | Recipe::Reinterpret(of)
            | Recipe::Offset(of)
            | Recipe::Unpack { of, .. }
            | Recipe::Ggml { of, .. }
            | Recipe::Interleave { of, .. }
            | Recipe::Rows { of, .. }
            | Recipe::Finite(of) => (std::slice::from_ref(of), [None; 3]),
            Recipe::Concat(tensors) => (tensors, [None; 3]),
            Recipe::Quantize { encoder, .. } => (std::slice::from_ref(&encoder.of), [None; 3]),
            Recipe::Dequantize(of) => (&[], [Some(of.codes()), Some(of.scales()), of.zeros()]),
            Recipe::Tiles(tiles) => (&[], [Some(&tiles.of), Some(&tiles.scales), None]),
            Recipe::Grouped(of) => (&[], [Some(&of.codes), Some(&of.scales), of.zeros.as_ref()]),
            Recipe::LowRank(sum) => (&[], [Some(&sum.of), Some(&sum.left), Some(&sum.right)]),
        };
        tensors.iter().chain(others.into_iter().flatten())
    }

    /// Returns the number of bytes that one thread should compute as one piece: a multiple of every element size.
    pub(super) fn block(&self, tensor: &Tensor) -> u64 {
        let bits = |tensor: &Tensor| u64::from(tensor.element.bits()).max(1);
        match self {
            Recipe::Fill(_) | Recipe::Random { .. } | Recipe::Sinusoidal(_) | Recipe::Ggml { .. } => BLOCK,
            Recipe::Transpose(of) => {
                let rows = of.dims.iter().rev().nth(1).copied().unwrap_or(1);
                (transpose::strip_columns(of) * rows * bits(of) / 8).max(BLOCK)
            }
            Recipe::Scale { of, .. }
            | Recipe::Reshape(of)
            | Recipe::Reinterpret(of)
            | Recipe::Offset(of)
            | Recipe::Unpack { of, .. }
            | Recipe::Interleave { of, .. }
            | Recipe::Rows { of, .. }
            | Recipe::Finite(of) => of.block(),
            Recipe::Tiles(tiles) => tiles.of.block() * bits(tensor) / bits(&tiles.of),
            Recipe::Grouped(of) => of.codes.block() * bits(tensor) / bits(&of.codes),
            Recipe::LowRank(sum) => sum.of.block(),
            Recipe::Cast(of) => of.block() * bits(tensor) / bits(of),
            Recipe::Quantize { part, encoder } => encoder.block(*part),
            Recipe::Dequantize(of) => of.codes().block() * bits(tensor) / bits(of.codes()),
            Recipe::Concat(tensors) => tensors.iter().map(Tensor::block).fold(0, u64::saturating_add).min(1 << 40),
        }
    }

    /// Creates a tensor of this recipe in another shape with the same number of elements.
    pub(super) fn reshape(&self, tensor: &Tensor, dims: &[u64]) -> Tensor {
        match self {
            Recipe::Fill(_) | Recipe::Random { .. } => Tensor { dims: dims.into(), ..tensor.clone() },
            Recipe::Reshape(of) if *of.dims == *dims => of.clone(),
            Recipe::Reshape(of) => reshape(of, dims),
            _ => reshape(tensor, dims),
        }
    }

    /// Computes the elements from `first` on; the caller checked that they are within the tensor.
    pub(super) fn fill(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        match self {
            Recipe::Fill(element) => {
                out.chunks_exact_mut(element.len()).for_each(|place| place.copy_from_slice(element));
                Ok(())
            }
            Recipe::Random { seed, distribution: Distribution::Uniform { bound } } => {
                random::random(*seed, *bound, first, out);
                Ok(())
            }
            Recipe::Sinusoidal(wave) => {
                sinusoidal::sinusoidal(*wave, tensor.dims[1], first, out);
                Ok(())
            }
            Recipe::Scale { factor, of } => {
                of.read(first, out)?;
                if let Some(number) = Number::of(tensor.element) {
                    number.scale(*factor, out);
                }
                Ok(())
            }
            Recipe::Cast(of) => number::cast(tensor, of, first, out),
            Recipe::Transpose(of) => transpose::transpose(of, first, out),
            Recipe::Reshape(of) => of.read(first, out),
            Recipe::Rows { of, first: row } => of.read(first + row * of.dims.iter().skip(1).product::<u64>(), out),
            Recipe::Concat(tensors) => concat::concat(tensor, tensors, first, out),
            Recipe::Reinterpret(of) => {
                let bits = |tensor: &Tensor| u64::from(tensor.element.bits()).max(1);
                of.read(first * bits(tensor) / bits(of), out)
            }
            Recipe::Offset(of) => offset::offset(of, first, out),
            Recipe::Quantize { part, encoder } => encoder.fill(*part, first, out),
            Recipe::Dequantize(of) => of.fill(tensor.element, first, out),
            Recipe::Unpack { of, order, plus } => unpack::unpack(of, *order, *plus, first, out),
            Recipe::Tiles(tiles) => tiles.fill(tensor.element, first, out),
            Recipe::Grouped(of) => of.fill(tensor.element, first, out),
            Recipe::LowRank(sum) => sum.fill(tensor.element, first, out),
            Recipe::Ggml { of, format, part } => {
                ggml::fill(of, *format, *part, first * u64::from(tensor.element.bits()) / 8, out)
            }
            Recipe::Interleave { of, outer, inner } => rows::interleave(of, *outer, *inner, first, out),
            Recipe::Finite(of) => finite::expect_finite(of, first, out),
        }
    }
}

fn reshape(of: &Tensor, dims: &[u64]) -> Tensor {
    Tensor { element: of.element, dims: dims.into(), data: Data::Recipe(Arc::new(Recipe::Reshape(of.clone()))) }
}
