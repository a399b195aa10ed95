//! Folders of models: opening the files that a model names.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{FileError, Source, system};

/// The folder of a model, to which the model's file references are confined.
///
/// Opened files stay open and are shared while the folder lives: a thousand weights in one file of external data are
/// ranges of one [`Source`].
#[derive(Debug)]
pub struct Folder {
    own: Handle,
    data_dir: Option<Handle>,
    opened: Mutex<BTreeMap<String, Source>>,
}

#[derive(Debug)]
struct Handle {
    path: PathBuf,
    opened: system::Folder,
}

impl Handle {
    fn open(path: PathBuf) -> Result<Self, FileError> {
        match system::open_folder(&path) {
            Ok(opened) => Ok(Self { path, opened }),
            Err(e) => Err(FileError::io("open the folder", &path, e)),
        }
    }

    /// Opens `relative` beneath the folder; `None` if it leads through a symbolic link or outside the folder.
    fn beneath(&self, relative: &Path) -> Result<Option<File>, FileError> {
        system::open_beneath(&self.opened, relative).map_err(|e| FileError::io("open", &self.path.join(relative), e))
    }
}

impl Folder {
    /// Opens the folder that holds `model` *by its name*: if it is a link, the folder of the link.
    pub fn of(model: impl AsRef<Path>) -> Result<Self, FileError> {
        let model = model.as_ref();
        match model.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Self::at(Path::new(".")),
            Some(parent) => Self::at(parent),
            None => Err(FileError::NotRegular { path: model.to_owned(), found: "a folder" }),
        }
    }

    /// Opens the folder with this path.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        Ok(Self { own: Handle::open(path.to_owned())?, data_dir: None, opened: Mutex::default() })
    }

    /// Allows the model's locations to lead, by symbolic or hard links, to files beneath `dir`.
    ///
    /// Caches (such as Hugging Face's) store a model's files as links into a common store; `dir` is that store, and
    /// only the user can vouch for it. A location is still relative to the model's folder and never leads above it.
    pub fn with_data_dir(mut self, dir: impl AsRef<Path>) -> Result<Self, FileError> {
        let dir = dir.as_ref();
        let dir = dir.canonicalize().map_err(|e| FileError::io("open the folder", dir, e))?;
        self.data_dir = Some(Handle::open(dir)?);
        Ok(self)
    }

    /// Opens a file that the *model* named, by its location relative to this folder.
    ///
    /// It must be a regular file with one name that is beneath the folder and is reached without a symbolic link, or be
    /// beneath the [data folder](Self::with_data_dir). Nothing else is opened: a pipe does not block.
    pub fn open(&self, location: &str) -> Result<Source, FileError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = opened.get(location) {
            return Ok(source.clone());
        }
        let source = self.open_unshared(location)?;
        opened.insert(location.to_owned(), source.clone());
        Ok(source)
    }

    /// Returns the location by which a model in this folder can refer to an open file: [`open`](Self::open) leads back
    /// to it.
    pub fn location_of(&self, source: &Source) -> Result<String, FileError> {
        let outside = || FileError::Elsewhere { path: source.path().to_owned(), folder: self.own.path.clone() };
        let full = |path: &Path| path.canonicalize().map_err(|e| FileError::io("open", path, e));
        let (file, folder) = (full(source.path())?, full(&self.own.path)?);
        let relative = file.strip_prefix(folder).map_err(|_| outside())?;
        let names = relative.iter().map(|name| name.to_str()).collect::<Option<Vec<_>>>();
        let location = names.ok_or_else(outside)?.join("/");
        let found = self.open(&location)?;
        if found.identity() == source.identity() { Ok(location) } else { Err(outside()) }
    }

    fn open_unshared(&self, location: &str) -> Result<Source, FileError> {
        if location.is_empty() {
            return Err(FileError::EmptyLocation);
        }
        if location.contains('\0') {
            return Err(FileError::NulInName { name: location.to_owned() });
        }
        let relative = self.without_parents(location)?;
        let path = self.own.path.join(&relative);
        match (self.open_own(location, &relative, &path), &self.data_dir) {
            (Err(FileError::Escapes { .. } | FileError::HardLinked { .. }), Some(data_dir)) => {
                self.open_data(location, &path, data_dir)
            }
            (result, _) => result,
        }
    }

    /// Returns a location without `..`, which may follow the name of a folder, but not of a link.
    fn without_parents(&self, location: &str) -> Result<PathBuf, FileError> {
        let mut relative = PathBuf::new();
        for component in Path::new(location).components() {
            match component {
                Component::Normal(name) => relative.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    let is_link = self.own.path.join(&relative).is_symlink();
                    if !relative.pop() {
                        return Err(self.escapes(location, "its `..` leads above the folder"));
                    }
                    if is_link {
                        return Err(self.escapes(location, "its `..` follows a symbolic link"));
                    }
                }
                Component::RootDir | Component::Prefix(_) => {
                    return Err(self.escapes(location, "it is absolute"));
                }
            }
        }
        if relative.as_os_str().is_empty() {
            relative.push(".");
        }
        // The name of a file does not end in a slash: the system refuses to open it.
        if location.ends_with('/') || location.ends_with("/.") {
            relative.push("");
        }
        Ok(relative)
    }

    fn open_own(&self, location: &str, relative: &Path, path: &Path) -> Result<Source, FileError> {
        let Some(file) = self.own.beneath(relative)? else {
            return Err(self.escapes(
                location,
                "it passes through a symbolic link\n  help: \
                 if the model may follow it, name the folder it leads to as the data folder (--data-dir)",
            ));
        };
        let source = Source::from_file(path.to_owned(), file)?;
        match source.links()? {
            0 | 1 => Ok(source),
            links => Err(FileError::HardLinked { path: path.to_owned(), links }),
        }
    }

    /// Follows links by name, then lets the kernel check the *result* against the data folder: a process that replaces
    /// a link in between can only reach another file of that folder.
    fn open_data(&self, location: &str, path: &Path, data_dir: &Handle) -> Result<Source, FileError> {
        let reached = path.canonicalize().map_err(|e| FileError::io("open", path, e))?;
        let outside = || self.escapes(location, "the file it leads to is not in the data folder either");
        let relative = reached.strip_prefix(&data_dir.path).map_err(|_| outside())?;
        let file = data_dir.beneath(relative)?.ok_or_else(outside)?;
        Source::from_file(path.to_owned(), file)
    }

    fn escapes(&self, location: &str, reason: &'static str) -> FileError {
        FileError::Escapes { location: location.to_owned(), folder: self.own.path.clone(), reason }
    }
}
