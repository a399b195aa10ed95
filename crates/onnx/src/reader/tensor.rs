//! Reading of tensors, from every field that may hold their elements.

use super::{Context, ReadProblem};
use crate::types;
use crate::wire::{self, DataLocation, SparseTensorProto, TensorProto};
use bytes::Bytes;
use netwright_ir::{ElementType, SparseTensor, Tensor, TensorError};

/// The minimum size of a tensor that stays in the file; smaller ones are copied, so that they do not keep all bytes
/// that were read.
pub(super) const SMALLEST_RANGE: usize = 1024;

/// The maximum dense size of a sparse tensor, which runtimes expand: 64 GiB.
const MAX_DENSE_BYTES: u64 = 1 << 36;

/// Reads a tensor; `place` names it in errors.
pub(super) fn read(proto: TensorProto, place: &str, context: &Context<'_>) -> Result<Tensor, ReadProblem> {
    let fail = |what: String| ReadProblem::Tensor { name: place.to_owned(), what };
    if proto.segment.is_some() {
        return Err(fail("it is a segment of a tensor, which no runtime supports".to_owned()));
    }
    // The metadata of initializers and attributes has been taken out; other tensors cannot have any in the IR.
    if proto.doc_string.as_deref().is_some_and(|doc| !doc.is_empty()) || !proto.metadata_props.is_empty() {
        return Err(fail("metadata of a tensor in a list or a sparse tensor is not supported".to_owned()));
    }
    let element = types::element(proto.data_type).map_err(fail)?;
    let size = |&size: &i64| u64::try_from(size).map_err(|_| fail(format!("the size {size} is negative")));
    let dims = proto.dims.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
    let external = match proto.data_location.unwrap_or_default() {
        0 => false,
        location if location == i32::from(DataLocation::External) => true,
        other => return Err(fail(format!("{other} is not a data location (0 or 1)"))),
    };
    let fields = [
        ("raw_data", proto.raw_data.is_some()),
        ("float_data", !proto.float_data.is_empty()),
        ("int32_data", !proto.int32_data.is_empty()),
        ("string_data", !proto.string_data.is_empty()),
        ("int64_data", !proto.int64_data.is_empty()),
        ("double_data", !proto.double_data.is_empty()),
        ("uint64_data", !proto.uint64_data.is_empty()),
        ("external_data", external),
    ];
    let mut fields = fields.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
    let field = fields.next();
    if let (Some(first), Some(second)) = (field, fields.next()) {
        return Err(fail(format!("its elements are in both {first} and {second}")));
    }
    if !external && !proto.external_data.is_empty() {
        return Err(fail("it has external data, but its data location is not external".to_owned()));
    }
    let tensor = match field {
        Some("string_data") if element == ElementType::String => Tensor::from_strings(
            &dims,
            // Copies, because a slice would keep all bytes that were read of the file.
            proto.string_data.iter().map(|text| Bytes::copy_from_slice(text)).collect(),
        ),
        None if element == ElementType::String => Tensor::from_strings(&dims, vec![]),
        Some("raw_data" | "external_data") if element == ElementType::String => {
            return Err(fail("strings must be in string_data".to_owned()));
        }
        Some("raw_data") => {
            let raw = proto.raw_data.unwrap_or_default();
            // These bytes were not read; only their position is known.
            if raw.len() >= SMALLEST_RANGE {
                let offset =
                    wire::offset_in(&context.bytes, &raw).ok_or_else(|| fail("its position is unknown".to_owned()))?;
                let range =
                    context.source.range(offset, raw.len() as u64).map_err(|error| fail(super::chain(&error)))?;
                Tensor::from_file(element, &dims, range)
            } else {
                Tensor::from_bytes(element, &dims, Bytes::copy_from_slice(&raw))
            }
        }
        Some("external_data") => external_data(&proto, element, &dims, place, context)?,
        None => Tensor::from_bytes(element, &dims, Bytes::new()),
        Some(field) => Tensor::from_bytes(element, &dims, typed(&proto, element, field).map_err(fail)?),
    };
    tensor.map_err(|error| fail(error.to_string()))
}

/// Reads a sparse tensor and its name, which is that of its values; `place` names one without.
pub(super) fn read_sparse(
    proto: SparseTensorProto,
    place: &str,
    context: &Context<'_>,
) -> Result<(String, SparseTensor), ReadProblem> {
    let own = proto.values.as_ref().and_then(|values| values.name.clone()).unwrap_or_default();
    let place = if own.is_empty() { place } else { &own };
    let fail = |what: String| ReadProblem::Tensor { name: place.to_owned(), what };
    let (Some(values), Some(indices)) = (proto.values, proto.indices) else {
        return Err(fail("a sparse tensor must have values and indices".to_owned()));
    };
    let size = |&size: &i64| u64::try_from(size).map_err(|_| fail(format!("the size {size} is negative")));
    let dims = proto.dims.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
    let (values, indices) = (read(values, place, context)?, read(indices, place, context)?);
    let count = dims.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
    let dense = count.and_then(|count| values.element().bytes(count));
    if dense.is_none_or(|bytes| bytes > MAX_DENSE_BYTES) {
        let shape = dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(fail(format!(
            "the sparse tensor of shape [{shape}] would be larger than {MAX_DENSE_BYTES} bytes when runtimes expand it"
        )));
    }
    let tensor = SparseTensor::new(values, indices, &dims).map_err(|error| fail(error.to_string()))?;
    Ok((own, tensor))
}

