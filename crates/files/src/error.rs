use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be opened, read or written.
///
/// Names are quoted and escaped in the messages: many come out of untrusted files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Nothing has this name.
    #[error("{path:?} does not exist")]
    NotFound {
        /// The missing file or folder.
        path: PathBuf,
    },

    /// The name stands for something that is not a regular file.
    #[error("{path:?} is {found}, and a regular file is needed")]
    NotRegular {
        /// The file named.
        path: PathBuf,
        /// What stands there: "a folder", "a pipe", …
        found: &'static str,
    },

    /// A model named a file that does not lie in its folder, or lies there only by way of a symbolic link.
    #[error("location {location:?} leads out of the model's folder {folder:?}: {reason}")]
    Escapes {
        /// The location as the model gives it.
        location: String,
        /// The folder it is relative to.
        folder: PathBuf,
        /// How it escapes, and the way out if there is one.
        reason: &'static str,
    },

    /// A model named a file that has other names too, so that it may be someone else's.
    #[error("{path:?} has {links} hard links; if the model may read it, name its folder as the data folder")]
    HardLinked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },

    /// A file that a model is to name does not lie in the model's folder.
    #[error("{path:?} does not lie in the folder {folder:?}, so that a model there cannot name it")]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The folder of the model.
        folder: PathBuf,
    },

    /// A model named a file by the empty string.
    #[error("the location of external data is empty")]
    EmptyLocation,

    /// A file name holds a NUL character, which no file system can store.
    #[error("the file name {name:?} holds a NUL character")]
    NulInName {
        /// The name.
        name: String,
    },

    /// A piece of a file was asked for that the file does not have.
    #[error("{len} bytes from byte {offset} on lie beyond the end of {path:?} ({size} bytes)")]
    BeyondEnd {
        /// The file.
        path: PathBuf,
        /// The first byte asked for, counted from the start of the file.
        offset: u64,
        /// The number of bytes asked for.
        len: u64,
        /// The size of the file in bytes.
        size: u64,
    },

    /// A file that is to be read into memory is larger than it may be.
    #[error("{path:?} has {size} bytes, and at most {limit} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size accepted.
        limit: u64,
    },

    /// A text file is not UTF-8.
    #[error("{path:?} is not text in UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },

    /// The operating system refused.
    #[error("could not {action} {path:?}")]
    Io {
        /// What was being done: "read", "write", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FileError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            _ => Self::Io { action, path, source },
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match &error {
            FileError::NotFound { .. } => io::ErrorKind::NotFound,
            FileError::Io { source, .. } => source.kind(),
            FileError::BeyondEnd { .. } => io::ErrorKind::UnexpectedEof,
            FileError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
