//! Scans of tensors.

use super::recipe::Number;
use super::{Data, Recipe, Tensor, TensorError};
use crate::ElementType;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The maximum number of bytes of a tensor that are held at once.
const MAX_PIECE: u64 = 64 << 20;

/// The number of elements that are read first to find one that is large enough.
const FEW: u64 = 1 << 14;

/// Tensors from this size on are scanned by several threads.
const LARGE: u64 = 4 << 20;

/// The maximum number of bytes that each of several threads holds.
const MAX_SHARE: u64 = 4 << 20;

/// The maximum number of threads: more would wait for memory.
const MAX_THREADS: usize = 4;

impl Tensor {
    /// Calls `visit` with the bytes of tensors of one type, piece by piece, until it returns false; returns whether it
    /// never did.
    ///
    /// # Errors
    /// If a file cannot be read, for strings, and if a tensor is shorter than the first.
    pub fn all_pieces<const N: usize>(
        tensors: [&Tensor; N],
        mut visit: impl FnMut([&[u8]; N]) -> bool,
    ) -> Result<bool, TensorError> {
        let Some(first) = tensors.first() else { return Ok(true) };
        let (len, bits) = (first.len(), u64::from(first.element.bits()).max(1));
        let piece = tensors.iter().map(|tensor| tensor.block()).fold(1, u64::max).min(MAX_PIECE);
        let mut buffers = tensors.map(|_| vec![]);
        let mut start = 0;
        while start < len {
            let here = piece.min(len - start);
            for (tensor, buffer) in tensors.iter().zip(&mut buffers) {
                buffer.resize(usize::try_from(here).unwrap_or(usize::MAX), 0);
                tensor.read(start * 8 / bits, buffer)?;
            }
            if !visit(buffers.each_ref().map(Vec::as_slice)) {
                return Ok(false);
            }
            start += here;
        }
        Ok(true)
    }

    /// Returns the largest magnitude of the elements of a float tensor, 0 without elements: infinite if an element is
    /// infinite, and NaN if one is NaN. The tensor is read once, in pieces.
    ///
    /// # Errors
    /// If the elements are not `f32`, `f16`, `bf16` or `f64`, and if a file cannot be read.
    pub fn magnitude(&self) -> Result<f64, TensorError> {
        self.largest(false)
    }

    /// Returns the largest magnitude of the first rows in the order of the file if it is at least `enough`, and otherwise
    /// that of all elements, as [`magnitude`](Self::magnitude) does.
    ///
    /// # Errors
    /// As for [`magnitude`](Self::magnitude).
    pub fn magnitude_from(&self, enough: f64) -> Result<f64, TensorError> {
        let own = self.in_file_order();
        let rows = own.dims().first().copied().unwrap_or(0);
        let row = own.count() / rows.max(1);
        match own.rows(0..(FEW / row.max(1)).clamp(1, rows.max(1))).and_then(|first| first.magnitude()) {
            Ok(magnitude) if magnitude >= enough => Ok(magnitude),
            _ => self.magnitude(),
        }
    }

    /// Returns the largest magnitude of the finite elements of a float tensor, 0 without any. The tensor is read once,
    /// in pieces.
    ///
    /// # Errors
    /// As for [`magnitude`](Self::magnitude).
    pub fn finite_magnitude(&self) -> Result<f64, TensorError> {
        self.largest(true)
    }

    /// Returns the largest magnitude of all elements, or of those that are finite.
    fn largest(&self, is_finite: bool) -> Result<f64, TensorError> {
        if Number::of(self.element).is_none() {
            return Err(self.refuse("magnitude", "its elements are not f32, f16, bf16 or f64"));
        }
        self.in_file_order().largest_read(is_finite)
    }

