//! Memory mapping: the only module with `unsafe`.
#![allow(unsafe_code, reason = "a mapping has no safe constructor; see the comment at the call")]

use std::fs::File;
use std::io;

use bytes::Bytes;

/// Maps `len` bytes of a file from `offset` on for reading. The system refuses an empty map, so zero bytes are not
/// mapped.
pub(crate) fn map(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the pages are mapped for reading only and belong to the `Bytes` that owns the map. Netwright never writes
    // to or shortens a file in place (`AtomicFile` renames a new one over it), so the bytes are stable unless another
    // process changes the file meanwhile. Then a reader may see the change, and a read beyond a shortened end stops the
    // process (SIGBUS). No map of a file can rule this out, and the alternative is to read models of many gigabytes
    // into memory.
    let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}