fn external_data(
    proto: &TensorProto,
    element: ElementType,
    dims: &[u64],
    place: &str,
    context: &Context<'_>,
) -> Result<Result<Tensor, TensorError>, ReadProblem> {
    let fail = |what: String| ReadProblem::Tensor { name: place.to_owned(), what };
    let (mut location, mut offset, mut length) = (None, None, None);
    for entry in &proto.external_data {
        let (key, value) = (entry.key.as_deref().unwrap_or_default(), entry.value.as_deref().unwrap_or_default());
        let number = || {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| value.parse::<u64>().ok()).flatten();
            number.ok_or_else(|| fail(format!("the {key} {value:?} of its external data is not a number of bytes")))
        };
        let twice = match key {
            "location" => location.replace(value).is_some(),
            "offset" => offset.replace(number()?).is_some(),
            "length" => length.replace(number()?).is_some(),
            // The checksum is of the whole file, but only parts are read, and what is written differs.
            "checksum" => false,
            other => return Err(fail(format!("its external data has the unknown key {other:?}"))),
        };
        if twice {
            return Err(fail(format!("its external data has the key {key:?} twice")));
        }
    }
    let location = location.ok_or_else(|| fail("its external data has no location".to_owned()))?;
    let file = |cause| ReadProblem::ExternalData { name: place.to_owned(), cause };
    let source = context.folder.open(location).map_err(file)?;
    if source.identity() == context.source.identity() {
        return Err(fail(format!("its external data {location:?} is the model file itself")));
    }
    let offset = offset.unwrap_or(0);
    // Without a length the tensor gives it.
    let count = dims.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
    let Some(expected) = count.and_then(|count| element.bytes(count)) else {
        return Ok(Err(TensorError::TooLarge { element, dims: dims.to_vec() }));
    };
    let range = source.range(offset, length.unwrap_or(expected)).map_err(file)?;
    Ok(Tensor::from_file(element, dims, range))
}

/// Converts the elements of a typed field to the form of `raw_data`.
fn typed(proto: &TensorProto, element: ElementType, field: &str) -> Result<Vec<u8>, String> {
    use ElementType as E;
    let wrong = || format!("its element type is {element}, but {field} cannot hold it");
    let bytes = match (field, element) {
        ("float_data", E::F32 | E::C64) => proto.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ("double_data", E::F64 | E::C128) => proto.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ("int64_data", E::I64) => proto.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ("uint64_data", E::U64) => proto.uint64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ("uint64_data", E::U32) => narrow(&proto.uint64_data, |value| u32::try_from(value).ok().map(u32::to_le_bytes))?,
        ("int32_data", E::I32) => proto.int32_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ("int32_data", E::I16) => narrow(&proto.int32_data, |value| i16::try_from(value).ok().map(i16::to_le_bytes))?,
        ("int32_data", E::I8) => narrow(&proto.int32_data, |value| i8::try_from(value).ok().map(i8::to_le_bytes))?,
        ("int32_data", E::Bool) => {
            narrow(&proto.int32_data, |value| u8::try_from(value).ok().filter(|bit| *bit < 2).map(u8::to_le_bytes))?
        }
        ("int32_data", E::F6E2M3 | E::F6E3M2) => sixes(&proto.int32_data)?,
        ("int32_data", _) if element.bits() == 16 => {
            narrow(&proto.int32_data, |value| u16::try_from(value).ok().map(u16::to_le_bytes))?
        }
        // Elements smaller than a byte are packed, one byte per number.
        ("int32_data", _) if element.bits() <= 8 => {
            narrow(&proto.int32_data, |value| u8::try_from(value).ok().map(u8::to_le_bytes))?
        }
        _ => return Err(wrong()),
    };
    Ok(bytes)
}

fn narrow<T: Copy + std::fmt::Display, const N: usize>(
    values: &[T],
    bytes: impl Fn(T) -> Option<[u8; N]>,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(values.len().saturating_mul(N));
    for (at, &value) in values.iter().enumerate() {
        let element = bytes(value).ok_or_else(|| format!("element {at} is {value}, out of range for its type"))?;
        out.extend_from_slice(&element);
    }
    Ok(out)
}

/// Packs six bits each, the first element in the lowest bits.
fn sixes(values: &[i32]) -> Result<Vec<u8>, String> {
    let bits = narrow(values, |value| u8::try_from(value).ok().filter(|bits| *bits < 64).map(u8::to_le_bytes))?;
    let mut out = vec![];
    for four in bits.chunks(4) {
        let packed = four.iter().rev().fold(0u32, |packed, bits| packed << 6 | u32::from(*bits));
        out.extend_from_slice(&packed.to_le_bytes()[..(four.len() * 6).div_ceil(8)]);
    }
    Ok(out)
}
