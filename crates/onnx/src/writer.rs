//! The writer: writes a model to one file, or to a file and its external data.
//!
//! The messages around the weights are encoded in memory; the weights are copied from file to file or computed block by
//! block by several threads, so a model of any size needs only a few megabytes.

use crate::forms::{FormError, WRITTEN_OPSETS};
use crate::reader::{ReadOptions, read};
use netwright_files::{self as files, AtomicFile, Code, Folder, Identity};
use netwright_ir::{Model, Tensor, TensorError};
use std::path::{Path, PathBuf};

pub(crate) mod emit;
mod frame;
mod progress;
mod stream;

pub use progress::Progress;

/// The maximum size of a file in bytes: protobuf sizes have 31 bits.
pub const MAX_FILE: u64 = (1 << 31) - 1;

/// Options for writing a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Where the weights are stored.
    pub external_data: ExternalData,
    /// Whether weights that are already in files are not copied: the model refers to those files, which must be in its
    /// folder and must not change. The file that the model was read from may be one of them.
    pub share_weights: bool,
    /// Files whose copies lie beneath the folder of the model, and the locations of the copies: weights in them are not
    /// stored again.
    pub copies: Vec<(Identity, String)>,
    /// Files that external data must not replace, besides those that hold weights of the model, and that are not removed.
    pub kept_files: Vec<Identity>,
    /// The counter of the bytes that are written, if they are counted.
    pub progress: Option<Progress>,
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

    /// Sets [`copies`](Self::copies).
    pub fn with_copies(mut self, copies: Vec<(Identity, String)>) -> Self {
        self.copies = copies;
        self
    }

    /// Sets [`kept_files`](Self::kept_files).
    pub fn with_kept_files(mut self, kept_files: Vec<Identity>) -> Self {
        self.kept_files = kept_files;
        self
    }

    /// Sets [`progress`](Self::progress).
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// Whether weights are stored in a separate file, `NAME.onnx.data` beside `NAME.onnx`. An existing file is replaced only
/// if it is external data of the model that is replaced; otherwise the file is `NAME.onnx.1.data`, or `.2.data` and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// If the model would exceed [`MAX_FILE`].
    #[default]
    Auto,
    /// All weights of 1 KiB or more.
    Always,
    /// No weights; a model that is too large is an error.
    Never,
}

/// The files that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenFiles {
    /// The model, then its external data if it has any.
    pub files: Vec<PathBuf>,
    /// The total size in bytes.
    pub bytes: u64,
}

/// Why a model cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The opset is not supported.
    #[error(
        "opset {opset} cannot be written\n  help: choose an opset from {} to {}",
        WRITTEN_OPSETS.start(), WRITTEN_OPSETS.end()
    )]
    Opset {
        /// The requested opset.
        opset: i64,
    },
    /// A node has no form at the model's opset.
    #[error("node {node:?}: {why}\n  help: {}", why.help())]
    Form {
        /// The name of the node's first result.
        node: String,
        /// The reason.
        why: FormError,
    },
    /// A node of a function has no form at the model's opset.
    #[error("node {node:?} of the function {function}: {why}\n  help: inline the functions (--inline-functions)")]
    Function {
        /// The function.
        function: String,
        /// The name of the node's first result.
        node: String,
        /// The reason.
        why: FormError,
    },
    /// An opaque node is of a domain that the model does not import.
    #[error(
        "node {node:?} is of domain {domain:?}, which the model does not import\n  help: \
         add it to the model's opsets"
    )]
    Domain {
        /// The name of the node's first result.
        node: String,
        /// The domain.
        domain: String,
    },
    /// An output has no name, so a caller could not request it.
    #[error("output {at} has no name\n  help: name it, so that a caller can request it")]
    Unnamed {
        /// Its index.
        at: usize,
    },
    /// Two inputs or outputs have the same name.
    #[error("{name:?} is the name of two inputs or outputs\n  help: rename one of them")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The type of an output is unknown, but ONNX requires it.
    #[error(
        "the type of output {name:?} is unknown, but a file must declare it\n  help: declare the type of the output"
    )]
    Untyped {
        /// The name of the output.
        name: String,
    },
    /// The device configurations of a node, kept in their protobuf encoding, are malformed.
    #[error(
        "the device configurations of node {node:?} are not valid ONNX messages\n  help: remove them from the metadata"
    )]
    Devices {
        /// The name of the node's first result; empty for those of the model.
        node: String,
    },
    /// A node depends on itself.
    #[error(
        "the graph has a cycle: only {scheduled} of {nodes} nodes can be ordered\n  help: find the nodes that depend on \
         themselves with the checker, `netwright_ir::check`"
    )]
    Cycle {
        /// The number of nodes that can be ordered.
        scheduled: usize,
        /// The number of nodes.
        nodes: usize,
    },
    /// The model does not fit in a protobuf file.
    #[error("the model has {bytes} bytes, but a protobuf file holds at most {MAX_FILE}\n  help: {help}")]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// How to fix it.
        help: &'static str,
    },
    /// The model would share the weights of the file that it replaces.
    #[error("{path:?} holds weights that are to be shared\n  help: write to another file in its folder")]
    Shared {
        /// The path.
        path: PathBuf,
    },
    /// The model's path is not UTF-8, but external data is found by a UTF-8 name.
    #[error("{path:?} is not UTF-8, so the model cannot refer to its external data\n  help: choose a name in UTF-8")]
    Name {
        /// The model's path.
        path: PathBuf,
    },
    /// The elements of a tensor cannot be read.
    #[error("the elements of a tensor of {tensor} cannot be read")]
    Elements {
        /// Its type.
        tensor: String,
        /// Why.
        source: TensorError,
    },
    /// A size is too large for ONNX, which uses signed numbers.
    #[error(
        "tensor {name:?} has an axis of size {size}, but ONNX sizes must be less than 2^63\n  help: choose a smaller size"
    )]
    Dim {
        /// The tensor's name.
        name: String,
        /// The size.
        size: u64,
    },
    /// A file could not be written, or a file with weights could not be read.
    #[error(transparent)]
    File(#[from] files::FileError),
}

