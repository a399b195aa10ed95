//! Statistics of the elements of a tensor.

use super::{Tensor, TensorError};
use crate::ElementType;

/// Statistics of the elements of a tensor. The smallest, the largest and the mean are those of the elements that are
/// numbers; `None` if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// The number of elements.
    pub count: u64,
    /// The number of NaN.
    pub nan: u64,
    /// The number of zeros of either sign.
    pub zeros: u64,
    /// The smallest element.
    pub min: Option<f64>,
    /// The largest element.
    pub max: Option<f64>,
    /// The mean; infinite or `None` if elements are infinite.
    pub mean: Option<f64>,
}

/// The sums of pieces, from which the mean is computed.
#[derive(Default)]
struct Sums {
    count: u64,
    nan: u64,
    zeros: u64,
    min: Option<f64>,
    max: Option<f64>,
    sum: f64,
}

impl Sums {
    fn add(&mut self, numbers: impl Iterator<Item = f64>) {
        // A sum for each piece loses fewer digits than one for all.
        let mut sum = 0.0;
        for number in numbers {
            self.count += 1;
            if number.is_nan() {
                self.nan += 1;
                continue;
            }
            self.zeros += u64::from(number == 0.0);
            sum += number;
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
        self.sum += sum;
    }
}

impl Tensor {
    /// Returns statistics of the elements, of which a piece at a time is in memory; `None` for strings, complex numbers
    /// and codes of fewer than 8 bits.
    ///
    /// # Errors
    /// If a file cannot be read.
    ///
    /// ```
    /// use netwright_ir::{ElementType, Tensor};
    /// let bytes: Vec<u8> = [1.0_f32, 0.0, f32::NAN, -4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    /// let found = Tensor::from_bytes(ElementType::F32, &[4], bytes)?.statistics()?.expect("it has floats");
    /// assert_eq!((found.count, found.nan, found.zeros), (4, 1, 1));
    /// assert_eq!((found.min, found.max, found.mean), (Some(-4.0), Some(1.0), Some(-1.0)));
    /// # Ok::<(), netwright_ir::TensorError>(())
    /// ```
    pub fn statistics(&self) -> Result<Option<Statistics>, TensorError> {
        macro_rules! numbers {
            ($bytes:expr, $number:ty) => {
                $bytes.as_chunks::<{ size_of::<$number>() }>().0.iter().map(|bytes| <$number>::from_le_bytes(*bytes))
            };
        }
        let mut sums = Sums::default();
        let is_half = matches!(self.element(), ElementType::F16 | ElementType::BF16);
        let tensor = if is_half { self.cast(ElementType::F32)? } else { self.clone() };
        let element = tensor.element();
        if element.bits() < 8 {
            return Ok(None);
        }
        let mut is_known = true;
        Tensor::all_pieces([&tensor], |[bytes]| {
            #[expect(clippy::cast_precision_loss, reason = "statistics need no more than 53 bits")]
            match element {
                ElementType::F32 => sums.add(numbers!(bytes, f32).map(f64::from)),
                ElementType::F64 => sums.add(numbers!(bytes, f64)),
                ElementType::I8 => sums.add(numbers!(bytes, i8).map(f64::from)),
                ElementType::I16 => sums.add(numbers!(bytes, i16).map(f64::from)),
                ElementType::I32 => sums.add(numbers!(bytes, i32).map(f64::from)),
                ElementType::I64 => sums.add(numbers!(bytes, i64).map(|number| number as f64)),
                ElementType::U8 | ElementType::Bool => sums.add(numbers!(bytes, u8).map(f64::from)),
                ElementType::U16 => sums.add(numbers!(bytes, u16).map(f64::from)),
                ElementType::U32 => sums.add(numbers!(bytes, u32).map(f64::from)),
                ElementType::U64 => sums.add(numbers!(bytes, u64).map(|number| number as f64)),
                _ => is_known = false,
            }
            is_known
        })?;
        if !is_known {
            return Ok(None);
        }
        let Sums { count, nan, zeros, min, max, sum } = sums;
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
        let mean = (count > nan).then(|| sum / (count - nan) as f64).filter(|mean| !mean.is_nan());
        Ok(Some(Statistics { count, nan, zeros, min, max, mean }))
    }
}
