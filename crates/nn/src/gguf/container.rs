//! The container: metadata by key, and tensors as ranges of the file.
//!
//! Integers are little-endian. The file begins with `GGUF`, the version (u32), the numbers of tensors and of metadata
//! (u64). Metadata are keys, types (u32) and values; tensors are names, shapes with the last axis first, types (u32) and
//! offsets (u64) of their data, which begins at the next multiple of the alignment.

use super::{Outcome, malformed};
use netwright_ir::files::{Range, Source};
use std::collections::BTreeMap;
use std::path::Path;

/// Metadata and tensors of a file.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) metadata: BTreeMap<String, MetadataValue>,
    pub(super) tensors: BTreeMap<String, Stored>,
}

/// A tensor whose bytes are within the file.
#[derive(Debug)]
pub(super) struct Stored {
    /// The sizes, with the last axis last.
    pub(super) dims: Vec<u64>,
    /// The type, a number of ggml.
    pub(super) ty: u32,
    /// From the first byte of the tensor to the next tensor or the end of the file.
    pub(super) range: Range,
}

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetadataValue {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    /// The bytes of an array are decoded when they are requested: vocabularies are large.
    Array(Array),
}

/// An array of values of one type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    ty: u32,
    len: u64,
    range: Range,
}

const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Returns the number of bytes of a value of a type, if all of its values have as many.
fn size_of(ty: u32) -> Option<u64> {
    match ty {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The longest key or name: ggml's limit is 64 for tensors and 65,535 for keys.
const MAX_NAME: u64 = 65_535;

/// The largest number of axes of a tensor.
const MAX_AXES: u32 = 4;

impl Container {
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let source = Source::open(path)?;
        let map = source.map()?;
        let mut reader = Reader { source: &source, bytes: &map, at: 0 };
        if reader.take(4)? != b"GGUF" {
            return malformed("it does not begin with GGUF");
        }
        match reader.u32()? {
            2 | 3 => {}
            1 => {
                return malformed("version 1 is not supported\n  help: convert the model again with today's llama.cpp");
            }
            version if (1..=3).contains(&version.swap_bytes()) => {
                return malformed("it is big-endian\n  help: convert it with `gguf-convert-endian FILE little`");
            }
            version => return malformed(format!("version {version} is not supported; 2 and 3 are")),
        }
        let (tensors, pairs) = (reader.u64()?, reader.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = reader.text(MAX_NAME)?;
            let ty = reader.u32()?;
            let value = reader.value(ty)?;
            if metadata.insert(key.clone(), value).is_some() {
                return malformed(format!("the metadata {key} is given twice"));
            }
        }
        let mut infos = vec![];
        for _ in 0..tensors {
            infos.push((reader.text(MAX_NAME)?, reader.info()?));
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(MetadataValue::Integer(alignment)) => u64::try_from(*alignment).unwrap_or(0),
            Some(_) => 0,
        };
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return malformed("general.alignment is not a power of two up to 2^20");
        }
        let start = reader.at.next_multiple_of(alignment);
        let tensors = placed(&source, start, alignment, infos)?;
        Ok(Self { metadata, tensors })
    }
}

/// The shape, type and offset of a tensor.
struct Info {
    dims: Vec<u64>,
    ty: u32,
    offset: u64,
}

/// Gives each tensor the bytes up to the next one.
fn placed(
    source: &Source,
    start: u64,
    alignment: u64,
    mut infos: Vec<(String, Info)>,
) -> Outcome<BTreeMap<String, Stored>> {
    infos.sort_by_key(|(_, info)| info.offset);
    let mut tensors = BTreeMap::new();
    let mut infos = infos.into_iter().peekable();
    while let Some((name, info)) = infos.next() {
        let Info { dims, ty, offset } = info;
        if !offset.is_multiple_of(alignment) {
            return malformed(format!("the tensor {name} begins at {offset}, which is not a multiple of {alignment}"));
        }
        let next = infos.peek().map(|(_, next)| start.checked_add(next.offset));
        let from = start.checked_add(offset);
        let (Some(from), Some(to)) = (from, next.unwrap_or(Some(source.len()))) else {
            return malformed(format!("the tensor {name} begins at {offset}, beyond the end of any file"));
        };
        if to > source.len() || from > to {
            return malformed(format!("the tensor {name} begins beyond the end of the file: the file is cut off"));
        }
        let range = source.range(from, to - from)?;
        if tensors.insert(name.clone(), Stored { dims, ty, range }).is_some() {
            return malformed(format!("there are two tensors {name}"));
        }
    }
    Ok(tensors)
}

