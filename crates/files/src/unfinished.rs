//! Named temporary files and folders, and their removal if they are never committed.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File, Permissions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::system;

/// The names of this process's temporary files and folders.
static NAMES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn names() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of all [`AtomicFile`](crate::AtomicFile)s of this process that are not committed yet,
/// and all its [`ScratchFolder`](crate::ScratchFolder)s.
///
/// It is for programs that end without dropping them, as on a signal; no file can be committed afterwards.
pub fn remove_unfinished() {
    for name in std::mem::take(&mut *names()) {
        remove(&name);
    }
}

/// Removes a file, or a folder with its files. There is no caller left to report an error to, and another process may
/// have been faster.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// The name of a temporary file or folder, removed on drop.
#[derive(Debug)]
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates a file in the folder of `target`.
    pub(crate) fn create(target: &Path, permissions: Option<&Permissions>) -> io::Result<(File, Self)> {
        let (file, name) = Self::with_free_name(target, |name| system::create_new(name, permissions))?;
        // The lock shows other processes that this one is alive; without file locks they must go by its process number.
        let _ = file.try_lock();
        Ok((file, name))
    }

    /// Gives an unnamed file a name in the folder of `target`.
    pub(crate) fn name(file: &File, target: &Path) -> io::Result<Self> {
        let _ = file.try_lock();
        Ok(Self::with_free_name(target, |name| system::link(file, name))?.1)
    }

    /// Returns the name.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The names are short, so that a long target name does not make them too long, and contain the process number.
    pub(crate) fn with_free_name<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, Self)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = target.with_file_name(format!("{PREFIX}{}.{number}{SUFFIX}", process::id()));
            // Before the file exists, so that a signal in between does not leave it.
            names().insert(name.clone());
            match make(&name) {
                Ok(made) => return Ok((made, Self(name))),
                Err(error) => {
                    names().remove(&name);
                    // Left by a killed process with this number: take the next name.
                    if error.kind() != ErrorKind::AlreadyExists {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Renames the file over `target`, or the folder to `target`.
    pub(crate) fn rename(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)
        // On drop there is nothing to remove.
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        names().remove(&self.0);
        // The destination is untouched either way.
        remove(&self.0);
    }
}

const PREFIX: &str = ".netwright.";
const SUFFIX: &str = ".tmp";

/// Removes what dead processes left in the folder of `target`: temporary files and folders whose process is not alive,
/// which are not locked, and which have not changed for ten minutes.
pub(crate) fn sweep(target: &Path) {
    let Some(entries) = target.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        let is_left = owner.is_some_and(|owner| owner != process::id() && !system::is_alive(owner));
        if is_left && is_old(&entry) && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            remove(&entry.path());
        }
    }
}

/// Whether it is a regular file or a folder that has not changed for ten minutes: if a process cannot be seen, as in
/// another container, and files cannot be locked, only that distinguishes a live process from a dead one.
fn is_old(entry: &DirEntry) -> bool {
    let Ok(metadata) = entry.metadata() else { return false };
    let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
    (metadata.is_file() || metadata.is_dir()) && age.is_some_and(|age| age > Duration::from_mins(10))
}

/// Returns the process number in a temporary file's name.
fn owner(name: &str) -> Option<u32> {
    let (process, number) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('.')?;
    number.parse::<u64>().ok()?;
    process.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AtomicFile;
    use std::time::SystemTime;

    /// Files of dead processes are removed; those of live ones, locked files and other files stay.
    #[test]
    fn files_of_dead_processes_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        // Above the largest process number of Linux.
        let dead = 1 << 30;
        let file = |name: String| {
            let file = File::create_new(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
            file
        };
        File::create_new(dir.path().join(format!(".netwright.{dead}.2.tmp"))).unwrap();
        file(format!(".netwright.{dead}.0.tmp"));
        file(format!(".netwright.{}.0.tmp", std::os::unix::process::parent_id()));
        file(format!(".netwright.{dead}.tmp"));
        file(format!(".netwright.{dead}.0.tmp.onnx"));
        let held = file(format!(".netwright.{dead}.1.tmp"));
        held.try_lock().unwrap();
        drop(AtomicFile::create(dir.path().join("model.onnx")).unwrap());
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut expected = [
            format!(".netwright.{dead}.1.tmp"),
            format!(".netwright.{dead}.2.tmp"),
            format!(".netwright.{dead}.0.tmp.onnx"),
            format!(".netwright.{dead}.tmp"),
            format!(".netwright.{}.0.tmp", std::os::unix::process::parent_id()),
        ];
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_signal_leaves_no_named_file() {
        let dir = tempfile::tempdir().unwrap();
        let (_file, name) = Unfinished::create(&dir.path().join("model.onnx"), None).unwrap();
        assert!(name.0.exists());
        remove_unfinished();
        assert!(!name.0.exists());
    }
}
