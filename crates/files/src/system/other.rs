//! Systems of which the standard library alone knows too little: what cannot be checked is refused.

use std::fs::{self, File, FileType, Metadata, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The path without links.
pub(crate) type Identity = PathBuf;

/// A folder cannot be opened here, only named.
pub(crate) type Folder = PathBuf;

pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(crate) fn create_new(path: &Path, _permissions: Option<&Permissions>) -> io::Result<File> {
    File::create_new(path)
}

pub(crate) fn open_folder(path: &Path) -> io::Result<Folder> {
    if fs::metadata(path)?.is_dir() { Ok(path.to_owned()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Refuses, as neither links on the way nor the number of links can be checked here.
pub(crate) fn open_beneath(_folder: &Folder, _relative: &Path) -> io::Result<Option<File>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot check that a model's location is safe to read"))
}

pub(crate) fn identity(path: &Path, _metadata: &Metadata) -> io::Result<Identity> {
    path.canonicalize()
}

/// Unknown, and so never one.
pub(crate) fn links(_metadata: &Metadata) -> u64 {
    u64::MAX
}

pub(crate) fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "a device" }
}

/// The standard library reads and writes at a place only by moving the file's one cursor: one thread at a time.
static CURSOR: Mutex<()> = Mutex::new(());

pub(crate) fn read_exact_at(mut file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let _held = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buf)
}

pub(crate) fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let _held = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// No bytes are copied inside the kernel.
pub(crate) fn copy_range(_from: &File, _offset: u64, _to: &File, _at: u64, _len: u64) -> u64 {
    0
}
