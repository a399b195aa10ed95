//! Counts the bytes that the writer has written, for another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of bytes that [`write()`](super::write()) has written, and the total. Clones share the counts, so another
/// thread can show them.
///
/// ```
/// use netwright_onnx::{Progress, WriteOptions, write};
/// # let text = "g(%x: f32[n]) {\n%y = exp %x : f32[n]\nreturn %y\n}";
/// # let model = netwright_ir::Model::new(netwright_ir::parse(text)?);
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.onnx");
/// let progress = Progress::default();
/// let written = write(&model, &path, &WriteOptions::default().with_progress(progress.clone()))?;
/// assert_eq!((progress.written(), progress.total()), (written.bytes, written.bytes));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Returns the number of bytes that have been written.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Returns the total number of bytes to write; 0 before writing starts.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    pub(super) fn start(&self, total: u64) {
        self.0.written.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Two are equal if they share their counts.
impl PartialEq for Progress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Progress {}
