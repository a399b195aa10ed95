//! Atomic writing: a file that replaces its destination when it is complete.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf, is_separator};

use crate::unfinished::{self, Unfinished};
use crate::{FileError, Range, system};

/// The number of bytes buffered before they are written.
const BLOCK: usize = 1 << 20;

/// The page size: the kernel copies slowly between offsets that differ within a page.
const PAGE: u64 = 1 << 12;

/// A file being written, which replaces its destination when it is complete.
///
/// The bytes go to a temporary file in the folder of the destination. [`commit`](Self::commit) renames it over the
/// destination in one step; dropping it uncommitted removes it. So a failure leaves the old file intact, and a process
/// that has the old file open or mapped keeps its old contents. `commit` does not wait for the disk.
///
/// Where the system allows it (Linux, most file systems), the temporary file has no name until it is committed, so the
/// system removes it if the process is killed. Elsewhere its name is `.netwright.PROCESS.NUMBER.tmp`:
/// [`remove_unfinished`](crate::remove_unfinished) removes it, for programs that are stopped by a signal, and the next
/// file created in the folder removes those of dead processes.
///
/// The destination may be
/// - missing, in an existing folder: it gets the permissions of a new file;
/// - a writable regular file: it is replaced and its permissions are kept;
/// - a symbolic link to such a file: the target is replaced and the link stays.
///
/// Anything else, such as a folder, a pipe or a device (`/dev/null`), is an error. Of a file with several hard links,
/// only the given name is replaced.
///
/// [`append`](Self::append), [`copy_from`](Self::copy_from) and [`reserve`](Self::reserve) extend the file at its end;
/// [`write_at`](Self::write_at) fills reserved bytes, from several threads at once.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    /// The temporary file's name, if it has one.
    named: Option<Unfinished>,
    target: PathBuf,
    /// The number of bytes written or reserved in the file; the bytes of `buffer` follow them.
    written: u64,
    buffer: Vec<u8>,
}

impl AtomicFile {
    /// Creates a file that is to replace `destination`.
    pub fn create(destination: impl AsRef<Path>) -> Result<Self, FileError> {
        let destination = destination.as_ref();
        let (target, permissions) = resolve(destination)?;
        unfinished::sweep(&target);
        let failed = |error| FileError::io("write", &target, error);
        let (file, named) = match system::create_unnamed(&target, permissions.as_ref()) {
            Some(file) => (file, None),
            None => Unfinished::create(&target, permissions.as_ref())
                .map(|(file, name)| (file, Some(name)))
                .map_err(failed)?,
        };
        // From here on, dropping `this` removes the temporary file.
        let this = Self { file, named, target, written: 0, buffer: Vec::new() };
        if let Some(permissions) = permissions {
            this.file.set_permissions(permissions).map_err(|e| this.error("write", e))?;
        }
        Ok(this)
    }

