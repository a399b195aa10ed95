//! Tensors with their elements, independent of any runtime.

use crate::VerifyError;
use half::{bf16, f16};
use netwright_ir::ElementType;
use ort::value::{DynValue, TensorRef};
use std::fmt;
use tract_onnx::prelude::{Datum, Tensor, TractResult};

/// The maximum number of elements of an array of zeros.
const MAX_ZEROS: usize = 1 << 40;

macro_rules! values {
    (both { $($name:ident $rust:ty: $bytes:expr;)* } ort { $($other:ident $other_rust:ty: $other_bytes:expr;)* }) => {
        values! { all { $($name $rust: $bytes;)* $($other $other_rust: $other_bytes;)* } }

        /// Returns whether tract and arrays support the element type.
        pub(crate) fn has(element: ElementType) -> bool {
            matches!(element, $(ElementType::$name)|*)
        }

        impl Array {
            pub(crate) fn to_tract(&self) -> TractResult<Tensor> {
                match &self.values {
                    $(Values::$name(values) => Tensor::from_shape(&self.shape, values),)*
                    $(Values::$other(_))|* | Values::String(_) => {
                        let cause = format!("tract does not support elements of type {}", self.element());
                        Err(std::io::Error::other(cause).into())
                    }
                }
            }

            /// Converts a tensor; `None` for element types that arrays do not support.
            pub(crate) fn from_tract(tensor: &Tensor) -> TractResult<Option<Self>> {
                let ty = tensor.datum_type();
                let values = $(if ty == <$rust>::datum_type() {
                    Values::$name(tensor.try_as_plain_ram()?.as_slice::<$rust>()?.to_vec())
                } else)* {
                    return Ok(None);
                };
                Ok(Some(Self { shape: tensor.shape().to_vec(), values }))
            }
        }
    };
    (all { $($name:ident $rust:ty: $bytes:expr;)* }) => {
        /// The elements of an [`Array`] in row-major order.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Values {
            $(#[doc = concat!("Elements of type `", stringify!($rust), "`.")] $name(Vec<$rust>),)*
            /// Strings, which only ONNX Runtime computes with.
            String(Vec<String>),
        }

        impl Values {
            /// Returns the element type.
            pub fn element(&self) -> ElementType {
                match self { $(Values::$name(_) => ElementType::$name,)* Values::String(_) => ElementType::String }
            }

            /// Returns the number of elements.
            pub fn len(&self) -> usize {
                match self { $(Values::$name(values) => values.len(),)* Values::String(values) => values.len() }
            }

            fn is_same(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Values::$name(a), Values::$name(b)) => {
                        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| $bytes(*a) == $bytes(*b))
                    })*
                    (Values::String(a), Values::String(b)) => a == b,
                    _ => false,
                }
            }

            fn to_bytes(&self) -> Vec<u8> {
                match self {
                    $(Values::$name(values) => values.iter().copied().flat_map($bytes).collect(),)*
                    Values::String(values) => values.iter().flat_map(|text| text.bytes().chain([0])).collect(),
                }
            }

            /// Formats the element at an index; exact for integers and strings. `None` beyond the end.
            pub fn text(&self, at: usize) -> Option<String> {
                match self {
                    $(Values::$name(values) => values.get(at).map(ToString::to_string),)*
                    Values::String(values) => values.get(at).map(|text| format!("{text:?}")),
                }
            }
        }

        $(
            impl From<Vec<$rust>> for Values {
                fn from(values: Vec<$rust>) -> Self {
                    Values::$name(values)
                }
            }

            impl Element for $rust {
                fn of(values: &Values) -> Option<&[Self]> {
                    if let Values::$name(values) = values { Some(values) } else { None }
                }
            }
        )*

        impl Array {
            /// Returns an array of zeros.
            ///
            /// # Errors
            /// If it has more elements than memory could hold, or if arrays do not support the element type.
            pub fn zeros(element: ElementType, shape: impl Into<Vec<usize>>) -> Result<Self, VerifyError> {
                let shape = shape.into();
                let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
                let count = count.filter(|count| *count <= MAX_ZEROS);
                let values = match (element, count) {
                    $((ElementType::$name, Some(count)) => Values::$name(vec![<$rust>::default(); count]),)*
                    _ => return Err(VerifyError::ElementCount { shape, found: 0 }),
                };
                Ok(Self { shape, values })
            }

            /// Returns a tensor of ONNX Runtime that borrows the elements.
            pub(crate) fn to_ort(&self) -> ort::Result<ort::session::SessionInputValue<'_>> {
                let shape = self.shape.clone();
                match &self.values {
                    $(Values::$name(values) => Ok(TensorRef::from_array_view((shape, &values[..]))?.into()),)*
                    Values::String(values) => {
                        Ok(ort::value::Tensor::from_string_array((shape, &values[..]))?.into_dyn().into())
                    }
                }
            }

            /// Returns a tensor of ONNX Runtime that owns the elements.
            pub(crate) fn into_ort(self) -> ort::Result<DynValue> {
                match self.values {
                    $(Values::$name(values) => {
                        Ok(ort::value::Tensor::from_array((self.shape, values))?.into_dyn())
                    })*
                    Values::String(values) => {
                        Ok(ort::value::Tensor::from_string_array((self.shape, &values[..]))?.into_dyn())
                    }
                }
            }

            /// Returns the array of this shape whose rows of `width` elements are these rows.
            pub(crate) fn picked(&self, shape: Vec<usize>, rows: &[usize], width: usize) -> Self {
                let values = match &self.values {
                    $(Values::$name(values) => {
                        let rows = rows.iter().map(|row| &values[row * width..(row + 1) * width]);
                        Values::$name(rows.collect::<Vec<_>>().concat())
                    })*
                    Values::String(values) => {
                        let rows = rows.iter().map(|row| &values[row * width..(row + 1) * width]);
                        Values::String(rows.collect::<Vec<_>>().concat())
                    }
                };
                Self { shape, values }
            }

            /// Converts a tensor; `None` for element types that arrays do not support.
            pub(crate) fn from_ort(value: &DynValue) -> ort::Result<Option<Self>> {
                let Some(ty) = value.dtype().tensor_type() else { return Ok(None) };
                let (shape, values) = $(if ty == <$rust as ort::value::IntoTensorElementType>::into_tensor_element_type() {
                    let (shape, values) = value.try_extract_tensor::<$rust>()?;
                    (shape, Values::$name(values.to_vec()))
                } else)* if ty == ort::value::TensorElementType::String {
                    let (shape, values) = value.try_extract_strings()?;
                    (shape, Values::String(values))
                } else {
                    return Ok(None);
                };
                let shape = shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>();
                Ok(shape.ok().map(|shape| Self { shape, values }))
            }
        }
    };
}

