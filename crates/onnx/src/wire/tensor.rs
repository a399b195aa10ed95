//! Tensors with their data.

use bytes::Bytes;

use super::StringStringEntryProto;

/// A tensor: a shape, an element type, and the elements in row-major order, in exactly one field.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// The shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// The number of a [`DataType`].
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// The chunk of a larger tensor that this is. The standard leaves its use open.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<SegmentProto>,
    /// Elements of `Float`; of `Complex64` as pairs (real, imaginary).
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of `Bool`, of the integer types up to 32 bits except `Uint32`, and the bits of the float types up to 16
    /// bits; one per number, 4-bit types two and 2-bit types four per number, the first in the lowest bits.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of `String`, UTF-8 by the standard.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    /// Elements of `Int64`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// The name of the tensor.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Documentation for people; Markdown is allowed.
    #[prost(string, optional, tag = "12")]
    pub doc_string: Option<String>,
    /// Elements of any type except `String`, as little-endian bytes; unaligned.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    /// Where the elements are in another file: `location`, `offset`, `length`, `checksum`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// The number of a [`DataLocation`].
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
    /// Elements of `Double`; of `Complex128` as pairs (real, imaginary).
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of `Uint32` and `Uint64`.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Named metadata; keys are distinct (IR 10).
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// `TensorProto.Segment`: a range of a larger tensor.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SegmentProto {
    /// The first element.
    #[prost(int64, optional, tag = "1")]
    pub begin: Option<i64>,
    /// The one after the last.
    #[prost(int64, optional, tag = "2")]
    pub end: Option<i64>,
}

/// A tensor that is zero (or the empty string) except for some elements.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorProto {
    /// The other elements, `[nnz]`; its name is that of the sparse tensor.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Where they are, ascending: `[nnz, rank]`, or `[nnz]` as offsets into the flattened tensor.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// The dense shape.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// Where the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message.
    Default = 0,
    /// In another file, see `external_data`.
    External = 1,
}

/// `TensorProto.DataType`: the element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not set.
    Undefined = 0,
    /// IEEE 754, 32 bits.
    Float = 1,
    /// Unsigned, 8 bits.
    Uint8 = 2,
    /// Signed, 8 bits.
    Int8 = 3,
    /// Unsigned, 16 bits.
    Uint16 = 4,
    /// Signed, 16 bits.
    Int16 = 5,
    /// Signed, 32 bits.
    Int32 = 6,
    /// Signed, 64 bits.
    Int64 = 7,
    /// A string of bytes.
    String = 8,
    /// A truth value, one byte.
    Bool = 9,
    /// IEEE 754, 16 bits.
    Float16 = 10,
    /// IEEE 754, 64 bits.
    Double = 11,
    /// Unsigned, 32 bits.
    Uint32 = 12,
    /// Unsigned, 64 bits.
    Uint64 = 13,
    /// Two `Float`: real, imaginary.
    Complex64 = 14,
    /// Two `Double`: real, imaginary.
    Complex128 = 15,
    /// The upper half of a `Float`.
    Bfloat16 = 16,
    /// 8 bits, 4 of them exponent; NaN, no infinity (IR 9).
    Float8e4m3fn = 17,
    /// 8 bits, 4 of them exponent; NaN, no infinity, no negative zero (IR 9).
    Float8e4m3fnuz = 18,
    /// 8 bits, 5 of them exponent; NaN and infinity (IR 9).
    Float8e5m2 = 19,
    /// 8 bits, 5 of them exponent; NaN, no infinity, no negative zero (IR 9).
    Float8e5m2fnuz = 20,
    /// Unsigned, 4 bits (IR 10).
    Uint4 = 21,
    /// Signed, 4 bits (IR 10).
    Int4 = 22,
    /// 4 bits, 2 of them exponent (IR 11).
    Float4e2m1 = 23,
    /// 8 bits of exponent, the scale of microscaling formats (IR 12).
    Float8e8m0 = 24,
    /// Unsigned, 2 bits (IR 13).
    Uint2 = 25,
    /// Signed, 2 bits (IR 13).
    Int2 = 26,
    /// 6 bits, 2 of them exponent (IR 14).
    Float6e2m3 = 27,
    /// 6 bits, 3 of them exponent (IR 14).
    Float6e3m2 = 28,
}

/// Returns the offset of `part` in `base`, if it is a nonempty slice of it.
///
/// For a model decoded from `base` without copying, this is the offset of a tensor's `raw_data` in the file.
pub fn offset_in(base: &Bytes, part: &Bytes) -> Option<u64> {
    let offset = part.as_ptr().addr().checked_sub(base.as_ptr().addr())?;
    let inside = !part.is_empty() && part.len() <= base.len().checked_sub(offset)?;
    inside.then_some(offset as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        let base = Bytes::from(vec![7; 10]);
        let check = |part: &Bytes, expected| assert_eq!(offset_in(&base, part), expected);
        check(&base, Some(0));
        check(&base.slice(3..10), Some(3));
        check(&base.slice(3..3), None);
        check(&Bytes::copy_from_slice(&base), None);
        let inner = base.slice(2..6);
        assert_eq!(offset_in(&inner, &base.slice(3..6)), Some(1));
        for outside in [base.slice(1..4), base.slice(4..7), base.slice(7..9)] {
            assert_eq!(offset_in(&inner, &outside), None);
        }
    }
}
