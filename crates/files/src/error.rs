//! The errors of file access.

use crate::Code;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be opened, read or written.
///
/// Names are quoted and escaped in the messages, as many come from untrusted files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file or folder does not exist.
    #[error("{path:?} does not exist")]
    NotFound {
        /// The missing file or folder.
        path: PathBuf,
    },

    /// The path is not a regular file.
    #[error("{path:?} is {found}, not a regular file")]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What it is: "a folder", "a pipe", …
        found: &'static str,
    },

    /// A model named a file outside its folder, or one reached through a symbolic link.
    #[error("location {location:?} leads outside the model's folder {folder:?}: {reason}")]
    Escapes {
        /// The location as the model gives it.
        location: String,
        /// The folder it is relative to.
        folder: PathBuf,
        /// How it leads outside, and how to allow that if it is possible.
        reason: &'static str,
    },

    /// A model named a file with other names (hard links), which may belong to someone else.
    #[error(
        "{path:?} has {links} hard links\n  help: if the model may read it, name its folder as the data folder (--data-dir)"
    )]
    HardLinked {
        /// The file.
        path: PathBuf,
        /// The number of hard links.
        links: u64,
    },

    /// A file that a model is to refer to is not in the model's folder.
    #[error(
        "{path:?} is not in the folder {folder:?}, so a model there cannot refer to it\n  help: write the model to the \
         folder of that file, or copy the weights"
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The folder of the model.
        folder: PathBuf,
    },

    /// A model gave an empty location.
    #[error("the location of external data is empty")]
    EmptyLocation,

    /// A file name contains a NUL character, which no file system allows.
    #[error("the file name {name:?} contains a NUL character")]
    NulInName {
        /// The name.
        name: String,
    },

    /// A requested range is not within the file.
    #[error("{len} bytes at offset {offset} extend beyond the end of {path:?} ({size} bytes)")]
    BeyondEnd {
        /// The file.
        path: PathBuf,
        /// The first requested byte, counted from the start of the file.
        offset: u64,
        /// The number of requested bytes.
        len: u64,
        /// The size of the file in bytes.
        size: u64,
    },

    /// A file to be read into memory exceeds the limit.
    #[error("{path:?} has {size} bytes, but the limit is {limit}\n  help: check that it is the right file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The maximum size.
        limit: u64,
    },

    /// A text file is not UTF-8.
    #[error("{path:?} is not UTF-8 text\n  help: check that it is the right file, or save it as UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },

    /// The operating system reported an error.
    #[error("could not {action} {path:?}")]
    Io {
        /// The action: "read", "write", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl FileError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::FileMissing,
            Self::NotRegular { .. } => Code::FileNotRegular,
            Self::Escapes { .. } => Code::FileOutside,
            Self::HardLinked { .. } => Code::FileLinked,
            Self::Elsewhere { .. } => Code::SharedElsewhere,
            Self::EmptyLocation => Code::LocationEmpty,
            Self::NulInName { .. } => Code::NameWithNul,
            Self::BeyondEnd { .. } => Code::BeyondEnd,
            Self::TooLarge { .. } => Code::FileTooLarge,
            Self::NotText { .. } => Code::FileNotText,
            Self::Io { .. } => Code::FileRefused,
        }
    }

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
