use crate::{FileError, Source, map};
use bytes::Bytes;
use std::hash::{Hash, Hasher};
use std::{fmt, io};

/// A piece of a file, checked to lie within it; not read until asked for.
///
/// Two ranges are equal if they are the same bytes of the same file. Ranges keep their file open.
#[derive(Clone)]
pub struct Range {
    source: Source,
    offset: u64,
    len: u64,
}

impl Range {
    /// `offset + len` must lie within the source.
    pub(crate) fn new(source: Source, offset: u64, len: u64) -> Self {
        Self { source, offset, len }
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The first byte, counted from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buf` with the bytes from `at` on, counted from the start of the range.
    pub fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.source.read_at(self.place(at, buf.len() as u64)?, buf)
    }

    /// Its bytes in memory, as those of [`Source::map`]; the map lasts as long as the bytes, and is its own each time.
    pub fn map(&self) -> Result<Bytes, FileError> {
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::FileTooLarge.into());
        len.and_then(|len| map::map(self.source.file(), self.offset, len))
            .map_err(|error| FileError::io("map", self.source.path(), error))
    }

    /// The `len` bytes from `at` on, counted from the start of this range.
    pub fn slice(&self, at: u64, len: u64) -> Result<Self, FileError> {
        Ok(Self { source: self.source.clone(), offset: self.place(at, len)?, len })
    }

    /// Where in the file `len` bytes from `at` on begin, if all of them lie in this range.
    fn place(&self, at: u64, len: u64) -> Result<u64, FileError> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.offset + at),
            _ => Err(FileError::BeyondEnd {
                path: self.source.path().to_owned(),
                offset: self.offset.saturating_add(at),
                len,
                size: self.offset + self.len,
            }),
        }
    }

    fn key(&self) -> (&crate::Identity, u64, u64) {
        (self.source.identity(), self.offset, self.len)
    }
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Range {}

impl Hash for Range {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({:?}, {} bytes from {})", self.source.path(), self.len, self.offset)
    }
}