values! {
    both {
        Bool bool: |truth: bool| [u8::from(truth)];
        U8 u8: u8::to_le_bytes;
        I8 i8: i8::to_le_bytes;
        U16 u16: u16::to_le_bytes;
        I16 i16: i16::to_le_bytes;
        U32 u32: u32::to_le_bytes;
        I32 i32: i32::to_le_bytes;
        U64 u64: u64::to_le_bytes;
        I64 i64: i64::to_le_bytes;
        F16 f16: f16::to_le_bytes;
        F32 f32: f32::to_le_bytes;
        F64 f64: f64::to_le_bytes;
    }
    ort {
        BF16 bf16: bf16::to_le_bytes;
    }
}

impl Values {
    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements as f64, exactly; `None` if they are not floats.
    pub fn floats(&self) -> Option<Vec<f64>> {
        match self {
            Values::F16(values) => Some(values.iter().map(|value| value.to_f64()).collect()),
            Values::BF16(values) => Some(values.iter().map(|value| value.to_f64()).collect()),
            Values::F32(values) => Some(values.iter().copied().map(f64::from).collect()),
            Values::F64(values) => Some(values.clone()),
            _ => None,
        }
    }

    /// Returns the elements as numbers, rounded to f64; true is 1.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        match self {
            Values::Bool(values) => values.iter().copied().map(f64::from).collect(),
            Values::U8(values) => values.iter().copied().map(f64::from).collect(),
            Values::U16(values) => values.iter().copied().map(f64::from).collect(),
            Values::U32(values) => values.iter().copied().map(f64::from).collect(),
            Values::U64(values) => values.iter().map(|value| *value as f64).collect(),
            Values::I8(values) => values.iter().copied().map(f64::from).collect(),
            Values::I16(values) => values.iter().copied().map(f64::from).collect(),
            Values::I32(values) => values.iter().copied().map(f64::from).collect(),
            Values::I64(values) => values.iter().map(|value| *value as f64).collect(),
            floats => floats.floats().unwrap_or_default(),
        }
    }
}

