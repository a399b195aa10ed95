//! Systems with only the standard library, such as Windows. Tests on Unix run this code too.

use std::fs::{self, File, FileType, Metadata, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The path with links resolved.
pub(crate) type Identity = PathBuf;

/// Folders cannot be opened on these systems, only named.
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

/// Opens `relative`, which has only normal components, without leaving the folder; `None` if it leads through a
/// symbolic link or outside the folder. The check is by path, so a link that another process creates meanwhile is
/// followed.
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
    // Other kinds of links, such as junctions, show in the resolved path.
    if path.canonicalize()? == path { File::open(&path).map(Some) } else { Ok(None) }
}

pub(crate) fn create_unnamed(_target: &Path, _permissions: Option<&Permissions>) -> Option<File> {
    None
}

pub(crate) fn link(_file: &File, _name: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown on these systems; a locked file is left alone all the same.
pub(crate) fn is_alive(_process: u32) -> bool {
    false
}

/// Holes are unknown on these systems.
pub(crate) fn data(_file: &File, start: u64, len: u64) -> Vec<std::ops::Range<u64>> {
    std::iter::once(start..start.saturating_add(len)).collect()
}

pub(crate) fn identity(path: &Path, _metadata: &Metadata) -> io::Result<Identity> {
    path.canonicalize()
}

/// Unknown on these systems; assumed to be one.
pub(crate) fn links(_metadata: &Metadata) -> u64 {
    1
}

pub(crate) fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "a device" }
}

/// The standard library reads and writes at an offset only by moving the file's cursor: one thread at a time.
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

/// These systems copy no bytes inside the kernel.
pub(crate) fn copy_range(_from: &File, _offset: u64, _to: &File, _at: u64, _len: u64) -> u64 {
    0
}
