//! Opens and writes all files: confined to a folder, mapped, by ranges, replaced atomically.
//!
//! A model file is untrusted, and it names other files: its external data. So every file that Netwright reads or writes
//! goes through this crate, which asks the kernel and never judges a path by its text alone:
//!
//! - [`Source`] is a file that the user named. It may be a symbolic link; it must be a regular file.
//! - [`Folder`] opens a file that a *model* named: only regular files beneath the model's own folder, never through a
//!   symbolic link. [`Folder::with_data_dir`] is the explicit exception for models stored as links into a cache.
//! - [`Image`] is a [`Source`] in memory of which only the requested parts are read.
//! - [`Range`] is a checked piece of a [`Source`], such as a weight that has not been read.
//! - [`AtomicFile`] is a file being written. It appears under its name when it is complete, or not at all, so a file
//!   may be replaced while it is being read.
//! - [`ScratchFolder`] holds files that only this process reads, until it ends.
//!
//! Weights that do not change go from a [`Range`] to an [`AtomicFile`] inside the kernel ([`AtomicFile::copy_from`]):
//! they are neither mapped nor read into the process.
//!
//! ```
//! use netwright_files::{AtomicFile, Folder, Source};
//!
//! # let dir = tempfile::tempdir()?;
//! # let model = dir.path().join("model.onnx");
//! # std::fs::write(&model, "graph")?;
//! # std::fs::write(dir.path().join("weights.bin"), [1, 2, 3, 4, 5, 6, 7, 8])?;
//! let graph = Source::open(&model)?.map()?;
//! assert_eq!(graph, "graph");
//!
//! // In the model: a weight of 4 bytes at offset 2 of `weights.bin`.
//! let weight = Folder::of(&model)?.open("weights.bin")?.range(2, 4)?;
//!
//! let mut file = AtomicFile::create(&model)?;
//! file.append(b"graph, improved: ")?;
//! file.copy_from(&weight)?;
//! file.commit()?;
//! assert_eq!(std::fs::read(&model)?, b"graph, improved: \x03\x04\x05\x06");
//! assert_eq!(graph, "graph"); // the mapped bytes are still those of the old file
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Platforms
//!
//! On Linux a location is resolved by `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`; on a kernel without
//! it and on other Unix systems by opening one folder after the other without following links. On other systems, such
//! as Windows, the resolved path is compared with that of the folder; another process may replace a folder by a link
//! between the check and the opening. There the number of hard links is unknown, so they are followed.

mod atomic;
mod code;
mod error;
mod folder;
mod image;
mod map;
mod range;
mod scratch;
mod source;
mod system;
mod unfinished;

pub use atomic::AtomicFile;
pub use code::Code;
pub use error::FileError;
pub use folder::Folder;
pub use image::Image;
pub use range::Range;
pub use scratch::ScratchFolder;
pub use source::{Identity, Source, json_error, quote_numbers, read_bytes, read_json, read_text};
pub use unfinished::remove_unfinished;

/// Returns the most memory that this process has held so far, in bytes, as Linux counts it; `None` on other systems.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

use std::path::{Path, PathBuf};

/// Creates a folder and its missing parents; it may already exist.
pub fn create_folder(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    std::fs::create_dir_all(path).map_err(|e| FileError::io("create the folder", path, e))
}

/// Returns the sorted paths of the files and folders in a folder; none if it cannot be read.
pub fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Writes a file as a whole; it appears atomically, as with [`AtomicFile`].
pub fn write_file(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    file.append(bytes.as_ref())?;
    file.commit()
}

/// Copies the bytes of a regular file; the copy appears atomically, as with [`AtomicFile`].
pub fn copy_file(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    let from = from.as_ref();
    let to = to.as_ref();
    let source = Source::open(from)?;
    let mut file = AtomicFile::create(to)?;
    file.copy_from(&source.whole())?;
    file.commit()
}
