//! Reads NumPy's `.npy` files.

use crate::{Array, Values};
use half::f16;
use netwright_ir::ElementType;

/// Reads the array of an `.npy` file of version 1, 2 or 3.
pub(crate) fn parse(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it is not an .npy file")?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            (usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| "its header is too long")?, rest)
        }
        [version, ..] => {
            return Err(format!("version {version} of .npy is not supported; save it as version 1, 2 or 3"));
        }
        [] => return Err("it ends within its header".to_owned()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or("it ends within its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':")).ok_or_else(|| format!("its header has no {key}"))?;
        Ok::<_, String>(rest.trim_start())
    };
    let descr = value("descr")?;
    let descr = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let (descr, _) = descr.ok_or("its elements are records; only plain numbers are supported")?;
    let is_fortran = value("fortran_order")?.starts_with("True");
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or("it has no shape")?.0;
    let shape = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> =
        shape.map(|size| size.parse().map_err(|_| format!("{size} is not a size"))).collect::<Result<_, _>>()?;

    let element = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "?" => ElementType::Bool,
        "u1" => ElementType::U8,
        "i1" => ElementType::I8,
        "u2" => ElementType::U16,
        "i2" => ElementType::I16,
        "u4" => ElementType::U32,
        "i4" => ElementType::I32,
        "u8" => ElementType::U64,
        "i8" => ElementType::I64,
        "f2" => ElementType::F16,
        "f4" => ElementType::F32,
        "f8" => ElementType::F64,
        _ => return Err(format!("its elements are {descr}, which are not supported")),
    };
    let size = element_size(element);
    let count = shape.iter().try_fold(size, |count, &size| count.checked_mul(size));
    if count != Some(data.len()) {
        return Err(format!("its shape is {shape:?}, but it has {} bytes", data.len()));
    }
    let mut data = data.to_vec();
    if descr.starts_with('>') {
        data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if is_fortran {
        data = reversed(&shape, size, &data);
    }
    from_bytes(element, &shape, &data).ok_or_else(|| "its shape and its elements do not fit".to_owned())
}

/// Converts the elements of an array from column-major to row-major order.
fn reversed(shape: &[usize], size: usize, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&here, &size)| at * size + here);
        out.extend_from_slice(&data[at * size..][..size]);
        for (here, &size) in index.iter_mut().zip(shape).rev() {
            *here += 1;
            if *here < size {
                break;
            }
            *here = 0;
        }
    }
    out
}

fn element_size(element: ElementType) -> usize {
    match element {
        ElementType::Bool | ElementType::U8 | ElementType::I8 => 1,
        ElementType::U16 | ElementType::I16 | ElementType::F16 => 2,
        ElementType::U32 | ElementType::I32 | ElementType::F32 => 4,
        _ => 8,
    }
}

/// Returns the array of little-endian bytes; `None` if they do not fit the shape, or the type is not supported.
pub(crate) fn from_bytes(element: ElementType, shape: &[usize], bytes: &[u8]) -> Option<Array> {
    macro_rules! values {
        ($($name:ident $rust:ty,)*) => {
            match element {
                ElementType::Bool => Values::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
                $(ElementType::$name => {
                    let (chunks, rest) = bytes.as_chunks();
                    if !rest.is_empty() {
                        return None;
                    }
                    Values::$name(chunks.iter().map(|raw| <$rust>::from_le_bytes(*raw)).collect())
                })*
                _ => return None,
            }
        };
    }
    let values = values! {
        U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F16 f16, F32 f32, F64 f64,
    };
    Array::new(shape, values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(header.len()).unwrap().to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [b"\x93NUMPY", &[version, 0][..], length, header.as_bytes(), data].concat()
    }

    #[test]
    fn arrays_are_read_as_numpy_writes_them() {
        let header = |descr: &str, fortran: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n")
        };
        let floats: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = |shape: &[usize], values: Vec<f32>| Ok(Array::new(shape, values).unwrap());
        let all = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        for version in [1, 2, 3] {
            let read = parse(&file(version, &header("<f4", "False", "(2, 3)"), &floats));
            assert_eq!(read, array(&[2, 3], all.clone()));
        }
        let read = parse(&file(1, &header("<f4", "True", "(2, 3)"), &floats));
        assert_eq!(read, array(&[2, 3], vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]));
        assert_eq!(parse(&file(1, &header("<f4", "False", "(6,)"), &floats)), array(&[6], all));
        assert_eq!(
            parse(&file(1, &header(">i4", "False", "()"), &[0, 0, 1, 2])),
            Ok(Array::new([], vec![258]).unwrap())
        );
        assert_eq!(
            parse(&file(1, &header("|b1", "False", "(3,)"), &[1, 0, 1])),
            Ok(Array::new([3], vec![true, false, true]).unwrap())
        );
        assert_eq!(
            parse(&file(1, &header("<i8", "False", "(0, 4)"), &[])),
            Ok(Array::new([0, 4], vec![0_i64; 0]).unwrap())
        );
    }

    #[test]
    fn invalid_files_are_refused() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        for (bytes, why) in [
            (b"".to_vec(), "it is not an .npy file"),
            (b"\x93NUMPY".to_vec(), "it ends within its header"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "it ends within its header"),
            (file(9, header, &[]), "version 9 of .npy is not supported; save it as version 1, 2 or 3"),
            (file(1, header, &[0; 7]), "its shape is [2], but it has 7 bytes"),
            (
                file(1, "{'descr': '<c8', 'fortran_order': False, 'shape': ()}", &[]),
                "its elements are <c8, which are not supported",
            ),
            (
                file(1, "{'descr': [('a', '<f4')], 'fortran_order': False}", &[]),
                "its elements are records; only plain numbers are supported",
            ),
            (file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}", &[]), "x is not a size"),
            (file(1, "{'descr': '<f4'}", &[]), "its header has no fortran_order"),
        ] {
            assert_eq!(parse(&bytes), Err(why.to_owned()));
        }
    }
}