impl WriteError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Opset { .. } => Code::WriteOpset,
            Self::Form { why, .. } | Self::Function { why, .. } => why.code(),
            Self::Domain { .. } => Code::DomainMissing,
            Self::Unnamed { .. } => Code::OutputUnnamed,
            Self::Duplicate { .. } => Code::PortTwice,
            Self::Untyped { .. } => Code::OutputUntyped,
            Self::Devices { .. } => Code::Devices,
            Self::Cycle { .. } => Code::CyclicGraph,
            Self::TooLarge { .. } => Code::ModelTooLarge,
            Self::Shared { .. } => Code::SharedReplaced,
            Self::Name { .. } => Code::NameNotUtf8,
            Self::Elements { .. } => Code::ElementsUnreadable,
            Self::Dim { .. } => Code::SizeTooLarge,
            Self::File(error) => error.code(),
        }
    }
}

impl WriteError {
    /// Returns whether the elements of a weight cannot be quantized, or are outside the range of the type to which they are
    /// converted. If the model is converted again with checked weights, the weight stays as it is, and the model can be
    /// written.
    pub fn is_of_conversion(&self) -> bool {
        matches!(self, Self::Elements { source: TensorError::Recipe { recipe: "quantize" | "finite", .. }, .. })
    }
}

/// Writes a model to `path`, in the forms of its opset.
///
/// The file appears atomically, so `path` may be the file that the model was read from. The same model gives the same
/// bytes. If the weights go to external data, that of the replaced model is removed at the end, where its name is of
/// this model and no other model of the folder reads it.
///
/// # Errors
/// If the model has no ONNX form or does not fit, before anything is written; or if a file cannot be read or written.
pub fn write(model: &Model, path: impl AsRef<Path>, options: &WriteOptions) -> Result<WrittenFiles, WriteError> {
    let path = path.as_ref();
    let draft = frame::Draft::of(model)?;
    let shared = match &options.copies[..] {
        _ if options.share_weights => Some(share(&draft.emitted, path)?),
        [] => None,
        copies => Some(copies.iter().cloned().collect()),
    };
    let progress = options.progress.clone().unwrap_or_default();
    let embedded = frame::encode(&draft, None, shared.as_ref());
    let fits = embedded.len() <= MAX_FILE;
    match options.external_data {
        ExternalData::Never if !fits => {
            Err(WriteError::TooLarge { bytes: embedded.len(), help: "keep the weights in a file of their own" })
        }
        ExternalData::Auto | ExternalData::Never if fits => {
            let mut file = AtomicFile::create(path)?;
            progress.start(embedded.len());
            stream::write(&mut file, &embedded, &progress)?;
            file.commit()?;
            Ok(WrittenFiles { files: vec![path.to_owned()], bytes: embedded.len() })
        }
        _ => write_external(&draft, path, shared.as_ref(), &options.kept_files, &progress),
    }
}

/// Returns the number of bytes that [`write()`] writes for a model, with its external data; writes nothing.
///
/// # Errors
/// If the model has no ONNX form or does not fit.
pub fn written_size(model: &Model, external_data: ExternalData) -> Result<u64, WriteError> {
    let draft = frame::Draft::of(model)?;
    let embedded = frame::encode(&draft, None, None).len();
    match external_data {
        ExternalData::Never if embedded > MAX_FILE => {
            Err(WriteError::TooLarge { bytes: embedded, help: "allow external data" })
        }
        ExternalData::Auto | ExternalData::Never if embedded <= MAX_FILE => Ok(embedded),
        _ => {
            let mut external = frame::External::new("model.onnx.data");
            let frame = frame::encode(&draft, Some(&mut external), None);
            Ok(frame.len() + external.data.len())
        }
    }
}

/// Returns the bytes of a model with its weights, in memory; for small models.
///
/// # Errors
/// If the model has no ONNX form, does not fit, or a weight cannot be read.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, WriteError> {
    let frame = frame::encode(&frame::Draft::of(model)?, None, None);
    if frame.len() > MAX_FILE {
        return Err(WriteError::TooLarge { bytes: frame.len(), help: "write it to a file with external data" });
    }
    stream::to_bytes(&frame)
}

