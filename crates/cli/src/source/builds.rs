//! The folder of built models, of which the least recently used are removed beyond a limit.

use crate::args::size;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, in_line};
use netwright::files::{self, Identity, ScratchFolder, entries};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The environment variable with the limit of all built models, and the limit without it.
const LIMIT: &str = "NETWRIGHT_CACHE_SIZE";
const DEFAULT_LIMIT: u64 = 20_000_000_000;

/// The file of a built model that is locked while the model is used, and whose time is that of the last use.
const USED: &str = ".used";

/// A built model, which no process removes as long as this lives.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) path: PathBuf,
    _lock: File,
}

/// Returns the limit of all built models, in bytes.
pub(super) fn limit() -> Result<u64, Failure> {
    let Some(text) = std::env::var_os(LIMIT) else { return Ok(DEFAULT_LIMIT) };
    text.to_str().and_then(|text| size(text).ok()).ok_or_else(|| {
        Misuse::Value.failure(format!(
            "{LIMIT} is {}, which is not a size\n  help: set it to a size such as 500MB, 20GB or 20GiB, or pass --no-cache",
            in_line(Path::new(&text))
        ))
    })
}

/// Returns the model under a key of the folder. If there is none, `build` fills a folder with it; then the models that were
/// not used for the longest time are removed until all have no more than `limit` bytes.
pub(super) fn find(
    folder: &Path,
    key: &str,
    limit: u64,
    output: Output,
    build: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<Built, Failure> {
    let path = folder.join(key);
    if let Some(built) = Built::open(&path)? {
        return Ok(built);
    }
    files::create_folder(folder).map_err(Failure::usage)?;
    // It appears under its name when it is complete.
    let new = ScratchFolder::create_in(folder).map_err(Failure::usage)?;
    build(new.path())?;
    let lock = used_file(new.path())?;
    ignore_unsupported(lock.lock_shared())?;
    // Windows does not rename a folder with an open file.
    let lock = if cfg!(windows) { None } else { Some(lock) };
    let built = match (new.keep_as(&path), lock) {
        (Ok(()), Some(lock)) => Built { path: path.clone(), _lock: lock },
        // Another process may have built the same model first.
        (kept, _) => match (Built::open(&path)?, kept) {
            (Some(built), _) => built,
            (None, Err(error)) => return Err(Failure::usage(error)),
            (None, Ok(())) => return Err(io::Error::from(io::ErrorKind::NotFound).into()),
        },
    };
    for failed in remove_unused(folder, limit, &path) {
        output.warn(&failed)?;
    }
    Ok(built)
}

impl Built {
    /// Returns the built model in a folder, if it exists.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let used = path.join(USED);
        while path.is_dir() {
            let lock = match used_file(path) {
                Err(_) if !path.is_dir() => return Ok(None),
                file => file?,
            };
            let opened = Identity::of(&used);
            ignore_unsupported(lock.lock_shared())?;
            // Before it was locked, the folder may have been removed, and built again.
            if matches!((opened, Identity::of(&used)), (Ok(opened), Ok(now)) if opened == now) {
                // Without the time, it counts as older than it is.
                let _ = lock.set_modified(SystemTime::now());
                return Ok(Some(Self { path: path.to_owned(), _lock: lock }));
            }
        }
        Ok(None)
    }
}

/// Opens the file of a built model that is locked.
fn used_file(model: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(model.join(USED))
}

/// A file system without locks is used without them.
fn ignore_unsupported(locked: io::Result<()>) -> io::Result<()> {
    locked.or_else(|error| if error.kind() == io::ErrorKind::Unsupported { Ok(()) } else { Err(error) })
}

/// Removes the models that were not used for the longest time until all have no more than `limit` bytes, but not `own` and
/// not those in use. Returns what could not be removed.
fn remove_unused(folder: &Path, limit: u64, own: &Path) -> Vec<String> {
    // Scratch folders are those of processes that build or remove.
    let is_model =
        |entry: &PathBuf| entry.is_dir() && !in_line(entry.file_name().map_or(entry, Path::new)).starts_with('.');
    let mut models: Vec<(SystemTime, u64, PathBuf)> =
        entries(folder).into_iter().filter(is_model).map(|model| (last_used(&model), bytes(&model), model)).collect();
    models.sort();
    let mut total = models.iter().map(|(_, bytes, _)| bytes).fold(0, |total: u64, bytes| total.saturating_add(*bytes));
    let mut failed = vec![];
    for (_, bytes, model) in models.into_iter().filter(|(_, _, model)| model != own) {
        if total <= limit {
            break;
        }
        match remove(folder, &model) {
            Ok(true) => total = total.saturating_sub(bytes),
            Ok(false) => {}
            Err(error) => failed.push(format!("{} cannot be removed: {error}", in_line(&model))),
        }
    }
    failed
}

