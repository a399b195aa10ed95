//! Files opened for reading, and their identity.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{FileError, Image, Range, map, system};

/// A regular file opened for reading; clones share it.
///
/// The size is taken when the file is opened. If another process shortens the file later, reading it gives an error,
/// and reading the lost part through [`map`](Self::map) stops the process.
#[derive(Clone)]
pub struct Source(Arc<Opened>);

struct Opened {
    path: PathBuf,
    file: File,
    len: u64,
    identity: Identity,
    map: OnceLock<Bytes>,
}

/// The identity of a file, whatever its name: two paths to one file have equal identities.
///
/// It is valid only while the file exists or is open; systems reuse it later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(system::Identity);

impl Identity {
    /// Returns the identity of the file that `path` leads to, following links.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|e| FileError::io("open", path, e))?;
        Self::new(path, &metadata)
    }

    fn new(path: &Path, metadata: &std::fs::Metadata) -> Result<Self, FileError> {
        system::identity(path, metadata).map(Self).map_err(|e| FileError::io("identify", path, e))
    }
}

impl Source {
    /// Opens a file that the *user* named; it may be a symbolic link. For a file that a model names use
    /// [`Folder::open`](crate::Folder::open).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(FileError::NulInName { name: path.to_string_lossy().into_owned() });
        }
        let file = system::open(path).map_err(|e| FileError::io("open", path, e))?;
        Self::from_file(path.to_owned(), file)
    }

    pub(crate) fn from_file(path: PathBuf, file: File) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(|e| FileError::io("open", &path, e))?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular { found: system::kind(metadata.file_type()), path });
        }
        let identity = Identity::new(&path, &metadata)?;
        Ok(Self(Arc::new(Opened { path, file, len: metadata.len(), identity, map: OnceLock::new() })))
    }

    /// Returns the path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns the size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no caller treats an empty file specially")]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Returns the identity of the file.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Returns the number of hard links.
    pub(crate) fn links(&self) -> Result<u64, FileError> {
        let metadata = self.file().metadata().map_err(|e| FileError::io("open", self.path(), e))?;
        Ok(system::links(&metadata))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0.file
    }

    /// Fills `buf` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.check(offset, buf.len() as u64)?;
        system::read_exact_at(self.file(), buf, offset).map_err(|e| FileError::io("read", self.path(), e))
    }

    /// Returns the `len` bytes from `offset` on.
    pub fn range(&self, offset: u64, len: u64) -> Result<Range, FileError> {
        self.check(offset, len)?;
        Ok(Range::new(self.clone(), offset, len))
    }

    /// Returns all bytes of the file.
    pub fn whole(&self) -> Range {
        Range::new(self.clone(), 0, self.len())
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), FileError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(FileError::BeyondEnd { path: self.path().to_owned(), offset, len, size: self.len() }),
        }
    }

    /// Maps the whole file into memory; the system reads pages when they are touched. The map is created once and
    /// shared by later calls, and lasts as long as this source or any of the bytes.
    pub fn map(&self) -> Result<Bytes, FileError> {
        if let Some(map) = self.0.map.get() {
            return Ok(map.clone());
        }
        let map = usize::try_from(self.len())
            .map_err(|_| io::ErrorKind::FileTooLarge.into())
            .and_then(|len| map::map(self.file(), 0, len))
            .map_err(|e| FileError::io("map", self.path(), e))?;
        Ok(self.0.map.get_or_init(|| map).clone())
    }

    /// Returns an image of the file in memory, into which parts of it can be read.
    pub fn image(&self) -> Result<Image, FileError> {
        Image::new(self.clone())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.path(), self.len())
    }
}

/// Reads a small file that the user named, of at most `limit` bytes.
pub fn read_bytes(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let source = Source::open(path)?;
    let size = source.len();
    let too_large = || FileError::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| too_large())?];
    source.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// The largest configuration that is read, in bytes.
const MAX_CONFIGURATION: u64 = 64 << 20;

/// Reads the text of a JSON configuration that the user named, of at most 64 MiB, with
/// [`quoted`](quote_numbers) numbers of Python.
pub fn read_json(path: impl AsRef<Path>) -> Result<String, FileError> {
    let text = read_text(path, MAX_CONFIGURATION)?;
    Ok(match quote_numbers(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(quoted) => quoted,
    })
}

/// Returns a JSON text in which `NaN`, `Infinity` and `-Infinity`, which Python writes and JSON does not have, are
/// strings, so that they are not read as numbers.
///
/// ```
/// assert_eq!(netwright_files::quote_numbers(r#"[NaN, "NaN"]"#), r#"["NaN", "NaN"]"#);
/// ```
pub fn quote_numbers(text: &str) -> Cow<'_, str> {
    const NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    if !NUMBERS.iter().any(|number| text.contains(number)) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::new();
    let (mut in_string, mut rest) = (false, text);
    while let Some(next) = rest.chars().next() {
        let number = NUMBERS.iter().find(|number| !in_string && rest.starts_with(**number));
        let length = match (number, next) {
            (Some(number), _) => {
                quoted.extend(["\"", number, "\""]);
                rest = &rest[number.len()..];
                continue;
            }
            // The escaped character does not end the string.
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => next.len_utf8(),
        };
        in_string ^= next == '"';
        quoted.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(quoted)
}

/// Returns the message of an error in a text that [`read_json`] returned, and the column. Both are without the column if a
/// quoted number of Python may shift the columns of the line.
///
/// ```
/// let message = |text| netwright_files::json_error(text, "expected value at line 1 column 12", 1, 12);
/// assert_eq!(message(r#"{"a": 1, "b"}"#), ("expected value at line 1 column 12".to_owned(), Some(12)));
/// assert_eq!(message(r#"{"a": "NaN", }"#), ("expected value at line 1".to_owned(), None));
/// ```
pub fn json_error(text: &str, message: &str, line: usize, column: usize) -> (String, Option<usize>) {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if ["NaN\"", "Infinity\""].iter().any(|number| line.contains(number)) {
        (message.trim_end_matches(&format!(" column {column}")).to_owned(), None)
    } else {
        (message.to_owned(), Some(column))
    }
}

/// Reads a small UTF-8 text file that the user named, of at most `limit` bytes.
pub fn read_text(path: impl AsRef<Path>, limit: u64) -> Result<String, FileError> {
    let path = path.as_ref();
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}
