//! Tensors whose elements are known at compile time: weights, tables, shapes, scalars.
//!
//! A [`Tensor`] is cheap to clone and holds its elements in one of three ways: bytes in memory, a range of a file, or a
//! [`Recipe`] that computes them block by block while they are written. A weight that no pass changes is never read.

use crate::{Dim, ElementType, Fact, Shape, TensorType, types::MAX_ELEMENTS};
use bytes::Bytes;
use netwright_files::{self as files, Code};
use std::sync::Arc;

mod blocks;
mod recipe;
mod scan;
mod sparse;
mod statistics;

pub use blocks::{BlockFormat, Encoder, GgmlFormat, GgmlPart, Quantized, QuantizedOperands, QuantizedPart, Rounding};
pub(crate) use recipe::widened;
pub use recipe::{Distribution, Grouped, LowRank, Recipe, Tiles, Wave};
pub use sparse::SparseTensor;
pub use statistics::Statistics;

/// A tensor whose elements are known at compile time.
#[derive(Clone, Debug)]
pub struct Tensor {
    element: ElementType,
    dims: Arc<[u64]>,
    data: Data,
}

/// Where the elements are stored: little-endian and packed as in ONNX's `raw_data`.
#[derive(Clone, Debug)]
pub enum Data {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(files::Range),
    /// Computed when they are requested.
    Recipe(Arc<Recipe>),
    /// Strings, which have no fixed size; ONNX does not require UTF-8.
    Strings(Arc<[Bytes]>),
}

/// Why a tensor cannot be created or its elements cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The size in bits overflows 64 bits.
    #[error("a tensor of {element}{dims:?} is larger than any file")]
    TooLarge {
        /// The element type.
        element: ElementType,
        /// The sizes of its axes.
        dims: Vec<u64>,
    },
    /// The number of bytes does not match the shape.
    #[error("a tensor of {element}{dims:?} takes {expected} bytes, but there are {found}")]
    Length {
        /// The element type.
        element: ElementType,
        /// The sizes of its axes.
        dims: Vec<u64>,
        /// The number of bytes that the shape requires.
        expected: u64,
        /// The number of bytes given.
        found: u64,
    },
    /// A recipe does not apply to the tensor.
    #[error("{recipe} does not apply to {tensor}: {why}")]
    Recipe {
        /// The recipe's name in the text form.
        recipe: &'static str,
        /// The type of the tensor.
        tensor: String,
        /// The condition that does not hold.
        why: &'static str,
    },
    /// The values and indices do not form a sparse tensor.
    #[error("{tensor} at {indices} is not a sparse tensor: {why}")]
    Sparse {
        /// The type of the values.
        tensor: String,
        /// The type of the indices.
        indices: String,
        /// The condition that does not hold.
        why: &'static str,
    },
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] files::FileError),
}

impl TensorError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        if let Self::File(error) = self { error.code() } else { Code::TensorData }
    }
}

impl Tensor {
    /// Creates a tensor from bytes, little-endian and packed.
    ///
    /// # Errors
    /// If the number of bytes does not match the shape.
    pub fn from_bytes(element: ElementType, dims: &[u64], bytes: impl Into<Bytes>) -> Result<Self, TensorError> {
        let bytes = bytes.into();
        let found = bytes.len() as u64;
        Self::checked(element, dims, found, Data::Bytes(bytes))
    }

    /// Creates a tensor whose bytes are a range of a file.
    ///
    /// # Errors
    /// If the length of the range does not match the shape.
    pub fn from_file(element: ElementType, dims: &[u64], range: files::Range) -> Result<Self, TensorError> {
        let found = range.len();
        Self::checked(element, dims, found, Data::File(range))
    }

    /// Creates an `f32` tensor from its elements in row-major order.
    ///
    /// # Errors
    /// If the number of elements does not match the shape.
    pub fn from_floats(dims: &[u64], elements: &[f32]) -> Result<Self, TensorError> {
        let bytes: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        Self::from_bytes(ElementType::F32, dims, bytes)
    }

    /// Creates a tensor of strings.
    ///
    /// # Errors
    /// If the number of strings does not match the shape.
    pub fn from_strings(dims: &[u64], strings: Vec<Bytes>) -> Result<Self, TensorError> {
        let element = ElementType::String;
        let (expected, found) = (count(element, dims)?, strings.len() as u64);
        if expected != found {
            return Err(TensorError::Length { element, dims: dims.to_vec(), expected, found });
        }
        Ok(Self { element, dims: dims.into(), data: Data::Strings(strings.into()) })
    }

    fn checked(element: ElementType, dims: &[u64], found: u64, data: Data) -> Result<Self, TensorError> {
        let too_large = || TensorError::TooLarge { element, dims: dims.to_vec() };
        let expected = element.bytes(count(element, dims)?).ok_or_else(too_large)?;
        if expected != found {
            return Err(TensorError::Length { element, dims: dims.to_vec(), expected, found });
        }
        Ok(Self { element, dims: dims.into(), data })
    }