    /// Returns a tensor with the same magnitudes, of which every element is read once.
    fn in_file_order(&self) -> Tensor {
        // A cast of a transposed tensor is read as neither; the transposes of some recipes transpose back.
        match self.same_magnitude() {
            None => self.clone(),
            Some(same) => same.same_magnitude().unwrap_or(same),
        }
    }

    /// Returns the largest magnitude as [`Self::largest`] does, of a float tensor that is read as it is.
    fn largest_read(&self, is_finite: bool) -> Result<f64, TensorError> {
        // Without their sign, the bits of floats are in the order of the floats, and NaN is above infinity.
        let limit: i64 = match self.element {
            _ if !is_finite => i64::MAX,
            ElementType::F16 => half::f16::MAX.to_bits().into(),
            ElementType::BF16 => half::bf16::MAX.to_bits().into(),
            ElementType::F32 => f32::MAX.to_bits().into(),
            _ => f64::MAX.to_bits().cast_signed(),
        };
        let (narrow, word) = (i16::try_from(limit).unwrap_or(i16::MAX), i32::try_from(limit).unwrap_or(i32::MAX));
        let largest = self.largest_of_pieces(|bytes| match self.element.bits() {
            16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|x| i16::from_le_bytes(*x) & i16::MAX)
                .fold(0, |most, x| if x <= narrow { most.max(x) } else { most })
                .into(),
            32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|x| i32::from_le_bytes(*x) & i32::MAX)
                .fold(0, |most, x| if x <= word { most.max(x) } else { most })
                .into(),
            _ => bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|x| i64::from_le_bytes(*x) & i64::MAX)
                .fold(0, |most, x| if x <= limit { most.max(x) } else { most }),
        })?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bits of one element")]
        Ok(match self.element {
            ElementType::F16 => half::f16::from_bits(largest as u16).to_f64(),
            ElementType::BF16 => half::bf16::from_bits(largest as u16).to_f64(),
            ElementType::F32 => f32::from_bits(largest as u32).into(),
            _ => f64::from_bits(largest as u64),
        })
    }

    /// Returns the largest result of `scan` for the bytes of the pieces, in any order; 0 without elements.
    fn largest_of_pieces(&self, scan: impl Fn(&[u8]) -> i64 + Sync) -> Result<i64, TensorError> {
        let (len, bits, piece) = (self.len(), u64::from(self.element.bits()).max(1), self.block().clamp(1, MAX_PIECE));
        let next = AtomicU64::new(0);
        let work = || {
            let (mut buffer, mut largest) = (vec![], 0);
            while let Some(start) = next.fetch_add(1, Ordering::Relaxed).checked_mul(piece)
                && start < len
            {
                buffer.resize(usize::try_from(piece.min(len - start)).unwrap_or(usize::MAX), 0);
                self.read(start * 8 / bits, &mut buffer)?;
                largest = scan(&buffer).max(largest);
            }
            Ok(largest)
        };
        if len < LARGE || piece > MAX_SHARE {
            return work();
        }
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        thread::scope(|scope| {
            // If the system has no more threads, this one does the work.
            let others = (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok());
            let others: Vec<_> = others.collect();
            let own = work();
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            others.fold(own, |largest, other| Ok(largest?.max(other?)))
        })
    }

    /// Returns a tensor with the same largest magnitude that is cheaper to read: the elements in the order of their file,
    /// before they were widened.
    fn same_magnitude(&self) -> Option<Tensor> {
        if let Data::Recipe(recipe) = self.data()
            && let Recipe::Cast(of) = recipe.as_ref()
            && (self.element == ElementType::F64 || self.element == ElementType::F32 && of.element.bits() <= 16)
        {
            return Some(of.clone());
        }
        self.canceled()
    }

    /// Returns whether every element of a float tensor is finite; the tensor is read once, in pieces.
    ///
    /// # Errors
    /// As for [`magnitude`](Self::magnitude).
    pub fn is_finite(&self) -> Result<bool, TensorError> {
        Ok(self.magnitude()?.is_finite())
    }
}
