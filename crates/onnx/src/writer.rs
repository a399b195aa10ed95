//! The writer: a model becomes one file, or a file and its external data.
//!
//! The frames around the weights are encoded in memory; the weights themselves are copied from file to file, or made
//! block by block by several threads, so that a model of any size needs a few megabytes.

use crate::forms::{FormError, WRITTEN_OPSETS};
use netwright_files::{self as files, AtomicFile, Folder, Identity};
use netwright_ir::{Model, Tensor, TensorError};
use std::path::{Path, PathBuf};

pub(crate) mod emit;
mod frame;
mod stream;

/// The most bytes a file may have: protobuf counts them in 31 bits.
pub const MAX_FILE: u64 = (1 << 31) - 1;

/// How a model is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Where the weights go.
    pub external_data: ExternalData,
    /// Whether weights that already stand in files are not copied: the model names those files, which must lie in its
    /// folder and must stay as they are. The file that the model was read from may be one of them.
    pub share_weights: bool,
    /// Files that external data does not replace, beside those that hold weights of the model.
    pub kept_files: Vec<Identity>,
}

impl WriteOptions {
    /// Sets [`external_data`](Self::external_data).
    pub fn with_external_data(mut self, external_data: ExternalData) -> Self {
        self.external_data = external_data;
        self
    }

    /// Sets [`share_weights`](Self::share_weights).
    pub fn with_share_weights(mut self, share_weights: bool) -> Self {
        self.share_weights = share_weights;
        self
    }

    /// Sets [`kept_files`](Self::kept_files).
    pub fn with_kept_files(mut self, kept_files: Vec<Identity>) -> Self {
        self.kept_files = kept_files;
        self
    }
}

/// Whether weights go to a file of their own, `NAME.onnx.data` beside `NAME.onnx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// Where the model would pass [`MAX_FILE`].
    #[default]
    Auto,
    /// All of 1 KiB or more.
    Always,
    /// None; a model that is too large is an error.
    Never,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The model, and then its external data, where it has some.
    pub files: Vec<PathBuf>,
    /// The size of all together.
    pub bytes: u64,
}

/// Why a model cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// An opset outside of those whose forms are known.
    #[error(
        "opset {opset} cannot be written: the opsets are {} to {}",
        WRITTEN_OPSETS.start(), WRITTEN_OPSETS.end()
    )]
    Opset {
        /// The one asked for.
        opset: i64,
    },
    /// A node without a form.
    #[error("node {node:?}: {why}")]
    Form {
        /// The name of the node's first result.
        node: String,
        /// Why.
        why: FormError,
    },
    /// A node of a function without a form at the opset of the model.
    #[error("node {node:?} of the function {function}: {why}; help: put the functions in place of their calls")]
    Function {
        /// The function.
        function: String,
        /// The name of the node's first result.
        node: String,
        /// Why.
        why: FormError,
    },
    /// A kept operator of a domain whose version the model does not say.
    #[error("node {node:?} is of domain {domain:?}, for which the model has no opset")]
    Domain {
        /// The name of the node's first result.
        node: String,
        /// The domain.
        domain: String,
    },
    /// A caller could not ask for it.
    #[error("output {at} has no name")]
    Unnamed {
        /// Its position.
        at: usize,
    },
    /// Two values of the interface share a name.
    #[error("{name:?} is the name of two inputs or outputs")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// ONNX demands the types of outputs.
    #[error("nothing is known of the type of output {name:?}, and a file must say it")]
    Untyped {
        /// The name of the output.
        name: String,
    },
    /// Assignments to devices are kept in the encoding of the file, and that is broken.
    #[error("the devices of node {node:?} are no message of ONNX")]
    Devices {
        /// The name of the node's first result; empty for those of the model.
        node: String,
    },
    /// A node that is computed from itself.
    #[error("the graph has a cycle: {scheduled} of {nodes} nodes can be put in order")]
    Cycle {
        /// How many can.
        scheduled: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The model does not fit a protobuf file.
    #[error("the model has {bytes} bytes and a file of protobuf holds {MAX_FILE}: {help}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What to do.
        help: &'static str,
    },
    /// The model was to name the weights of the file that it replaces.
    #[error("{path:?} holds weights that are to be shared: write to another file of its folder")]
    Shared {
        /// The path.
        path: PathBuf,
    },
    /// External data is found by its name, which is text.
    #[error("{path:?} is not UTF-8, so that the model cannot name its external data")]
    Name {
        /// The model's path.
        path: PathBuf,
    },
    /// The elements of a tensor cannot be had.
    #[error("the elements of a tensor of {tensor} cannot be had")]
    Elements {
        /// Its type.
        tensor: String,
        /// Why.
        source: TensorError,
    },
    /// A dim that ONNX, which counts in signed numbers, cannot say.
    #[error("tensor {name:?} has an axis of size {size}, and ONNX knows none of 2^63 or more")]
    Dim {
        /// The tensor's name.
        name: String,
        /// The size.
        size: u64,
    },
    /// A file could not be written, or one that weights are copied from not be read.
    #[error(transparent)]
    File(#[from] files::FileError),
}