/// Removes a model unless a process uses it; returns whether it did.
fn remove(folder: &Path, model: &Path) -> io::Result<bool> {
    let lock = match used_file(model) {
        Err(_) if !model.is_dir() => return Ok(true),
        file => file?,
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => ignore_unsupported(Err(error))?,
        Ok(()) => {}
    }
    // Nobody finds it any more while its files are removed one by one.
    let hidden = ScratchFolder::create_in(folder).map_err(io::Error::other)?;
    let lock = if cfg!(windows) { None } else { Some(lock) };
    fs::rename(model, hidden.path().join("removed"))?;
    drop(lock);
    Ok(true)
}

/// Returns the time at which a model was used, or was made.
fn last_used(model: &Path) -> SystemTime {
    let metadata = fs::metadata(model.join(USED)).or_else(|_| fs::metadata(model));
    metadata.and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Returns the size of the files of a folder and of the folders in it.
fn bytes(folder: &Path) -> u64 {
    let size = |entry: PathBuf| match fs::symlink_metadata(&entry) {
        Ok(metadata) if metadata.is_dir() => bytes(&entry),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries(folder).into_iter().map(size).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tempfile::TempDir;

    const QUIET: Output<'_> = Output { quiet: true, verbose: false, json: false, model: None };

    /// Builds or finds a model of ten bytes.
    fn get(folder: &TempDir, key: &str, limit: u64) -> Built {
        let build = |path: &Path| Ok(fs::write(path.join("model.onnx"), [0; 10])?);
        find(folder.path(), key, limit, QUIET, build).unwrap_or_else(|_| panic!("{key} is built"))
    }

    /// Makes the uses of models lie in the past, in this order.
    fn make_older(folder: &TempDir, keys: &[&str]) {
        for (at, key) in keys.iter().enumerate() {
            let hours = Duration::from_hours(u64::try_from(keys.len() - at).expect("a small number"));
            let file = used_file(&folder.path().join(key)).expect("it is opened");
            file.set_modified(SystemTime::now() - hours).expect("its time is set");
        }
    }

    fn kept(folder: &TempDir) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<String> = entries(folder.path()).iter().filter_map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_least_recently_used_are_removed() {
        let folder = TempDir::new().expect("a folder");
        for key in ["a", "b", "c"] {
            get(&folder, key, 30);
        }
        make_older(&folder, &["a", "b", "c"]);
        // It is used again.
        get(&folder, "a", 30);
        get(&folder, "d", 30);
        assert_eq!(kept(&folder), ["a", "c", "d"]);
        get(&folder, "e", 5);
        assert_eq!(kept(&folder), ["e"], "the newest stays, whatever its size");
    }

    #[test]
    fn models_in_use_stay() {
        let folder = TempDir::new().expect("a folder");
        let used = get(&folder, "a", 10);
        drop(get(&folder, "a", 10));
        get(&folder, "b", 10);
        assert_eq!(kept(&folder), ["a", "b"]);
        drop(used);
        get(&folder, "c", 10);
        assert_eq!(kept(&folder), ["c"]);
    }

    #[test]
    fn a_model_without_a_time_of_use_is_one() {
        let folder = TempDir::new().expect("a folder");
        let older = folder.path().join("older");
        fs::create_dir(&older).expect("a folder");
        fs::write(older.join("model.onnx"), [0; 10]).expect("a file");
        get(&folder, "older", 10);
        get(&folder, "a", 10);
        assert_eq!(kept(&folder), ["a"]);
    }

    #[test]
    fn a_model_that_cannot_be_built_leaves_nothing() {
        let folder = TempDir::new().expect("a folder");
        let failed = find(folder.path(), "a", 100, QUIET, |_| Err(Misuse::Path.failure("no")));
        assert!(failed.is_err() && kept(&folder).is_empty());
    }
}
