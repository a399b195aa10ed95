//! Systems for which there is the standard library alone, such as Windows. Tests on Unix run it too.

use std::fs::{self, File, FileType, Metadata, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
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

/// Opens `relative`, which has only normal components, without leaving the folder; `None` if a symbolic link or the
/// folder's edge is in the way. What is checked is the path, so that a link that another process puts there meanwhile
/// is followed.
pub(crate) fn open_beneath(folder: &Folder, relative: &Path) -> io::Result<Option<File>> {
    let mut path = folder.canonicalize()?;
    for component in relative.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Ok(None),
        }
        if fs::symlink_metadata(&path)?.is_symlink() {
            return Ok(None);
        }
    }
    // Other kinds of links, such as junctions, show in the path that is reached.
    if path.canonicalize()? == path { File::open(&path).map(Some) } else { Ok(None) }
}

pub(crate) fn create_unnamed(_target: &Path, _permissions: Option<&Permissions>) -> Option<File> {
    None
}

pub(crate) fn link(_file: &File, _name: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not known: a file that is locked is left alone all the same.
pub(crate) fn is_alive(_process: u32) -> bool {
    false
}

/// Holes are not known here.
pub(crate) fn data(_file: &File, start: u64, len: u64) -> Vec<std::ops::Range<u64>> {
    std::iter::once(start..start.saturating_add(len)).collect()
}

pub(crate) fn identity(path: &Path, _metadata: &Metadata) -> io::Result<Identity> {
    path.canonicalize()
}

/// Not known; taken to be one.
pub(crate) fn links(_metadata: &Metadata) -> u64 {
    1
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
