//! Images of files in memory, read in parts.

use crate::{FileError, Source};
use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};
use std::io;
use std::ops::Range;

/// The minimum and maximum number of bytes read ahead.
const WINDOW: (usize, usize) = (1 << 12, 1 << 20);

/// A file in memory of which only the requested parts are read; the other bytes are zeros and take no memory.
///
/// A map of the file would do if touching a byte made one page resident. But it makes a whole large folio of the page
/// cache resident: the few kilobytes between a model's weights would take as much memory as the weights.
#[derive(Debug)]
pub struct Image {
    source: Source,
    len: usize,
    bytes: MmapMut,
    /// The part read last.
    part: Range<usize>,
    window: usize,
}

impl Image {
    pub(crate) fn new(source: Source) -> Result<Self, FileError> {
        let fail = |error| FileError::io("allocate memory for", source.path(), error);
        let len = usize::try_from(source.len()).map_err(|_| fail(io::ErrorKind::FileTooLarge.into()))?;
        // A map has at least one byte.
        let bytes = MmapOptions::new().len(len.max(1)).no_reserve_swap().map_anon().map_err(fail)?;
        // Not every system takes the advice, and the result is the same without.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::NoHugePage);
        Ok(Self { source, len, bytes, part: 0..0, window: WINDOW.0 })
    }

    /// Returns the size of the file in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no caller treats an empty file specially")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes of the file from `from` to `to`, reading ahead; fastest from start to end.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter.
    pub fn read(&mut self, from: usize, to: usize) -> Result<&[u8], FileError> {
        if to > self.len || from > to {
            let (offset, len) = (from as u64, to.saturating_sub(from) as u64);
            let path = self.source.path().to_owned();
            return Err(FileError::BeyondEnd { path, offset, len, size: self.source.len() });
        }
        let goes_on = (self.part.start..=self.part.end).contains(&from);
        if !goes_on || to > self.part.end {
            let start = if goes_on { self.part.end } else { from };
            self.window = if goes_on { (2 * self.window).min(WINDOW.1) } else { WINDOW.0 };
            let end = start.saturating_add(self.window).max(to).min(self.len);
            self.source.read_at(start as u64, &mut self.bytes[start..end])?;
            self.part = if goes_on { self.part.start..end } else { start..end };
        }
        Ok(&self.bytes[from..to])
    }

    /// Returns all bytes, with zeros for those that were not read.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.bytes).slice(..self.len)
    }
}