/// A Rust type of elements of an [`Array`].
pub trait Element: Sized {
    /// Returns the elements if they have this type.
    fn of(values: &Values) -> Option<&[Self]>;
}

/// A tensor: its shape and elements.
///
/// ```
/// use netwright_verify::Array;
/// let ids = Array::new([1, 3], vec![5_i64, 7, 2])?;
/// assert_eq!(ids.values::<i64>(), Some(&[5, 7, 2][..]));
/// assert_eq!(ids.to_string(), "i64[1, 3]");
/// # Ok::<(), netwright_verify::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Values,
}

impl Array {
    /// Creates a tensor from its elements in row-major order.
    ///
    /// # Errors
    /// If the number of elements does not match the shape.
    pub fn new(shape: impl Into<Vec<usize>>, values: impl Into<Values>) -> Result<Self, VerifyError> {
        let (shape, values) = (shape.into(), values.into());
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        if count == Some(values.len()) {
            Ok(Self { shape, values })
        } else {
            Err(VerifyError::ElementCount { shape, found: values.len() })
        }
    }

    /// Returns the sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the element type.
    pub fn element(&self) -> ElementType {
        self.values.element()
    }

    /// Returns the elements if they have type `T`.
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        T::of(&self.values)
    }

    /// Returns the elements, of any type.
    pub fn any(&self) -> &Values {
        &self.values
    }

    /// Whether both have one shape and one element type, and elements that are equal bit by bit.
    pub fn is_same(&self, other: &Self) -> bool {
        self.shape == other.shape && self.values.is_same(&other.values)
    }

    /// Returns the bytes of the elements, little-endian; a bool takes one byte, and a string ends in a 0.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.to_bytes()
    }

    /// Returns the array with floats of another type, rounded to nearest; a copy if either type is not one of f16, bf16,
    /// f32 and f64.
    pub(crate) fn with_floats(&self, element: ElementType) -> Self {
        let floats = if self.element() == element { None } else { self.values.floats() };
        let Some(floats) = floats else { return self.clone() };
        #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
        let values = match element {
            ElementType::F16 => Values::F16(floats.into_iter().map(f16::from_f64).collect()),
            ElementType::BF16 => Values::BF16(floats.into_iter().map(bf16::from_f64).collect()),
            ElementType::F32 => Values::F32(floats.into_iter().map(|float| float as f32).collect()),
            ElementType::F64 => Values::F64(floats),
            _ => return self.clone(),
        };
        Self { shape: self.shape.clone(), values }
    }

    /// Returns the first integer of which `is_found` is true, with its flat index.
    pub(crate) fn first_integer(&self, is_found: impl Fn(i64) -> bool) -> Option<(usize, i64)> {
        fn of<T: Copy + Into<i64>>(values: &[T], is_found: impl Fn(i64) -> bool) -> Option<(usize, i64)> {
            values.iter().map(|value| (*value).into()).enumerate().find(|(_, value)| is_found(*value))
        }
        match &self.values {
            Values::I32(values) => of(values, is_found),
            Values::I64(values) => of(values, is_found),
            _ => None,
        }
    }

    /// Returns the index on each axis of the element at a flat index.
    pub fn index(&self, mut at: usize) -> Vec<usize> {
        let mut index: Vec<usize> = self
            .shape
            .iter()
            .rev()
            .map(|&size| {
                let here = at.checked_rem(size).unwrap_or(0);
                at = at.checked_div(size).unwrap_or(0);
                here
            })
            .collect();
        index.reverse();
        index
    }
}

impl fmt::Display for Array {
    /// Writes the type, such as `f32[2, 7, 512]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element(), self.shape)
    }
}
