//! The one module with `unsafe`: memory mapping.
#![allow(unsafe_code, reason = "a mapping has no safe constructor; the reason stands at the call")]

use std::fs::File;
use std::io;

use bytes::Bytes;

/// Maps `len` bytes of a file from `offset` on for reading. No bytes need no map, which the system would refuse.
pub(crate) fn map(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the pages are mapped for reading only and belong to the `Bytes` that owns the map. Netwright never
    // writes to or shortens a file in place (`AtomicFile` renames a new one over it), so the bytes are stable unless
    // another process changes this very file meanwhile. Then a reader may see the change, and a read beyond a
    // shortened end stops the process (SIGBUS); neither can be ruled out for any map of a file, and the alternative,
    // reading models of many gigabytes into memory, is what mapping is there to avoid.
    let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}
