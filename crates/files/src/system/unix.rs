//! Linux with `openat2` and `copy_file_range`; other Unix systems with what all of them have.

use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

/// Device and inode.
pub(crate) type Identity = (u64, u64);

pub(crate) type Folder = File;

/// Opening a pipe or a device must not block, and a terminal must not become the controlling one.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Where possible a folder is opened with `O_PATH`, which needs no permission to list it.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(crate) fn open(path: &Path) -> io::Result<File> {
    Ok(retry_on_intr(|| openat(CWD, path, READ, Mode::empty()))?.into())
}

/// Creates a file that is never accessible to more users than `permissions` allow.
pub(crate) fn create_new(path: &Path, permissions: Option<&Permissions>) -> io::Result<File> {
    let mode = permissions.map_or(0o666, Permissions::mode);
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Creates an unnamed file in the folder of `target`; `None` if the file system does not support it, or the file could
/// not be given a name later.
#[cfg(target_os = "linux")]
pub(crate) fn create_unnamed(target: &Path, permissions: Option<&Permissions>) -> Option<File> {
    let folder = target.parent()?;
    let mode = Mode::from_raw_mode(permissions.map_or(0o666, Permissions::mode));
    let flags = OFlags::WRONLY.union(OFlags::TMPFILE).union(OFlags::CLOEXEC);
    let file: File = retry_on_intr(|| openat(CWD, folder, flags, mode)).ok()?.into();
    Path::new(&name_of_descriptor(&file)).exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn create_unnamed(_target: &Path, _permissions: Option<&Permissions>) -> Option<File> {
    None
}

/// Gives an unnamed file a name.
#[cfg(target_os = "linux")]
pub(crate) fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, linkat};
    Ok(linkat(CWD, name_of_descriptor(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn link(_file: &File, _name: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn name_of_descriptor(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Whether a process with this number runs, as far as this process can see.
pub(crate) fn is_alive(process: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// Returns the stored parts of a file between `start` and `start + len`: the others are holes, which read as zeros.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) fn data(file: &File, start: u64, len: u64) -> Vec<std::ops::Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    let (mut parts, mut at, end) = (vec![], start, start.saturating_add(len));
    while at < end {
        let from = match seek(file, SeekFrom::Data(at)) {
            Ok(from) => from.min(end),
            // There is a hole up to the end of the file.
            Err(Errno::NXIO) => end,
            // The file system does not report holes.
            Err(_) => at,
        };
        let to = seek(file, SeekFrom::Hole(from)).map_or(end, |to| to.min(end));
        if from < to {
            parts.push(from..to);
        }
        at = to.max(from);
    }
    parts
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn data(_file: &File, start: u64, len: u64) -> Vec<std::ops::Range<u64>> {
    std::iter::once(start..start.saturating_add(len)).collect()
}

pub(crate) fn open_folder(path: &Path) -> io::Result<Folder> {
    Ok(retry_on_intr(|| openat(CWD, path, FOLDER, Mode::empty()))?.into())
}

/// Opens `relative`, which has only normal components, without leaving the folder; `None` if it leads through a
/// symbolic link or outside the folder.
pub(crate) fn open_beneath(folder: &Folder, relative: &Path) -> io::Result<Option<File>> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match retry_on_intr(|| openat2(folder, relative, READ, Mode::empty(), resolve)) {
            Ok(file) => return Ok(Some(file.into())),
            Err(Errno::LOOP | Errno::XDEV) => return Ok(None),
            // A kernel before 5.6, or a sandbox that blocks the call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
    }
    walk_beneath(folder, relative)
}

/// Does the same by opening one folder after the other.
fn walk_beneath(folder: &Folder, relative: &Path) -> io::Result<Option<File>> {
    let mut names = relative.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Ok(name)),
        Component::CurDir => None,
        _ => Some(Err(Errno::XDEV)),
    });
    let mut here = folder.try_clone()?;
    let mut next = names.next();
    // The location `.` is the folder itself.
    while let Some(name) = next {
        next = names.next();
        let kind = if next.is_some() { FOLDER } else { READ };
        let step = name.and_then(|name| retry_on_intr(|| openat(&here, name, kind | OFlags::NOFOLLOW, Mode::empty())));
        match step {
            Ok(file) => here = file.into(),
            // Systems report a link differently, and one in place of a folder as not a folder.
            Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR | Errno::XDEV) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Some(here))
}

#[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
pub(crate) fn identity(_path: &Path, metadata: &Metadata) -> io::Result<Identity> {
    Ok((metadata.dev(), metadata.ino()))
}

pub(crate) fn links(metadata: &Metadata) -> u64 {
    metadata.nlink()
}

pub(crate) fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

pub(crate) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Copies inside the kernel, which shares blocks if the file system can; returns how many bytes were copied. Any
/// failure (two file systems, no such call, a full disk) recurs and is reported when the caller copies the rest.
#[cfg(target_os = "linux")]
pub(crate) fn copy_range(from: &File, mut offset: u64, to: &File, mut at: u64, len: u64) -> u64 {
    let mut left = len;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        match retry_on_intr(|| rustix::fs::copy_file_range(from, Some(&mut offset), to, Some(&mut at), most)) {
            Ok(0) | Err(_) => break,
            Ok(copied) => left -= copied as u64,
        }
    }
    len - left
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn copy_range(_from: &File, _offset: u64, _to: &File, _at: u64, _len: u64) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_refuse_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::fs::write(root.join("in/deep/file"), "yes").unwrap();
        std::fs::write(root.join("out"), "no").unwrap();
        std::os::unix::fs::symlink("deep", root.join("in/folder_link")).unwrap();
        std::os::unix::fs::symlink("../out", root.join("in/file_link")).unwrap();
        let folder = open_folder(&root.join("in")).unwrap();
        let check = |location: &str, expected: Option<bool>| {
            let location = Path::new(location);
            let by_path = super::super::other::open_beneath(&root.join("in"), location);
            for opened in [open_beneath(&folder, location), walk_beneath(&folder, location), by_path] {
                assert_eq!(opened.ok().map(|file| file.is_some()), expected, "{location:?}");
            }
        };
        check("deep/file", Some(true));
        check("./deep/./file", Some(true));
        check("deep", Some(true));
        check("missing", None);
        check("deep/missing", None);
        check("folder_link/file", Some(false));
        check("file_link", Some(false));
        check("../out", Some(false));
        check("/etc/passwd", Some(false));
    }
}
