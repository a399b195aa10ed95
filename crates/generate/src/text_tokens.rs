//! The tokens of a text that people read.

use crate::tokenizer::calling;
use crate::{GenerateError, Tokenizer};

/// A token and the part of the text that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextToken {
    /// The id.
    pub id: i64,
    /// Its text without spaces around it; the name of a token without text, such as `[CLS]`.
    pub text: String,
}

impl Tokenizer {
    /// Returns the tokens of a text with what each stands for, and with the special tokens that the tokenizer adds if
    /// `special`.
    ///
    /// ```
    /// use netwright_generate::Tokenizer;
    /// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
    /// let pieces = Tokenizer::open("examples/dates")?.text_tokens("May 1", true)?;
    /// let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    /// assert_eq!(texts, ["M", "a", "y", "␣", "1", "<eos>"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the tokenizer cannot split the text.
    pub fn text_tokens(&self, text: &str, special: bool) -> Result<Vec<TextToken>, GenerateError> {
        let encoding = self.encoding(text, special)?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_tokens()).zip(encoding.get_offsets());
        let piece = |((&id, token), &(start, end)): ((&u32, &String), &(usize, usize))| {
            // Offsets of bytes; a token of a part of a character has no text of its own.
            let part = text.get(start..end).unwrap_or("");
            TextToken { id: i64::from(id), text: shown(part, token) }
        };
        Ok(tokens.map(piece).collect())
    }

    /// Returns the token with an id, which need not come from a text.
    pub fn text_token(&self, id: i64) -> TextToken {
        let known = u32::try_from(id).ok();
        let token = known.and_then(|id| self.inner.id_to_token(id)).unwrap_or_else(|| id.to_string());
        let text = known.and_then(|id| calling(|| self.inner.decode(&[id], false)).ok()).unwrap_or_default();
        TextToken { id, text: if text.contains('\u{fffd}') { token } else { shown(&text, &token) } }
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