/// Writes a model to `path`, in the forms of its opset.
///
/// It appears at once and complete, so `path` may be the file that the model was read from. The same model gives the
/// same bytes.
///
/// # Errors
/// Before anything is written where the model has no ONNX form or does not fit; else when a file cannot be read or
/// written.
pub fn write(model: &Model, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Written, WriteError> {
    let path = path.as_ref();
    let emitted = emit::emit(model)?;
    let shared = if options.share_weights { Some(share(&emitted, path)?) } else { None };
    let embedded = frame::encode(&emitted, None, shared.as_ref());
    let fits = embedded.len() <= MAX_FILE;
    match options.external_data {
        ExternalData::Never if !fits => {
            Err(WriteError::TooLarge { bytes: embedded.len(), help: "allow external data" })
        }
        ExternalData::Auto | ExternalData::Never if fits => {
            let mut file = AtomicFile::create(path)?;
            stream::write(&mut file, &embedded)?;
            file.commit()?;
            Ok(Written { files: vec![path.to_owned()], bytes: embedded.len() })
        }
        _ => write_external(&emitted, path, shared.as_ref(), &options.kept_files),
    }
}

/// The bytes of a model with its weights, in memory; for small ones.
///
/// # Errors
/// When the model has no ONNX form, does not fit, or a weight cannot be read.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, WriteError> {
    let frame = frame::encode(&emit::emit(model)?, None, None);
    if frame.len() > MAX_FILE {
        return Err(WriteError::TooLarge { bytes: frame.len(), help: "write it to a file with external data" });
    }
    stream::to_bytes(&frame)
}

/// The locations, for a model at `path`, of the files that hold its weights.
fn share(emitted: &emit::Emitted, path: &Path) -> Result<frame::Shared, WriteError> {
    let folder = Folder::of(path)?;
    let replaced = Identity::of(path).ok();
    let mut shared = frame::Shared::new();
    for range in emitted.tensors.iter().filter_map(frame::shareable) {
        let identity = range.source().identity();
        if replaced.as_ref() == Some(identity) {
            return Err(WriteError::Shared { path: path.to_owned() });
        }
        if !shared.contains_key(identity) {
            shared.insert(identity.clone(), folder.location_of(range.source())?);
        }
    }
    Ok(shared)
}

fn write_external(
    emitted: &emit::Emitted,
    path: &Path,
    shared: Option<&frame::Shared>,
    kept_files: &[Identity],
) -> Result<Written, WriteError> {
    let data_path = data_path(emitted, path, kept_files)?;
    let location = data_path.file_name().and_then(|name| name.to_str());
    let location = location.ok_or_else(|| WriteError::Name { path: path.to_owned() })?;
    let mut external = frame::External::new(location);
    let frame = frame::encode(emitted, Some(&mut external), shared);
    if frame.len() > MAX_FILE {
        return Err(WriteError::TooLarge { bytes: frame.len(), help: "so many nodes are no model that can be stored" });
    }
    let mut model = AtomicFile::create(path)?;
    let mut written = Written { files: vec![path.to_owned()], bytes: frame.len() };
    if external.data.len() > 0 {
        let mut data = AtomicFile::create(&data_path)?;
        stream::write(&mut data, &external.data)?;
        written.bytes += external.data.len();
        written.files.push(data_path);
        stream::write(&mut model, &frame)?;
        // The model names its data, so it comes last.
        data.commit()?;
    } else {
        stream::write(&mut model, &frame)?;
    }
    model.commit()?;
    Ok(written)
}

/// `NAME.data`, or `NAME.1.data` and so on where that is to be kept or holds weights of the model itself: the old model
/// stays whole until the new one takes its place.
fn data_path(emitted: &emit::Emitted, path: &Path, kept_files: &[Identity]) -> Result<PathBuf, WriteError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| WriteError::Name { path: path.to_owned() })?;
    let mut candidate = path.with_file_name(format!("{name}.data"));
    let mut number = 0;
    let is_kept = |file: &Identity| kept_files.contains(file) || emitted.tensors.iter().any(|of| reads(of, file));
    while Identity::of(&candidate).is_ok_and(|file| is_kept(&file)) {
        number += 1;
        candidate = path.with_file_name(format!("{name}.{number}.data"));
    }
    Ok(candidate)
}

fn reads(tensor: &Tensor, file: &Identity) -> bool {
    let mut found = false;
    tensor.for_each_file(&mut |range| found |= range.source().identity() == file);
    found
}
