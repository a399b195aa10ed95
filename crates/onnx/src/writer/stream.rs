//! Writing the pieces of a file: copied, or computed by several threads in reserved space.

use super::frame::{Frame, Piece};
use super::{Progress, WriteError};
use netwright_files::{AtomicFile, Range};
use netwright_ir::{Data, Tensor, TensorError};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The number of bytes computed and written at a time, while they are in the cache of one core: a multiple of every
/// element size.
const PART: usize = 1 << 19;

/// Tensors below this size are computed directly: they are not worth a thread.
const SMALL: u64 = 1 << 16;

/// File tensors from this size on are copied by several threads, unless the kernel copies them.
const LARGE: u64 = 8 << 20;

/// The number of bytes that are copied from a file at a time; the progress is counted after each copy.
const COUNTED: u64 = 32 << 20;

/// The maximum number of threads: more would wait for the disk, and each holds a block and what its recipe reads.
const MAX_THREADS: usize = 4;

/// Bytes of the file that a recipe fills.
struct Block<'a> {
    tensor: &'a Tensor,
    /// The first element.
    first: u64,
    /// The offset in the file.
    offset: u64,
    len: usize,
    /// The place in the order in which blocks are computed.
    turn: usize,
}

/// Appends the pieces to a file, and counts their bytes.
pub(super) fn write(file: &mut AtomicFile, frame: &Frame, progress: &Progress) -> Result<(), WriteError> {
    let mut blocks = vec![];
    for piece in frame.pieces() {
        match piece {
            Piece::Bytes(bytes) => file.append(bytes)?,
            Piece::Padding(len) => {
                file.reserve(*len)?;
            }
            Piece::Elements(tensor) => match tensor.data() {
                Data::File(range) if tensor.len() < LARGE || file.falls_together_with(range) => {
                    copy(file, range, progress)?;
                    continue;
                }
                Data::File(_) | Data::Recipe(_) if tensor.len() >= SMALL || tensor.follows_codes() => {
                    let start = file.reserve(tensor.len())?;
                    // Scales and zero points wait until no thread computes their codes anymore, so as not to compute them twice.
                    let turn = blocks.len() + if tensor.follows_codes() { MAX_THREADS } else { 0 };
                    blocks.extend(blocks_of(tensor, start, turn));
                    continue;
                }
                _ => file.append(&tensor.to_bytes().map_err(|source| failed(tensor, source))?)?,
            },
        }
        progress.add(piece.len());
    }
    blocks.sort_by_key(|block| block.turn);
    fill(file, &blocks, progress)
}

fn copy(file: &mut AtomicFile, range: &Range, progress: &Progress) -> Result<(), WriteError> {
    let mut done = 0;
    while done < range.len() {
        let part = range.slice(done, COUNTED.min(range.len() - done))?;
        file.copy_from(&part)?;
        progress.add(part.len());
        done += part.len();
    }
    Ok(())
}

/// Computes the blocks in order, so that the file is written from front to back.
fn fill(file: &AtomicFile, blocks: &[Block<'_>], progress: &Progress) -> Result<(), WriteError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![];
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = make(file, block, &mut buffer, progress) {
                // On an error the remaining blocks are skipped.
                next.store(blocks.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS).min(blocks.len());
    thread::scope(|scope| {
        // If the system has no more threads, the existing ones do the work.
        let others = (0..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok());
        let others: Vec<_> = others.collect();
        let own = if others.is_empty() { work() } else { Ok(()) };
        let others = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        others.fold(own, Result::and)
    })
}

fn make(file: &AtomicFile, block: &Block<'_>, buffer: &mut Vec<u8>, progress: &Progress) -> Result<(), WriteError> {
    for done in (0..block.len).step_by(PART) {
        buffer.resize(PART.min(block.len - done), 0);
        let first = block.first + done as u64 * 8 / u64::from(block.tensor.element().bits()).max(1);
        block.tensor.read(first, buffer).map_err(|source| failed(block.tensor, source))?;
        // Reserved bytes are zero: a hole of a sparse file stays one.
        if buffer.iter().any(|&byte| byte != 0) {
            file.write_at(block.offset + done as u64, buffer)?;
        }
        progress.add(buffer.len() as u64);
    }
    Ok(())
}

fn blocks_of(tensor: &Tensor, start: u64, turn: usize) -> impl Iterator<Item = Block<'_>> {
    let block = tensor.block();
    let elements = block * 8 / u64::from(tensor.element().bits()).max(1);
    (0..tensor.len().div_ceil(block)).zip(turn..).map(move |(at, turn)| {
        let done = at * block;
        let len = usize::try_from((tensor.len() - done).min(block)).unwrap_or(usize::MAX);
        Block { tensor, first: at * elements, offset: start + done, len, turn }
    })
}

/// Returns all bytes, in memory.
pub(super) fn to_bytes(frame: &Frame) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    for piece in frame.pieces() {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Elements(tensor) => {
                out.extend_from_slice(&tensor.to_bytes().map_err(|source| failed(tensor, source))?);
            }
            Piece::Padding(len) => out.resize(out.len() + usize::try_from(*len).unwrap_or(usize::MAX), 0),
        }
    }
    Ok(out)
}

fn failed(tensor: &Tensor, source: TensorError) -> WriteError {
    WriteError::Elements { tensor: tensor.ty().to_string(), source }
}
