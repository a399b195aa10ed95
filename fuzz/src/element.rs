//! Element types of ONNX, and the encodings of their elements.

use half::{bf16, f16};

/// An element type, with its number in `onnx.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
#[repr(i32)]
pub enum Elem {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    BF16 = 16,
    U4 = 21,
    I4 = 22,
}

impl Elem {
    /// All element types.
    pub const ALL: [Elem; 15] = [
        Elem::F32,
        Elem::U8,
        Elem::I8,
        Elem::U16,
        Elem::I16,
        Elem::I32,
        Elem::I64,
        Elem::Bool,
        Elem::F16,
        Elem::F64,
        Elem::U32,
        Elem::U64,
        Elem::BF16,
        Elem::U4,
        Elem::I4,
    ];

    /// Returns the element type with a number in `onnx.proto`, if it is one of those above.
    pub fn of(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|elem| *elem as i32 == number)
    }

    /// Returns whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::F64 | Self::BF16)
    }

    /// Returns the lowest finite number of a floating-point type.
    pub fn lowest(self) -> f64 {
        match self {
            Self::F16 => -65504.0,
            Self::BF16 => bf16::MIN.to_f64(),
            Self::F64 => f64::MIN,
            _ => f64::from(f32::MIN),
        }
    }

    /// Encodes numbers as `raw_data`; integers are truncated.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers are rounded to the type")]
    pub fn encode(self, values: &[f64]) -> Vec<u8> {
        fn all<const N: usize>(values: &[f64], encode: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
            values.iter().flat_map(|&value| encode(value)).collect()
        }
        match self {
            Self::F32 => all(values, |value| (value as f32).to_le_bytes()),
            Self::F64 => all(values, f64::to_le_bytes),
            Self::F16 => all(values, |value| f16::from_f64(value).to_le_bytes()),
            Self::BF16 => all(values, |value| bf16::from_f64(value).to_le_bytes()),
            Self::U8 => all(values, |value| (value as u8).to_le_bytes()),
            Self::I8 => all(values, |value| (value as i8).to_le_bytes()),
            Self::U16 => all(values, |value| (value as u16).to_le_bytes()),
            Self::I16 => all(values, |value| (value as i16).to_le_bytes()),
            Self::U32 => all(values, |value| (value as u32).to_le_bytes()),
            Self::I32 => all(values, |value| (value as i32).to_le_bytes()),
            Self::U64 => all(values, |value| (value as u64).to_le_bytes()),
            Self::I64 => all(values, |value| (value as i64).to_le_bytes()),
            Self::Bool => all(values, |value| [u8::from(value != 0.0)]),
            Self::U4 | Self::I4 => {
                let nibble = |value: &f64| (*value as i64 as u8) & 15;
                values.chunks(2).map(|pair| nibble(&pair[0]) | pair.get(1).map_or(0, nibble) << 4).collect()
            }
        }
    }
}
