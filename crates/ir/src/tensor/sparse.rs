//! Tensors stored by their nonzero elements.

use super::{Tensor, TensorError};
use crate::{ElementType, Fact, TensorType};
use std::sync::Arc;

/// A tensor stored by its nonzero elements: ONNX's `SparseTensorProto`.
///
/// The nodes that read it see a dense tensor. It is never expanded here: the dense tensor may be far larger.
#[derive(Clone, Debug)]
pub struct SparseTensor {
    values: Tensor,
    indices: Tensor,
    dims: Arc<[u64]>,
}

/// The number of bytes of indices that are checked at a time.
const PIECE: usize = 1 << 16;

impl SparseTensor {
    /// Creates the tensor of shape `dims` with `values`, `[count]`, at `indices`: ascending `[count]` positions in
    /// row-major order, or `[count, rank]` coordinates.
    ///
    /// # Errors
    /// If the shapes do not agree, an index is out of range, or the indices do not ascend.
    pub fn new(values: Tensor, indices: Tensor, dims: &[u64]) -> Result<Self, TensorError> {
        let fail =
            |why| Err(TensorError::Sparse { tensor: values.ty().to_string(), indices: indices.ty().to_string(), why });
        if indices.element() != ElementType::I64 {
            return fail("the indices must be i64");
        }
        let [count] = *values.dims() else { return fail("the values must have one axis") };
        let width = match *indices.dims() {
            [n] if n == count => 1,
            [n, rank] if n == count && rank == dims.len() as u64 => dims.len(),
            _ => return fail("each value must have one index, or one index per axis"),
        };
        let total = super::count(values.element(), dims)?;
        let extents: Vec<u64> = if indices.dims().len() == 1 { vec![total] } else { dims.to_vec() };
        if !ascend(&indices, &extents, width)? {
            return fail("the indices must ascend and stay within the tensor");
        }
        Ok(Self { values, indices, dims: dims.into() })
    }

    /// Returns the listed elements, `[count]`.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Returns the positions of the listed elements.
    pub fn indices(&self) -> &Tensor {
        &self.indices
    }

    /// Returns the sizes of the axes.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Returns the type of the dense tensor.
    pub fn ty(&self) -> TensorType {
        super::type_of(self.values.element(), &self.dims)
    }

    /// Returns the fact of the dense tensor.
    pub fn fact(&self) -> Fact {
        Fact::of(self.ty())
    }
}

impl PartialEq for SparseTensor {
    fn eq(&self, other: &Self) -> bool {
        self.dims == other.dims && self.values == other.values && self.indices == other.indices
    }
}

/// Whether the rows of `width` numbers ascend and each number is below its extent.
fn ascend(indices: &Tensor, extents: &[u64], width: usize) -> Result<bool, TensorError> {
    let mut row: Vec<u64> = Vec::with_capacity(width);
    let mut last: Option<Vec<u64>> = None;
    let mut buffer = vec![0; PIECE];
    let (mut first, total) = (0u64, indices.count());
    while first < total {
        let count = (total - first).min((PIECE / 8) as u64);
        let bytes = usize::try_from(count).map_or(PIECE, |count| count * 8);
        indices.read(first, &mut buffer[..bytes])?;
        for raw in buffer[..bytes].as_chunks::<8>().0 {
            let Ok(index) = u64::try_from(i64::from_le_bytes(*raw)) else { return Ok(false) };
            if extents.get(row.len()).is_none_or(|extent| index >= *extent) {
                return Ok(false);
            }
            row.push(index);
            if row.len() == width {
                if last.as_ref().is_some_and(|last| *last >= row) {
                    return Ok(false);
                }
                let spent = last.replace(std::mem::take(&mut row)).unwrap_or_default();
                row = spent;
                row.clear();
            }
        }
        first += count;
    }
    Ok(true)
}
