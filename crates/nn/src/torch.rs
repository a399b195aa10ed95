//! Reads the weights that `torch.save` writes, such as `pytorch_model.bin`, without executing anything.
//!
//! The file is a zip archive: `data.pkl` is a pickle that describes the tensors, and each storage is an entry of its
//! own, which is not compressed. PyTorch before 1.6 wrote pickles and storages one after the other. [`pickle`] knows only
//! what describes tensors.

use crate::WeightError;
use netwright_ir::files::{FileError, Range, Source};
use netwright_ir::{ElementType, Tensor, TensorError};
use pickle::Described;
use std::collections::BTreeMap;
use std::path::Path;
use zip::Archive;

mod pickle;
mod zip;

/// The largest pickle, in bytes. A tensor takes about 100.
const MAX_PICKLE: u64 = 1 << 24;

/// The first bytes of the older format: two pickles of a number each, a magic one and that of the version.
const LEGACY: &[u8; 21] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";

const BIG_ENDIAN: &str = "its numbers are not little-endian\n  help: save the model again as safetensors";

/// Why a file cannot be read.
#[derive(Debug)]
enum TorchError {
    File(FileError),
    /// What is wrong with the file.
    Malformed(String),
    /// A tensor, by its name.
    Tensor(String, TensorError),
}

impl From<FileError> for TorchError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

type Outcome<T> = Result<T, TorchError>;

fn malformed<T>(why: impl Into<String>) -> Outcome<T> {
    Err(TorchError::Malformed(why.into()))
}

/// Reads the tensors of a file as ranges of the file.
pub(crate) fn read_file(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightError> {
    let source = Source::open(path)?;
    read(&source).map_err(|error| match error {
        TorchError::File(error) => error.into(),
        TorchError::Malformed(why) => WeightError::Malformed { path: path.to_owned(), why },
        TorchError::Tensor(name, source) => WeightError::Tensor { name, source },
    })
}

fn read(source: &Source) -> Outcome<BTreeMap<String, Tensor>> {
    let mut first = [0; LEGACY.len()];
    let is_legacy = source.read_at(0, &mut first).is_ok() && first == *LEGACY;
    let (described, storages) = if is_legacy { legacy(source)? } else { zipped(source)? };
    described.into_iter().map(|(name, tensor)| Ok((name.clone(), place(&storages, &name, &tensor)?))).collect()
}

/// The tensors by name, and the storages by key.
type Parts = (BTreeMap<String, Described>, BTreeMap<String, Range>);

/// Reads the archive that PyTorch writes since version 1.6.
fn zipped(source: &Source) -> Outcome<Parts> {
    let archive = Archive::open(source)?;
    let mut pickles = archive.entries.iter().filter_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range)));
    let (folder, pickle) = match (pickles.next(), pickles.next()) {
        (Some((folder, pickle)), None) if folder.is_empty() || folder.ends_with('/') => (folder, pickle),
        _ => return malformed("the archive does not have one data.pkl, so it is not from torch.save"),
    };
    if let Some(order) = archive.entries.get(&format!("{folder}byteorder")) {
        let mut bytes = [0; 6];
        if order.len() != 6 || order.read(0, &mut bytes).is_err() || &bytes != b"little" {
            return malformed(BIG_ENDIAN);
        }
    }
    if pickle.len() > MAX_PICKLE {
        return malformed(format!("data.pkl has {} bytes, but may have at most {MAX_PICKLE}", pickle.len()));
    }
    let mut bytes = vec![0; usize::try_from(pickle.len()).unwrap_or(0)];
    pickle.read(0, &mut bytes)?;
    let described = pickle::tensors(&mut bytes.as_slice())?;
    let data = format!("{folder}data/");
    let storages = archive.entries.iter().filter_map(|(name, range)| Some((name.strip_prefix(&data)?, range)));
    Ok((described, storages.map(|(key, range)| (key.to_owned(), range.clone())).collect()))
}

