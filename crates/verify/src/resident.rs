//! Tensors that stay in the memory of a runtime between runs.

use crate::{Array, Session, VerifyError};
use ort::value::DynValue;
use std::fmt;
use std::sync::Arc;
use tract_onnx::prelude::TValue;

/// A tensor in the memory of a runtime, such as a KV cache that one run returns and the next one reads.
///
/// It belongs to the runtime of the [`Session`] that made it; other sessions in the same runtime accept it. A clone
/// shares the elements.
#[derive(Clone)]
pub struct Resident(pub(crate) Form);

#[derive(Clone)]
pub(crate) enum Form {
    Tract(TValue),
    Ort(Arc<DynValue>),
}

impl Resident {
    /// Returns the sizes of the axes; empty if the value is not a tensor.
    pub fn shape(&self) -> Vec<usize> {
        match &self.0 {
            Form::Tract(value) => value.shape().to_vec(),
            Form::Ort(value) => {
                let sizes = value.dtype().tensor_shape().into_iter().flat_map(|shape| shape.iter());
                sizes.map(|&size| usize::try_from(size).unwrap_or(0)).collect()
            }
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtime = match self.0 {
            Form::Tract(_) => "tract",
            Form::Ort(_) => "ONNX Runtime",
        };
        write!(f, "Resident({runtime}, {:?})", self.shape())
    }
}

/// Runs that exchange [`Resident`] tensors.
impl Session {
    /// Runs the model once on tensors that this runtime holds, which it may reuse; inputs are given by name in any order,
    /// outputs are in the order of the model. Nothing is copied between runs.
    ///
    /// ```no_run
    /// use netwright_verify::{Array, Session};
    /// let decoder = Session::load("model.onnx")?;
    /// let ids = decoder.resident(Array::new([1, 2], vec![5_i64, 7])?)?;
    /// let past = decoder.resident(Array::new([1, 12, 0, 64], Vec::<f32>::new())?)?;
    /// let outputs = decoder.run_resident(vec![("input_ids", ids), ("past", past)])?;
    /// let logits = decoder.last_row(&outputs[0].1, 0)?;
    /// # Ok::<(), netwright_verify::VerifyError>(())
    /// ```
    ///
    /// # Errors
    /// If an input is missing or unknown, if a tensor belongs to another runtime, or if the runtime fails.
    pub fn run_resident(&self, inputs: Vec<(&str, Resident)>) -> Result<Vec<(String, Resident)>, VerifyError> {
        let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
        self.expect_known(&names)?;
        let mut inputs: Vec<_> = inputs.into_iter().map(|(name, tensor)| (name, Some(tensor))).collect();
        let ordered = self.inputs().iter().map(|port| {
            let given = inputs.iter_mut().find(|(name, _)| *name == port.name);
            given.and_then(|(_, tensor)| tensor.take()).ok_or_else(|| self.missing(port))
        });
        let ordered = ordered.collect::<Result<Vec<_>, _>>()?;
        self.run_ordered(ordered)
    }

    /// Returns the last floats of one row of a tensor `[row, …, width]`: those of its last position, as f32.
    ///
    /// # Errors
    /// If the tensor has no such row of floats, or belongs to another runtime.
    pub fn last_row(&self, tensor: &Resident, row: usize) -> Result<Vec<f32>, VerifyError> {
        let shape = tensor.shape();
        let (&[rows, ..], &[.., width]) = (&shape[..], &shape[..]) else { return Err(self.unusable(&shape)) };
        let count: usize = shape.iter().product();
        if row >= rows || shape.len() < 2 || count < rows * width {
            return Err(self.unusable(&shape));
        }
        let end = count / rows * (row + 1);
        self.floats(tensor, end - width..end)?.ok_or_else(|| self.unusable(&shape))
    }

    /// Returns the floats at one place of a tensor `[…, width]`, counted over all axes but the last, as f32.
    ///
    /// # Errors
    /// If the tensor has no such place of floats, or belongs to another runtime.
    pub fn vector(&self, tensor: &Resident, at: usize) -> Result<Vec<f32>, VerifyError> {
        let shape = tensor.shape();
        let Some((width, places)) = shape.split_last() else { return Err(self.unusable(&shape)) };
        if at >= places.iter().product() {
            return Err(self.unusable(&shape));
        }
        self.floats(tensor, at * width..(at + 1) * width)?.ok_or_else(|| self.unusable(&shape))
    }

    /// Returns the tensor whose rows along axis 0 are these rows of another.
    ///
    /// # Errors
    /// If `rows` is empty or names a row that the tensor does not have, or if the tensor belongs to another runtime.
    pub fn rows(&self, tensor: &Resident, rows: &[usize]) -> Result<Resident, VerifyError> {
        let shape = tensor.shape();
        let Some(&count) = shape.first().filter(|_| !rows.is_empty()) else { return Err(self.unusable(&shape)) };
        if rows.iter().any(|row| *row >= count) {
            return Err(self.unusable(&shape));
        }
        if rows.iter().copied().eq(0..count) {
            return Ok(tensor.clone());
        }
        self.gather(tensor, rows)
    }

    fn unusable(&self, shape: &[usize]) -> VerifyError {
        self.failed(format!("a value of shape {shape:?} does not have the requested rows of floats"))
    }
}

impl Array {
    /// Returns the array whose rows along axis 0 are these rows, which must exist.
    pub(crate) fn gathered(&self, rows: &[usize]) -> Self {
        let width: usize = self.shape()[1..].iter().product();
        let mut shape = self.shape().to_vec();
        shape[0] = rows.len();
        self.picked(shape, rows, width)
    }
}
