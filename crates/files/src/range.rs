//! Ranges of files.

use crate::{FileError, Source, map};
use bytes::Bytes;
use std::hash::{Hash, Hasher};
use std::{fmt, io};

/// A piece of a file, checked to be within it; read only on request.
///
/// Two ranges are equal if they are the same bytes of the same file. A range keeps its file open.
#[derive(Clone)]
pub struct Range {
    source: Source,
    offset: u64,
    len: u64,
}

impl Range {
    /// `offset + len` must be within the source.
    pub(crate) fn new(source: Source, offset: u64, len: u64) -> Self {
        Self { source, offset, len }
    }

    /// Returns the file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the offset of the first byte in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the range is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buf` with the bytes from `at` on, counted from the start of the range.
    pub fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.source.read_at(self.place(at, buf.len() as u64)?, buf)
    }

    /// Maps the bytes into memory, as [`Source::map`] does; each call creates a new map, which lasts as long as the
    /// bytes.
    pub fn map(&self) -> Result<Bytes, FileError> {
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::FileTooLarge.into());
        len.and_then(|len| map::map(self.source.file(), self.offset, len))
            .map_err(|error| FileError::io("map", self.source.path(), error))
    }

    /// Returns the `len` bytes from `at` on, counted from the start of this range.
    pub fn slice(&self, at: u64, len: u64) -> Result<Self, FileError> {
        Ok(Self { source: self.source.clone(), offset: self.place(at, len)?, len })
    }

    /// Returns the offset in the file of `len` bytes from `at` on, if all are within this range.
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