/// Reads what PyTorch wrote before version 1.6: pickles one after the other, then the storages.
fn legacy(source: &Source) -> Outcome<Parts> {
    let map = source.map()?;
    let pickles = &map[LEGACY.len()..map.len().min(usize::try_from(MAX_PICKLE).unwrap_or(0))];
    let mut rest = pickles;
    if pickle::flag(&mut rest, "little_endian")? != Some(true) {
        return malformed(BIG_ENDIAN);
    }
    let described = pickle::tensors(&mut rest)?;
    let keys = pickle::texts(&mut rest)?;
    let mut at = (LEGACY.len() + pickles.len() - rest.len()) as u64;
    let elements: BTreeMap<&str, ElementType> =
        described.values().map(|tensor| (tensor.key.as_str(), tensor.element)).collect();
    let mut storages = BTreeMap::new();
    for key in keys {
        let mut count = [0; 8];
        source.read_at(at, &mut count)?;
        let Some(element) = elements.get(key.as_str()) else {
            return malformed(format!("no weight is in the storage {key}, so its size is unknown"));
        };
        let Some(len) = element.bytes(u64::from_le_bytes(count)) else {
            return malformed(format!("the storage {key} is larger than any file"));
        };
        let range = source.range(at + 8, len)?;
        at = range.offset() + len;
        storages.insert(key, range);
    }
    Ok((described, storages))
}

/// Returns the range of a storage as a tensor.
fn place(storages: &BTreeMap<String, Range>, name: &str, tensor: &Described) -> Outcome<Tensor> {
    let refuse = |why: String| malformed(format!("the weight {name} {why}"));
    let Described { element, key, numel, offset, dims, strides } = tensor;
    let Some(storage) = storages.get(key) else { return refuse(format!("is in the storage {key}, which is missing")) };
    let count = dims.iter().try_fold(1_u64, |count, size| count.checked_mul(*size));
    let end = count.and_then(|count| count.checked_add(*offset));
    if element.bytes(*numel) != Some(storage.len()) || end.is_none_or(|end| end > *numel) {
        return refuse(format!(
            "of shape {dims:?} from {offset} on does not fit into the storage {key}, which has {} bytes for {numel} elements",
            storage.len()
        ));
    }
    let failed = |source| TorchError::Tensor(name.to_owned(), source);
    let (Some(start), Some(len)) = (element.bytes(*offset), count.and_then(|count| element.bytes(count))) else {
        return refuse("is larger than any file".to_owned());
    };
    let range = storage.slice(start, len)?;
    if is_dense(dims, strides) {
        return Tensor::from_file(*element, dims, range).map_err(failed);
    }
    if let ([rows, columns], [step, stride]) = (&dims[..], &strides[..])
        && is_dense(&[*columns, *rows], &[*stride, *step])
    {
        return Tensor::from_file(*element, &[*columns, *rows], range)
            .and_then(|tensor| tensor.transposed())
            .map_err(failed);
    }
    refuse(format!(
        "of shape {dims:?} has the strides {strides:?}, which are not those of a contiguous or transposed tensor\n  help: \
         call contiguous() and save the model again as safetensors"
    ))
}

/// Returns whether the strides are those of a contiguous tensor. Those of axes of size 1 have no effect.
fn is_dense(dims: &[u64], strides: &[u64]) -> bool {
    let mut expected = Some(1_u64);
    let fits = |(size, stride): (&u64, &u64)| {
        let fits = *size == 1 || expected == Some(*stride);
        expected = expected.and_then(|expected| expected.checked_mul(*size));
        fits
    };
    dims.len() == strides.len() && (dims.contains(&0) || dims.iter().zip(strides).rev().all(fits))
}

/// The element types of storages, by the classes that stand for them.
const STORAGES: [(&str, ElementType); 10] = [
    ("FloatStorage", ElementType::F32),
    ("HalfStorage", ElementType::F16),
    ("BFloat16Storage", ElementType::BF16),
    ("DoubleStorage", ElementType::F64),
    ("LongStorage", ElementType::I64),
    ("IntStorage", ElementType::I32),
    ("ShortStorage", ElementType::I16),
    ("CharStorage", ElementType::I8),
    ("ByteStorage", ElementType::U8),
    ("BoolStorage", ElementType::Bool),
];