/// Reads values from the bytes of a file; every length is checked against the bytes that are left.
struct Reader<'b> {
    source: &'b Source,
    bytes: &'b [u8],
    at: u64,
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: u64) -> Outcome<&'b [u8]> {
        let end = self.at.checked_add(len);
        let bounds = end.and_then(|end| Some(usize::try_from(self.at).ok()?..usize::try_from(end).ok()?));
        let (Some(end), Some(taken)) = (end, bounds.and_then(|bounds| self.bytes.get(bounds))) else {
            return malformed(format!("{len} bytes at {} pass the end of the file: it is cut off or damaged", self.at));
        };
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let taken = self.take(N as u64)?;
        <[u8; N]>::try_from(taken).or_else(|_| malformed("a number is cut off"))
    }

    fn u32(&mut self) -> Outcome<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Outcome<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, most: u64) -> Outcome<String> {
        let len = self.u64()?;
        if len > most {
            return malformed(format!(
                "a text at byte {} has {len} bytes, more than {most}: the file is damaged",
                self.at
            ));
        }
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).or_else(|_| malformed(format!("a text before {} is not UTF-8", self.at)))
    }

    fn value(&mut self, ty: u32) -> Outcome<MetadataValue> {
        Ok(match ty {
            0 => MetadataValue::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => MetadataValue::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => MetadataValue::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => MetadataValue::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => MetadataValue::Integer(u32::from_le_bytes(self.array()?).into()),
            5 => MetadataValue::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => {
                let float = f32::from_le_bytes(self.array()?);
                // The shortest decimal: 1e-6, not 9.999999974752427e-7.
                self.finite(float.to_string().parse().unwrap_or(float.into()))?
            }
            BOOL => match self.array()? {
                [0] => MetadataValue::Bool(false),
                [1] => MetadataValue::Bool(true),
                [other] => return malformed(format!("a bool before {} is {other}", self.at)),
            },
            TEXT => MetadataValue::Text(self.text(1 << 24)?),
            ARRAY => MetadataValue::Array(self.elements()?),
            10 => MetadataValue::Integer(u64::from_le_bytes(self.array()?).into()),
            11 => MetadataValue::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => {
                let float = f64::from_le_bytes(self.array()?);
                self.finite(float)?
            }
            _ => return malformed(format!("a value at {} has the unknown type {ty}", self.at)),
        })
    }

    fn finite(&self, float: f64) -> Outcome<MetadataValue> {
        if float.is_finite() {
            Ok(MetadataValue::Float(float))
        } else {
            malformed(format!("a float before {} is {float}, but must be finite", self.at))
        }
    }

    /// Skips the elements of an array.
    fn elements(&mut self) -> Outcome<Array> {
        let (ty, len) = (self.u32()?, self.u64()?);
        let start = self.at;
        match size_of(ty) {
            Some(size) => {
                let bytes = len.checked_mul(size);
                self.take(bytes.map_or_else(|| malformed(format!("an array at {start} is too long")), Ok)?)?;
            }
            None if ty == TEXT => {
                for _ in 0..len {
                    let bytes = self.u64()?;
                    self.take(bytes)?;
                }
            }
            None => return malformed(format!("an array at {start} has elements of the unknown type {ty}")),
        }
        Ok(Array { ty, len, range: self.source.range(start, self.at - start)? })
    }

    fn info(&mut self) -> Outcome<Info> {
        let axes = self.u32()?;
        if axes > MAX_AXES {
            return malformed(format!("a tensor has {axes} axes, more than {MAX_AXES}"));
        }
        let mut dims = (0..axes).map(|_| self.u64()).collect::<Outcome<Vec<_>>>()?;
        dims.reverse();
        Ok(Info { dims, ty: self.u32()?, offset: self.u64()? })
    }
}

impl Array {
    /// Returns the elements, of which there may be `most`.
    pub(super) fn values(&self, most: u64) -> Outcome<Vec<MetadataValue>> {
        if self.len > most {
            return malformed(format!("an array has {} elements, more than {most}", self.len));
        }
        let map = self.range.map()?;
        let mut reader = Reader { source: self.range.source(), bytes: &map, at: 0 };
        (0..self.len).map(|_| reader.value(self.ty)).collect()
    }
}
