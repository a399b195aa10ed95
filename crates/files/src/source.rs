use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{FileError, Image, Range, map, system};

/// A regular file opened for reading; clones share it.
///
/// The size is that of the moment of opening. A file that another process shortens later gives an error when it is
/// read, and stops the process when its lost part is read through [`map`](Self::map).
#[derive(Clone)]
pub struct Source(Arc<Opened>);

struct Opened {
    path: PathBuf,
    file: File,
    len: u64,
    identity: Identity,
    map: OnceLock<Bytes>,
}

/// Which file it is, whatever its name: two paths to one file have equal identities.
///
/// It means something only while the file exists or is open; systems reuse it later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(system::Identity);

impl Identity {
    /// The identity of the file that `path` leads to, through links.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|e| FileError::io("open", path, e))?;
        Self::new(path, &metadata)
    }

    fn new(path: &Path, metadata: &std::fs::Metadata) -> Result<Self, FileError> {
        system::identity(path, metadata).map(Self).map_err(|e| FileError::io("identify", path, e))
    }
}

impl Source {
    /// Opens a file that the *user* named; it may be a symbolic link. What a model names is for
    /// [`Folder::open`](crate::Folder::open).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(FileError::NulInName { name: path.to_string_lossy().into_owned() });
        }
        let file = system::open(path).map_err(|e| FileError::io("open", path, e))?;
        Self::from_file(path.to_owned(), file)
    }

    pub(crate) fn from_file(path: PathBuf, file: File) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(|e| FileError::io("open", &path, e))?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular { found: system::kind(metadata.file_type()), path });
        }
        let identity = Identity::new(&path, &metadata)?;
        Ok(Self(Arc::new(Opened { path, file, len: metadata.len(), identity, map: OnceLock::new() })))
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty file is no case of its own for any caller")]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Which file it is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// How many names the file has.
    pub(crate) fn links(&self) -> Result<u64, FileError> {
        let metadata = self.file().metadata().map_err(|e| FileError::io("open", self.path(), e))?;
        Ok(system::links(&metadata))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0.file
    }

    /// Fills `buf` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.check(offset, buf.len() as u64)?;
        system::read_exact_at(self.file(), buf, offset).map_err(|e| FileError::io("read", self.path(), e))
    }

    /// The `len` bytes from `offset` on.
    pub fn range(&self, offset: u64, len: u64) -> Result<Range, FileError> {
        self.check(offset, len)?;
        Ok(Range::new(self.clone(), offset, len))
    }

    /// All bytes of the file.
    pub fn whole(&self) -> Range {
        Range::new(self.clone(), 0, self.len())
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), FileError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(FileError::BeyondEnd { path: self.path().to_owned(), offset, len, size: self.len() }),
        }
    }

    /// The whole file as bytes in memory that the system reads in when they are touched. Mapped once; later calls
    /// share the map, and it lasts as long as this source or any of the bytes.
    pub fn map(&self) -> Result<Bytes, FileError> {
        if let Some(map) = self.0.map.get() {
            return Ok(map.clone());
        }
        let map = usize::try_from(self.len())
            .map_err(|_| io::ErrorKind::FileTooLarge.into())
            .and_then(|len| map::map(self.file(), 0, len))
            .map_err(|e| FileError::io("map", self.path(), e))?;
        Ok(self.0.map.get_or_init(|| map).clone())
    }

    /// Room for the file's bytes in memory, into which parts of it can be read.
    pub fn image(&self) -> Result<Image, FileError> {
        Image::new(self.clone())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.path(), self.len())
    }
}

/// Reads a file that the user named and that is small: of at most `limit` bytes.
pub fn read_bytes(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let source = Source::open(path)?;
    let size = source.len();
    let too_large = || FileError::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| too_large())?];
    source.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Reads a text file in UTF-8 that the user named and that is small: of at most `limit` bytes.
pub fn read_text(path: impl AsRef<Path>, limit: u64) -> Result<String, FileError> {
    let path = path.as_ref();
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}
