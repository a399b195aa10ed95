//! The numbers of tensors, decoded from the bytes or the typed data of a message.

use half::{bf16, f16};
use netwright_ir::ElementType;
use tract_onnx::pb::TensorProto;

/// Numbers of a tensor, as f64.
pub(crate) type Numbers<'t> = Box<dyn Iterator<Item = f64> + 't>;

/// Returns the numbers in the bytes of a tensor; none for a type whose elements are not numbers of whole bytes.
pub(crate) fn of_bytes(element: Option<ElementType>, bytes: &[u8]) -> Numbers<'_> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64 + 'static) -> Numbers<'_> {
        Box::new(bytes.as_chunks::<N>().0.iter().map(move |bytes| number(*bytes)))
    }
    match element {
        Some(ElementType::F64) => each(bytes, f64::from_le_bytes),
        Some(ElementType::F32) => each(bytes, |x| f32::from_le_bytes(x).into()),
        Some(ElementType::F16) => each(bytes, |x| f16::from_le_bytes(x).into()),
        Some(ElementType::BF16) => each(bytes, |x| bf16::from_le_bytes(x).into()),
        Some(ElementType::I64) => each(bytes, |x| i64::from_le_bytes(x) as f64),
        Some(ElementType::I32) => each(bytes, |x| i32::from_le_bytes(x).into()),
        Some(ElementType::I8) => each(bytes, |x| i8::from_le_bytes(x).into()),
        Some(ElementType::U8) => each(bytes, |x| u8::from_le_bytes(x).into()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Returns the numbers that a tensor holds in the message; none if they are external.
pub(crate) fn numbers(tensor: &TensorProto) -> Numbers<'_> {
    let element = element(tensor);
    if !tensor.raw_data.is_empty() {
        return of_bytes(element, &tensor.raw_data);
    }
    let small = || tensor.int32_data.iter().copied();
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower half holds the bits")]
    let bits = || small().map(|x| x as u16);
    match element {
        Some(ElementType::F64) => Box::new(tensor.double_data.iter().copied()),
        Some(ElementType::F32) => Box::new(tensor.float_data.iter().copied().map(f64::from)),
        Some(ElementType::F16) => Box::new(bits().map(|x| f16::from_bits(x).into())),
        Some(ElementType::BF16) => Box::new(bits().map(|x| bf16::from_bits(x).into())),
        Some(ElementType::I64) => Box::new(tensor.int64_data.iter().map(|x| *x as f64)),
        Some(ElementType::I32 | ElementType::I8 | ElementType::U8) => Box::new(small().map(f64::from)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Returns the element type of a tensor.
pub(crate) fn element(tensor: &TensorProto) -> Option<ElementType> {
    ElementType::from_number(tensor.data_type.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_type_and_form() {
        let raw = |element: ElementType, raw_data: Vec<u8>| TensorProto {
            data_type: i32::try_from(element.number()).expect("a small number"),
            raw_data,
            ..Default::default()
        };
        let low = f64::NEG_INFINITY;
        for (tensor, expected) in [
            (raw(ElementType::F64, f64::NEG_INFINITY.to_le_bytes().to_vec()), low),
            (raw(ElementType::F32, f32::NEG_INFINITY.to_le_bytes().to_vec()), low),
            (raw(ElementType::F16, f16::NEG_INFINITY.to_le_bytes().to_vec()), low),
            (raw(ElementType::BF16, bf16::NEG_INFINITY.to_le_bytes().to_vec()), low),
            (raw(ElementType::F32, 2.5_f32.to_le_bytes().to_vec()), 2.5),
            (raw(ElementType::I64, (-3_i64).to_le_bytes().to_vec()), -3.0),
            (raw(ElementType::I32, (-3_i32).to_le_bytes().to_vec()), -3.0),
            (raw(ElementType::I8, vec![0xfd]), -3.0),
            (raw(ElementType::U8, vec![0xfd]), 253.0),
            (TensorProto { double_data: vec![1e-50], ..raw(ElementType::F64, vec![]) }, 1e-50),
            (TensorProto { float_data: vec![0.5], ..raw(ElementType::F32, vec![]) }, 0.5),
            (TensorProto { int32_data: vec![0xc000], ..raw(ElementType::F16, vec![]) }, -2.0),
            (TensorProto { int32_data: vec![0xc000], ..raw(ElementType::BF16, vec![]) }, -2.0),
            (TensorProto { int32_data: vec![-3], ..raw(ElementType::I8, vec![]) }, -3.0),
            (TensorProto { int64_data: vec![-3], ..raw(ElementType::I64, vec![]) }, -3.0),
        ] {
            assert_eq!(numbers(&tensor).collect::<Vec<_>>(), [expected], "{tensor:?}");
        }
        assert_eq!(numbers(&raw(ElementType::Bool, vec![1])).count(), 0);
    }
}
