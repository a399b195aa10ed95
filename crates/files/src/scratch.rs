//! Folders for files that only this process reads.

use std::fs::{self, File};
use std::path::Path;

use crate::FileError;
use crate::unfinished::{self, Unfinished};

/// A folder for files that only this process reads: it is removed on drop, and by
/// [`remove_unfinished`](crate::remove_unfinished).
///
/// Its name is `.netwright.PROCESS.NUMBER.tmp`. The next scratch folder or file that is created beside it removes those
/// of dead processes.
#[derive(Debug)]
pub struct ScratchFolder {
    name: Unfinished,
    /// Open and locked while the process lives, where the system locks folders.
    _lock: Option<File>,
}

impl ScratchFolder {
    /// Creates an empty folder in an existing one.
    pub fn create_in(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = folder.as_ref();
        let target = folder.join("scratch");
        unfinished::sweep(&target);
        let (lock, name) = Unfinished::with_free_name(&target, |name| {
            fs::create_dir(name)?;
            Ok(File::open(name).ok().filter(|folder| folder.try_lock().is_ok()))
        })
        .map_err(|e| FileError::io("create a folder in", folder, e))?;
        Ok(Self { name, _lock: lock })
    }

    /// Creates an empty folder in the system's folder for temporary files.
    pub fn create() -> Result<Self, FileError> {
        Self::create_in(std::env::temp_dir())
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// Keeps the folder under another name in the same folder.
    ///
    /// # Errors
    /// If something else has that name, such as what another process kept. This folder is removed then.
    pub fn keep_as(self, target: impl AsRef<Path>) -> Result<(), FileError> {
        let target = target.as_ref();
        self.name.rename(target).map_err(|e| FileError::io("create the folder", target, e))
    }
}