/// Returns the locations of the files that hold the weights, for a model at `path`.
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
    draft: &frame::Draft,
    path: &Path,
    shared: Option<&frame::Shared>,
    kept_files: &[Identity],
    progress: &Progress,
) -> Result<WrittenFiles, WriteError> {
    let replaced = tensors_at(path).unwrap_or_default();
    let data_path = data_path(&draft.emitted, &replaced, path, kept_files)?;
    let location = data_path.file_name().and_then(|name| name.to_str());
    let location = location.ok_or_else(|| WriteError::Name { path: path.to_owned() })?;
    let mut external = frame::External::new(location);
    let frame = frame::encode(draft, Some(&mut external), shared);
    if frame.len() > MAX_FILE {
        return Err(WriteError::TooLarge { bytes: frame.len(), help: "reduce the number of nodes" });
    }
    progress.start(frame.len() + external.data.len());
    let is_kept = |file: &Identity| {
        kept_files.contains(file)
            || shared.is_some_and(|shared| shared.contains_key(file))
            || Identity::of(&data_path).is_ok_and(|data| data == *file)
    };
    let mut unused = own_data(&replaced, path);
    unused.retain(|(_, file)| !is_kept(file));
    if !unused.is_empty() {
        unused.retain(|(_, file)| !is_read_beside(path, file));
    }
    let mut model = AtomicFile::create(path)?;
    let mut written = WrittenFiles { files: vec![path.to_owned()], bytes: frame.len() };
    if external.data.len() > 0 {
        let mut data = AtomicFile::create(&data_path)?;
        stream::write(&mut data, &external.data, progress)?;
        written.bytes += external.data.len();
        written.files.push(data_path);
        stream::write(&mut model, &frame, progress)?;
        // The model refers to its data, so it is committed last.
        data.commit()?;
    } else {
        stream::write(&mut model, &frame, progress)?;
    }
    model.commit()?;
    for (file, _) in unused {
        // What cannot be removed stays, and harms nothing.
        let _ = std::fs::remove_file(file);
    }
    Ok(written)
}

/// Returns `NAME.data`, or `NAME.1.data` and so on if that file must be kept, holds weights of the model itself, so that the
/// old model stays intact until the new one replaces it, or is not external data of the old model.
fn data_path(
    emitted: &emit::Emitted,
    replaced: &[Tensor],
    path: &Path,
    kept_files: &[Identity],
) -> Result<PathBuf, WriteError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| WriteError::Name { path: path.to_owned() })?;
    let mut candidate = path.with_file_name(format!("{name}.data"));
    let mut number = 0;
    let is_read = |tensors: &[Tensor], file: &Identity| tensors.iter().any(|tensor| reads(tensor, file));
    let is_kept =
        |file: &Identity| kept_files.contains(file) || is_read(&emitted.tensors, file) || !is_read(replaced, file);
    while Identity::of(&candidate).is_ok_and(|file| is_kept(&file)) {
        number += 1;
        candidate = path.with_file_name(format!("{name}.{number}.data"));
    }
    Ok(candidate)
}

/// Returns the files `NAME.data`, `NAME.1.data` and so on beside `path` that hold tensors of the model there. Links are
/// not among them.
fn own_data(tensors: &[Tensor], path: &Path) -> Vec<(PathBuf, Identity)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_own = |file: &str| {
        let number = file.strip_prefix(name).and_then(|rest| rest.strip_suffix(".data"));
        number.is_some_and(|number| number.is_empty() || number.strip_prefix('.').is_some_and(is_number))
    };
    let mut found: Vec<(PathBuf, Identity)> = vec![];
    for tensor in tensors {
        tensor.for_each_file(&mut |range| {
            let identity = range.source().identity();
            let file = range.source().path().file_name().and_then(|file| file.to_str()).filter(|file| is_own(file));
            let Some(file) = file.map(|file| path.with_file_name(file)) else { return };
            let is_file = || file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            let is_new = found.iter().all(|(_, known)| known != identity);
            if is_new && is_file() && Identity::of(&file).is_ok_and(|own| own == *identity) {
                found.push((file, identity.clone()));
            }
        });
    }
    found
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether another model in the folder of `path` may read a file: one that cannot be read may.
fn is_read_beside(path: &Path, file: &Identity) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = Identity::of(path).ok();
    let is_model = |other: &PathBuf| other.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    files::entries(folder)
        .into_iter()
        .filter(|other| is_model(other) && Identity::of(other).ok() != own)
        .any(|other| tensors_at(&other).is_none_or(|tensors| tensors.iter().any(|tensor| reads(tensor, file))))
}

/// Returns the tensors of the model at `path`; `None` if there is no model that can be read.
fn tensors_at(path: &Path) -> Option<Vec<Tensor>> {
    let model = read(path, &ReadOptions::default()).ok()?;
    Some(frame::Draft::of(&model).ok()?.emitted.tensors)
}

fn reads(tensor: &Tensor, file: &Identity) -> bool {
    let mut found = false;
    tensor.for_each_file(&mut |range| found |= range.source().identity() == file);
    found
}