    /// Creates an `f32` tensor of rank 0.
    pub fn scalar(value: f32) -> Self {
        Self::small(ElementType::F32, &[], value.to_le_bytes().to_vec())
    }

    /// Creates an `i64` tensor of rank 0.
    pub fn index(value: i64) -> Self {
        Self::small(ElementType::I64, &[], value.to_le_bytes().to_vec())
    }

    /// Creates an `i64` tensor of rank 1: a shape, axes, a permutation.
    pub fn indices(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::small(ElementType::I64, &[values.len() as u64], bytes)
    }

    /// Creates a tensor from bytes whose number is known to match the shape.
    fn small(element: ElementType, dims: &[u64], bytes: Vec<u8>) -> Self {
        Self { element, dims: dims.into(), data: Data::Bytes(bytes.into()) }
    }

    /// Returns the element type.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Returns the sizes of the axes.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Returns where the elements are stored.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the number of elements; it fits, as was checked on creation.
    pub fn count(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Returns the number of bytes; 0 for strings.
    pub fn len(&self) -> u64 {
        self.element.bytes(self.count()).unwrap_or(0)
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns the tensor's type.
    pub fn ty(&self) -> TensorType {
        type_of(self.element, &self.dims)
    }

    /// Returns the same elements in another shape.
    ///
    /// # Errors
    /// If the shape has another number of elements.
    pub fn reshaped(&self, dims: &[u64]) -> Result<Self, TensorError> {
        let (expected, found) = (count(self.element, dims)?, self.count());
        if expected != found {
            return Err(TensorError::Length { element: self.element, dims: dims.to_vec(), expected, found });
        }
        match &self.data {
            Data::Recipe(recipe) => Ok(recipe.reshape(self, dims)),
            _ => Ok(Self { dims: dims.into(), ..self.clone() }),
        }
    }

    /// Returns the same bytes as elements of another type of at most 8 bits.
    ///
    /// # Errors
    /// If one of the types has more than 8 bits, and if the shape takes another number of bytes.
    pub fn reinterpreted(&self, element: ElementType, dims: &[u64]) -> Result<Self, TensorError> {
        if element == self.element {
            return self.reshaped(dims);
        }
        if [self.element, element].iter().any(|element| !matches!(element.bits(), 2 | 4 | 8)) {
            return Err(self.refuse("reinterpret", "both types must have 2, 4 or 8 bits"));
        }
        if let Data::Recipe(_) = &self.data {
            let tensor = Self::made(element, dims, Recipe::Reinterpret(self.clone()))?;
            return Self::checked(element, dims, self.len(), tensor.data);
        }
        Self::checked(element, dims, self.len(), self.data.clone())
    }

    /// Returns the fact of the tensor; small integers in memory or in a file are read.
    pub fn fact(&self) -> Fact {
        let elements = (self.dims.len() <= 1).then(|| self.integers()).flatten();
        Fact { ty: self.ty().into(), elements: elements.map(|all| all.into_iter().map(Dim::Known).collect()) }
    }

    /// Returns the elements of a small tensor of integers or bools; `None` for any other tensor.
    pub fn integers(&self) -> Option<Vec<i64>> {
        self.small_elements(|element, bytes| match element {
            ElementType::I64 => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
            ElementType::I32 => Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::I16 => Some(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::I8 => Some(i8::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::U8 | ElementType::Bool => Some(bytes[0].into()),
            ElementType::U16 => Some(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::U32 => Some(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::U64 => i64::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok(),
            _ => None,
        })
    }

    /// Returns the elements of a small tensor of floats; `None` for any other tensor.
    pub fn floats(&self) -> Option<Vec<f64>> {
        self.small_elements(|element, bytes| match element {
            ElementType::F32 => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::F64 => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            ElementType::F16 => Some(half::f16::from_le_bytes(bytes.try_into().ok()?).into()),
            ElementType::BF16 => Some(half::bf16::from_le_bytes(bytes.try_into().ok()?).into()),
            _ => None,
        })
    }

    /// Returns the only element of a float tensor with one element, of any rank.
    pub fn float(&self) -> Option<f64> {
        if self.count() == 1 { self.floats()?.first().copied() } else { None }
    }

    fn small_elements<T>(&self, decode: impl Fn(ElementType, &[u8]) -> Option<T>) -> Option<Vec<T>> {
        if self.count() > MAX_ELEMENTS {
            return None;
        }
        if let Some(whole) = recipe::widened(self.element) {
            return self.cast(whole).ok()?.small_elements(decode);
        }
        let size = usize::try_from(self.element.bits() / 8).ok().filter(|&size| size > 0)?;
        let bytes = self.to_bytes().ok()?;
        bytes.chunks_exact(size).map(|element| decode(self.element, element)).collect()
    }

    /// Reads all bytes into memory; meant for tensors known to be small.
    ///
    /// # Errors
    /// If a file cannot be read, or the elements are strings.
    pub fn to_bytes(&self) -> Result<Bytes, TensorError> {
        if let Data::Bytes(bytes) = &self.data {
            return Ok(bytes.clone());
        }
        let too_large = |_| TensorError::TooLarge { element: self.element, dims: self.dims.to_vec() };
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(too_large)?];
        self.read(0, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Returns the number of bytes that one thread should [read](Tensor::read) as one piece: a multiple of every
    /// element size.
    pub fn block(&self) -> u64 {
        match &self.data {
            Data::Recipe(recipe) => recipe.block(self),
            _ => recipe::BLOCK,
        }
    }

    /// Fills `out` with the elements from `first` on; both ends must be on byte boundaries.
    ///
    /// # Errors
    /// If a file cannot be read, the range passes the end of the tensor, or the elements are strings.
    pub fn read(&self, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let refuse = |why| TensorError::Recipe { recipe: "read", tensor: self.ty().to_string(), why };
        let start = match first.checked_mul(u64::from(self.element.bits())) {
            Some(bits) if bits % 8 == 0 => bits / 8,
            _ => return Err(refuse("the first element is not on a byte boundary")),
        };
        if start.checked_add(out.len() as u64).is_none_or(|end| end > self.len()) {
            return Err(refuse("the range passes the end of the tensor"));
        }
        match &self.data {
            Data::Bytes(bytes) => {
                // The range was checked against the length, which is in memory.
                let start = usize::try_from(start).map_err(|_| refuse("the range passes the end of the tensor"))?;
                out.copy_from_slice(&bytes[start..start + out.len()]);
                Ok(())
            }
            Data::File(range) => Ok(range.read(start, out)?),
            Data::Recipe(recipe) => recipe.fill(self, first, out),
            Data::Strings(_) => Err(refuse("strings have no fixed size")),
        }
    }

    /// Returns how deeply recipes nest; reading recurses on them.
    pub fn recipe_depth(&self) -> usize {
        let (mut depth, mut level) = (0, vec![self]);
        loop {
            let recipes = level.iter().filter_map(|tensor| match &tensor.data {
                Data::Recipe(recipe) => Some(recipe.tensors()),
                _ => None,
            });
            let next: Vec<&Tensor> = recipes.flatten().collect();
            if next.is_empty() {
                return depth;
            }
            (depth, level) = (depth + 1, next);
        }
    }

    /// Calls `visit` with every file range that the elements come from, through recipes too.
    pub fn for_each_file(&self, visit: &mut dyn FnMut(&files::Range)) {
        let mut pending = vec![self];
        while let Some(tensor) = pending.pop() {
            match &tensor.data {
                Data::File(range) => visit(range),
                Data::Recipe(recipe) => pending.extend(recipe.tensors()),
                Data::Bytes(_) | Data::Strings(_) => {}
            }
        }
    }

    /// Whether elements are computed from codes that are quantized in blocks or groups.
    pub fn is_dequantized(&self) -> bool {
        let mut pending = vec![self];
        while let Some(tensor) = pending.pop() {
            match &tensor.data {
                Data::Recipe(recipe) if matches!(**recipe, Recipe::Dequantize(_) | Recipe::Grouped(_)) => return true,
                Data::Recipe(recipe) => pending.extend(recipe.tensors()),
                _ => {}
            }
        }
        false
    }

    /// Whether both are known to hold the same elements without reading any file: the same type and the same bytes in
    /// memory, the same range of the same file, or the same recipe.
    pub fn is_same(&self, other: &Tensor) -> bool {
        self.element == other.element && self.dims == other.dims && self.data.is_same(&other.data)
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Data {
    fn is_same(&self, other: &Data) -> bool {
        match (self, other) {
            // Shared bytes are equal without being read.
            (Data::Bytes(a), Data::Bytes(b)) => (a.as_ptr(), a.len()) == (b.as_ptr(), b.len()) || a == b,
            (Data::File(a), Data::File(b)) => a == b,
            (Data::Recipe(a), Data::Recipe(b)) => Arc::ptr_eq(a, b) || a == b,
            (Data::Strings(a), Data::Strings(b)) => a == b,
            _ => false,
        }
    }
}

fn type_of(element: ElementType, dims: &[u64]) -> TensorType {
    let dims = dims.iter().map(|&dim| i64::try_from(dim).map_or(Dim::Unknown, Dim::Known));
    TensorType::new(element, Shape::from_iter(dims))
}

fn count(element: ElementType, dims: &[u64]) -> Result<u64, TensorError> {
    let product = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    // The bits must fit too, so that no later product of size and count overflows.
    let fits = product.filter(|count| count.checked_mul(128).is_some());
    fits.ok_or_else(|| TensorError::TooLarge { element, dims: dims.to_vec() })
}
