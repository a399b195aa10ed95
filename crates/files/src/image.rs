use crate::{FileError, Source};
use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};
use std::io;
use std::ops::Range;

/// The smallest and the largest number of bytes that are read ahead.
const WINDOW: (usize, usize) = (1 << 12, 1 << 20);

/// A file in memory of which only the parts that were asked for are read; the others are zeros and take no memory.
///
/// A map of the file would do if a touched byte made one page resident. It makes all of a large folio of the page
/// cache so: the few kilobytes between the weights of a model would cost as much memory as the weights.
#[derive(Debug)]
pub struct Image {
    source: Source,
    len: usize,
    bytes: MmapMut,
    /// The part that was read last.
    part: Range<usize>,
    window: usize,
}

impl Image {
    pub(crate) fn new(source: Source) -> Result<Self, FileError> {
        let fail = |error| FileError::io("make room for", source.path(), error);
        let len = usize::try_from(source.len()).map_err(|_| fail(io::ErrorKind::FileTooLarge.into()))?;
        // A map has one byte at least.
        let bytes = MmapOptions::new().len(len.max(1)).no_reserve_swap().map_anon().map_err(fail)?;
        // Not every system takes the advice, and all is as right without.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::NoHugePage);
        Ok(Self { source, len, bytes, part: 0..0, window: WINDOW.0 })
    }

    /// The size of the file in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty file is no case of its own for any caller")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes of the file from `from` up to `to`, and more is read ahead; fastest from the start to the end.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before.
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

    /// The whole of it, with zeros where nothing was read.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.bytes).slice(..self.len)
    }
}
