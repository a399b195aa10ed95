//! The types of a tensor's elements.

use std::fmt;
use std::str::FromStr;

macro_rules! element_types {
    ($($(#[$doc:meta])* $name:ident $word:literal $bits:literal $class:ident;)*) => {
        /// The type of a tensor's elements: all of ONNX's (`TensorProto.DataType`, IR version 14).
        ///
        /// ```
        /// use netwright_ir::ElementType;
        /// assert_eq!(ElementType::BF16.to_string(), "bf16");
        /// assert_eq!("i4".parse(), Ok(ElementType::I4));
        /// assert_eq!(ElementType::I4.bytes(3), Some(2));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ElementType { $($(#[$doc])* $name,)* }

        impl ElementType {
            /// Every element type.
            pub const ALL: &'static [ElementType] = &[$(ElementType::$name,)*];

            /// Returns the name in the text form, such as `f32`.
            pub fn word(self) -> &'static str {
                match self { $(ElementType::$name => $word,)* }
            }

            /// Returns the bits of one stored element; 0 for strings, whose length varies.
            pub fn bits(self) -> u32 {
                match self { $(ElementType::$name => $bits,)* }
            }

            fn class(self) -> Class {
                match self { $(ElementType::$name => Class::$class,)* }
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Float,
    Signed,
    Unsigned,
    Complex,
    Bool,
    Text,
}

element_types! {
    /// IEEE 754 single precision.
    F32 "f32" 32 Float;
    /// Unsigned 8-bit integer.
    U8 "u8" 8 Unsigned;
    /// Signed 8-bit integer.
    I8 "i8" 8 Signed;
    /// Unsigned 16-bit integer.
    U16 "u16" 16 Unsigned;
    /// Signed 16-bit integer.
    I16 "i16" 16 Signed;
    /// Signed 32-bit integer.
    I32 "i32" 32 Signed;
    /// Signed 64-bit integer: token ids, shapes, indices.
    I64 "i64" 64 Signed;
    /// Text.
    String "string" 0 Text;
    /// Boolean, one byte.
    Bool "bool" 8 Bool;
    /// IEEE 754 half precision.
    F16 "f16" 16 Float;
    /// IEEE 754 double precision.
    F64 "f64" 64 Float;
    /// Unsigned 32-bit integer.
    U32 "u32" 32 Unsigned;
    /// Unsigned 64-bit integer.
    U64 "u64" 64 Unsigned;
    /// Complex number of two `f32`.
    C64 "c64" 64 Complex;
    /// Complex number of two `f64`.
    C128 "c128" 128 Complex;
    /// bfloat16: the upper half of an `f32`.
    BF16 "bf16" 16 Float;
    /// 8-bit float, 4 exponent bits, finite only.
    F8E4M3FN "f8e4m3fn" 8 Float;
    /// 8-bit float, 4 exponent bits, finite only, no negative zero.
    F8E4M3FNUZ "f8e4m3fnuz" 8 Float;
    /// 8-bit float, 5 exponent bits.
    F8E5M2 "f8e5m2" 8 Float;
    /// 8-bit float, 5 exponent bits, finite only, no negative zero.
    F8E5M2FNUZ "f8e5m2fnuz" 8 Float;
    /// Unsigned 4-bit integer, two per byte.
    U4 "u4" 4 Unsigned;
    /// Signed 4-bit integer, two per byte.
    I4 "i4" 4 Signed;
    /// 4-bit float, two per byte.
    F4E2M1 "f4e2m1" 4 Float;
    /// 8-bit power-of-two scale.
    F8E8M0 "f8e8m0" 8 Float;
    /// Unsigned 2-bit integer, four per byte.
    U2 "u2" 2 Unsigned;
    /// Signed 2-bit integer, four per byte.
    I2 "i2" 2 Signed;
    /// 6-bit float with 2 exponent bits, four in three bytes.
    F6E2M3 "f6e2m3" 6 Float;
    /// 6-bit float with 3 exponent bits, four in three bytes.
    F6E3M2 "f6e3m2" 6 Float;
}

impl ElementType {
    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        self.class() == Class::Float
    }

    /// Whether it is an integer type, signed or not; `bool` is not.
    pub fn is_integer(self) -> bool {
        matches!(self.class(), Class::Signed | Class::Unsigned)
    }

    /// Whether it has arithmetic: floats, integers and complex numbers.
    pub fn is_number(self) -> bool {
        !matches!(self.class(), Class::Bool | Class::Text)
    }

    /// Returns the nearest number that a float of 16 bits or more holds; `None` for other types.
    ///
    /// ```
    /// use netwright_ir::ElementType;
    /// assert_eq!(ElementType::F16.round(-65504.0 - 15.0), Some(-65504.0));
    /// assert_eq!(ElementType::F16.round(-65504.0 - 16.0), Some(f64::NEG_INFINITY));
    /// assert_eq!(ElementType::I32.round(1.0), None);
    /// ```
    pub fn round(self, number: f64) -> Option<f64> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
            ElementType::F32 => Some((number as f32).into()),
            ElementType::F64 => Some(number),
            ElementType::F16 => Some(half::f16::from_f64(number).into()),
            ElementType::BF16 => Some(half::bf16::from_f64(number).into()),
            _ => None,
        }
    }

    /// Returns the smallest normal number of a float of 16 bits or more; `None` for other types.
    ///
    /// ```
    /// use netwright_ir::ElementType;
    /// assert_eq!(ElementType::F16.least_normal(), Some(2_f64.powi(-14)));
    /// assert_eq!(ElementType::BF16.least_normal(), ElementType::F32.least_normal());
    /// assert_eq!(ElementType::I32.least_normal(), None);
    /// ```
    pub fn least_normal(self) -> Option<f64> {
        match self {
            ElementType::F32 => Some(f32::MIN_POSITIVE.into()),
            ElementType::F64 => Some(f64::MIN_POSITIVE),
            ElementType::F16 => Some(half::f16::MIN_POSITIVE.into()),
            ElementType::BF16 => Some(half::bf16::MIN_POSITIVE.into()),
            _ => None,
        }
    }

    /// Returns the type's number in ONNX's `TensorProto.DataType`.
    pub fn number(self) -> i64 {
        // The variants are in ONNX's order, which begins at 1.
        self as i64 + 1
    }

    /// Returns the element type with this number in ONNX's `TensorProto.DataType`.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }

    /// Returns the bytes that `count` packed elements take; `None` on overflow and for strings.
    pub fn bytes(self, count: u64) -> Option<u64> {
        match self {
            ElementType::String => None,
            _ => Some(count.checked_mul(u64::from(self.bits()))?.div_ceil(8)),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The error for a name that is not an element type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an element type; expected f32, f16, bf16, i64, i32, bool or another in the list of `ElementType`"
)]
pub struct UnknownElementType(pub String);

impl FromStr for ElementType {
    type Err = UnknownElementType;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|element| element.word() == word);
        known.ok_or_else(|| UnknownElementType(word.to_owned()))
    }
}