    /// Returns the path that will be replaced or created: the destination with links resolved.
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Returns the number of bytes so far: the offset of the next append.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.buffer.len() + bytes.len() > BLOCK {
            self.write_buffer()?;
        }
        if bytes.len() < BLOCK {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        system::write_all_at(&self.file, bytes, self.written).map_err(|e| self.error("write", e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends `len` zero bytes for [`write_at`](Self::write_at) to fill; returns their offset.
    pub fn reserve(&mut self, len: u64) -> Result<u64, FileError> {
        self.write_buffer()?;
        let start = self.written;
        // File systems use signed 64-bit offsets.
        match start.checked_add(len).filter(|&end| i64::try_from(end).is_ok()) {
            Some(end) => self.written = end,
            None => return Err(self.error("write", ErrorKind::FileTooLarge.into())),
        }
        Ok(start)
    }

    /// Overwrites [reserved](Self::reserve) bytes. Threads may share the file; if they write to the same bytes, either
    /// may win.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let len = bytes.len() as u64;
        match offset.checked_add(len) {
            Some(end) if end <= self.written => {}
            _ => {
                return Err(FileError::BeyondEnd { path: self.target.clone(), offset, len, size: self.written });
            }
        }
        system::write_all_at(&self.file, bytes, offset).map_err(|e| self.error("write", e))
    }

    /// Whether the range has the same offset within a page as its copy would have: then the kernel copies it fastest.
    pub fn falls_together_with(&self, range: &Range) -> bool {
        self.position() % PAGE == range.offset() % PAGE
    }

    /// Appends the bytes of a range. If the page offsets agree, the kernel copies if it can, which shares disk blocks
    /// if the file system does; otherwise the bytes go through a buffer of 1 MiB, which takes two thirds of the time of
    /// the kernel for unaligned pages. Holes of a sparse file stay holes.
    pub fn copy_from(&mut self, range: &Range) -> Result<(), FileError> {
        // Small pieces are buffered: writing each by itself takes two to four times as long.
        if range.len() < BLOCK as u64 {
            return self.copy_through_buffer(range, 0);
        }
        let mut copied = 0;
        for data in system::data(range.source().file(), range.offset(), range.len()) {
            self.reserve(data.start - range.offset() - copied)?;
            self.copy_data(&range.slice(data.start - range.offset(), data.end - data.start)?)?;
            copied = data.end - range.offset();
        }
        self.reserve(range.len() - copied)?;
        Ok(())
    }

    /// Appends the bytes of a range without holes.
    fn copy_data(&mut self, range: &Range) -> Result<(), FileError> {
        let mut done = 0;
        if self.falls_together_with(range) {
            self.write_buffer()?;
            let source = range.source().file();
            done = system::copy_range(source, range.offset(), &self.file, self.written, range.len());
            self.written += done;
        }
        self.copy_through_buffer(range, done)
    }

    /// Appends the bytes of the range from `done` on.
    fn copy_through_buffer(&mut self, range: &Range, mut done: u64) -> Result<(), FileError> {
        while done < range.len() {
            let room = self.room();
            if room == 0 {
                self.write_buffer()?;
                continue;
            }
            let len = usize::try_from(range.len() - done).map_or(room, |left| left.min(room));
            let start = self.buffer.len();
            self.buffer.resize(start + len, 0);
            if let Err(error) = range.read(done, &mut self.buffer[start..]) {
                self.buffer.truncate(start);
                return Err(error);
            }
            done += len as u64;
        }
        Ok(())
    }

    /// Completes the file and replaces the destination. Of several files that belong together, commit the one that
    /// names the others last.
    pub fn commit(mut self) -> Result<(), FileError> {
        self.write_buffer()?;
        // Bytes reserved at the end do not exist before this.
        self.file.set_len(self.written).map_err(|e| self.error("write", e))?;
        let named = match self.named.take() {
            Some(named) => named,
            None => Unfinished::name(&self.file, &self.target).map_err(|e| self.error("write", e))?,
        };
        named.rename(&self.target).map_err(|e| self.error("replace", e))
    }

    /// Returns the number of bytes to buffer until the file ends at a block boundary: file systems write whole blocks
    /// faster.
    fn room(&self) -> usize {
        let begun = usize::try_from(self.written % BLOCK as u64).unwrap_or(0);
        (BLOCK - begun).saturating_sub(self.buffer.len())
    }

    fn write_buffer(&mut self) -> Result<(), FileError> {
        system::write_all_at(&self.file, &self.buffer, self.written).map_err(|e| self.error("write", e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> FileError {
        FileError::io(action, &self.target, source)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.write_buffer()?)
    }
}

/// Returns the file to write, with links resolved, and its permissions if it exists.
fn resolve(destination: &Path) -> Result<(PathBuf, Option<Permissions>), FileError> {
    let failed = |e| FileError::io("write", destination, e);
    let refuse = |found| Err(FileError::NotRegular { path: destination.to_owned(), found });
    match fs::metadata(destination) {
        Ok(metadata) if !metadata.is_file() => refuse(system::kind(metadata.file_type())),
        Ok(metadata) if metadata.permissions().readonly() => Err(failed(ErrorKind::PermissionDenied.into())),
        Ok(metadata) => Ok((destination.canonicalize().map_err(failed)?, Some(metadata.permissions()))),
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(e)),
        Err(_) if destination.is_symlink() => refuse("a dangling link"),
        Err(_) if destination.to_string_lossy().ends_with(is_separator) => refuse("a folder name"),
        Err(e) => {
            let name = destination.file_name().ok_or_else(|| failed(e))?;
            let folder = match destination.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let folder = folder.canonicalize().map_err(|e| FileError::io("open the folder", folder, e))?;
            Ok((folder.join(name), None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    /// The kernel may stop anywhere; the buffer continues from there.
    #[test]
    fn the_buffer_continues_where_the_kernel_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * BLOCK + 3).collect();
        fs::write(dir.path().join("in"), &bytes).unwrap();
        let range = Source::open(dir.path().join("in")).unwrap().range(1, 2 * BLOCK as u64 + 1).unwrap();
        for done in [0, 1, BLOCK, 2 * BLOCK, 2 * BLOCK + 1] {
            let mut file = AtomicFile::create(dir.path().join("out")).unwrap();
            file.copy_through_buffer(&range, done as u64).unwrap();
            file.commit().unwrap();
            assert!(fs::read(dir.path().join("out")).unwrap() == bytes[1 + done..2 * BLOCK + 2], "{done}");
        }
    }
}
