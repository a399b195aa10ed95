//! Splits texts into tokens that people read.

use netwright_files::{self as files, Code, FileError};
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer;

/// The largest `tokenizer.json` that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// A token and the part of the text that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The id.
    pub id: i64,
    /// Its text without spaces around it; the name of a token without text, such as `[CLS]`.
    pub text: String,
}

/// The tokenizer of a model, which shows what each token stands for.
///
/// ```
/// use netwright_generate::Pieces;
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let pieces = Pieces::open("examples/dates")?.encode("May 1", true)?;
/// let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
/// assert_eq!(texts, ["M", "a", "y", "␣", "1", "<eos>"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pieces {
    path: PathBuf,
    tokenizer: Tokenizer,
}

/// An error of a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PiecesError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a tokenizer, or the tokenizer refuses a text.
    #[error("{path:?}: {why}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl PiecesError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Tokenizer { .. } => Code(1011),
        }
    }
}

impl Pieces {
    /// Reads `tokenizer.json` of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or is not a tokenizer.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, PiecesError> {
        let path = folder.as_ref().join("tokenizer.json");
        let bytes = files::read_bytes(&path, LARGEST)?;
        let wrong = |error: tokenizers::Error| PiecesError::Tokenizer { path: path.clone(), why: error.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(wrong)?;
        // A file may ask for one length of all texts.
        tokenizer.with_padding(None).with_truncation(None).map_err(wrong)?;
        Ok(Self { path, tokenizer })
    }

    /// Returns the tokens of a text, with the special tokens around it or without them.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<Piece>, PiecesError> {
        let encoding = self
            .tokenizer
            .encode(text, special)
            .map_err(|error| PiecesError::Tokenizer { path: self.path.clone(), why: error.to_string() })?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_tokens()).zip(encoding.get_offsets());
        let piece = |((&id, token), &(start, end)): ((&u32, &String), &(usize, usize))| {
            // Offsets of bytes; a token of a part of a character has no text of its own.
            let part = text.get(start..end).unwrap_or("");
            Piece { id: i64::from(id), text: shown(part, token) }
        };
        Ok(tokens.map(piece).collect())
    }

    /// Returns the token with an id, which need not come from a text.
    pub fn piece(&self, id: i64) -> Piece {
        let known = u32::try_from(id).ok();
        let token = known.and_then(|id| self.tokenizer.id_to_token(id)).unwrap_or_else(|| id.to_string());
        let text = known.and_then(|id| self.tokenizer.decode(&[id], false).ok()).unwrap_or_default();
        Piece { id, text: if text.contains('\u{fffd}') { token } else { shown(&text, &token) } }
    }
}

/// Returns the text of a token without spaces around it; a sign for spaces, and the token itself if it has no text.
fn shown(text: &str, token: &str) -> String {
    match text.trim() {
        "" if text.is_empty() => token.to_owned(),
        "" => "␣".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}
