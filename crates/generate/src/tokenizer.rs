//! Text to tokens and back.

mod check;

use crate::GenerateError;
use crate::files::folder;
use netwright_verify::catch;
use std::path::{Path, PathBuf};
use tokenizers::Encoding;

/// The largest `tokenizer.json` that is read.
const MAX_BYTES: u64 = 512 << 20;

/// What a decoder of bytes writes for an unfinished character.
const UNFINISHED: char = '\u{FFFD}';

/// The number of bytes of the longest character: as many that make none never will.
const MAX_UNFINISHED: usize = 4;

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    pub(crate) inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json` beside a model, which is a folder or a file.
    ///
    /// # Errors
    ///
    /// If there is none, or if it is not valid.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let path = folder(model.as_ref()).join("tokenizer.json");
        if !path.is_file() {
            return Err(GenerateError::Tokenizer {
                path,
                cause: "the tokenizer is missing".to_owned(),
                help: "write it with `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)` in Python, and copy it \
                       beside the model",
            });
        }
        let bytes = netwright_files::read_bytes(&path, MAX_BYTES)?;
        let invalid = |cause: String| GenerateError::Tokenizer {
            path: path.clone(),
            cause: format!("the tokenizer is not valid: {cause}"),
            help: "download the file again",
        };
        check::check(&bytes).map_err(invalid)?;
        let read = || {
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
            // The model sees the whole text, and nothing else.
            inner.with_padding(None);
            inner.with_truncation(None)?;
            Ok(inner)
        };
        let inner = calling(read).map_err(invalid)?;
        Ok(Self { path, inner })
    }

    /// Checks that a model has the tokens of the tokenizer.
    ///
    /// # Errors
    ///
    /// If the tokenizer has more tokens than `vocabulary`, the number of tokens of the model.
    pub fn expect_fits(&self, vocabulary: usize) -> Result<(), GenerateError> {
        // Tokens that were added without retraining may lie beyond the vocabulary, as long as no text has them.
        let tokens = self.inner.get_vocab_size(false);
        if tokens <= vocabulary {
            return Ok(());
        }
        Err(self.unfit(format!("the tokenizer has {tokens} tokens, but the model has {vocabulary}")))
    }

    fn unfit(&self, cause: String) -> GenerateError {
        let help = "use the tokenizer with which the model was trained";
        GenerateError::Tokenizer { path: self.path.clone(), cause, help }
    }

    /// Returns the tokens of a text, with the special tokens that the tokenizer adds if `special`.
    ///
    /// # Errors
    ///
    /// If the tokenizer cannot split the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, GenerateError> {
        Ok(self.encoding(text, special)?.get_ids().to_vec())
    }

    pub(crate) fn encoding(&self, text: &str, special: bool) -> Result<Encoding, GenerateError> {
        let encoding = catch(|| {
            if let Some(normalizer) = self.inner.get_normalizer() {
                check::expect_bounded(&self.path, normalizer, text)?;
            }
            let encoding = self.inner.encode(text, special);
            encoding.map_err(|error| self.unusable(&error.to_string()))
        });
        encoding.unwrap_or_else(|panic| Err(self.unusable(&blamed(&panic))))
    }

    fn unusable(&self, cause: &str) -> GenerateError {
        GenerateError::Tokenizer {
            path: self.path.clone(),
            cause: format!("the tokenizer cannot split the text: {cause}"),
            help: "download the file again",
        }
    }

    /// Returns the text of tokens, without special ones.
    ///
    /// # Errors
    ///
    /// If the tokenizer does not have a token.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, GenerateError> {
        if let Some(token) = tokens.iter().find(|token| self.inner.id_to_token(**token).is_none()) {
            return Err(self.unfit(format!("the model chose token {token}, which the tokenizer does not have")));
        }
        let text = calling(|| self.inner.decode(tokens, true));
        text.map_err(|cause| self.unfit(format!("token without a text: {cause}")))
    }

    /// Returns the id of a token by its text.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// Returns whether the text of tokens has a stop string.
    ///
    /// # Errors
    ///
    /// If the tokenizer does not have a token.
    pub fn has_stop(&self, tokens: &[u32], stop_strings: &[String]) -> Result<bool, GenerateError> {
        Ok(!stop_strings.is_empty() && first_stop(&self.decode(tokens)?, stop_strings).is_some())
    }

    /// Starts a stream of text.
    pub fn stream<'t>(&'t self, stop_strings: &'t [String]) -> Stream<'t> {
        Stream { text: self, stop_strings, tokens: vec![], start: 0, read: 0, held: String::new(), has_stopped: false }
    }
}

/// Returns the result of a function of `tokenizers`, or its error or panic.
pub(crate) fn calling<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    catch(work).map_err(|panic| blamed(&panic))?.map_err(|error| error.to_string())
}

/// Parts of the paths of sources of `tokenizers` and its dependencies, and the parts of tokenizer.json that they read.
const PARTS: [(&str, &str); 6] = [
    ("/normalizers/", "normalizer"),
    ("spm_precompiled", "normalizer"),
    ("/pre_tokenizers/", "pre_tokenizer"),
    ("/processors/", "post_processor"),
    ("/decoders/", "decoder"),
    ("/models/", "model"),
];

/// Returns the message of a panic of `tokenizers`, with the part of tokenizer.json that is not valid, if it is known.
fn blamed(panic: &str) -> String {
    let part = PARTS.iter().find(|(source, _)| panic.contains(source)).map(|(_, part)| *part);
    part.map_or_else(|| panic.to_owned(), |part| format!("its `{part}` is not valid: {panic}"))
}

/// Turns tokens into text as they come: never half a character, and nothing of a stop string.
#[derive(Debug)]
pub struct Stream<'t> {
    text: &'t Tokenizer,
    stop_strings: &'t [String],
    tokens: Vec<u32>,
    /// The first token whose text is needed for that of the next one: some tokenizers write a space before a word only
    /// after another one.
    start: usize,
    /// The number of tokens whose text was returned.
    read: usize,
    /// Text that may be the start of a stop string.
    held: String,
    has_stopped: bool,
}

impl Stream<'_> {
    /// Adds a token, and returns the text that is complete.
    ///
    /// # Errors
    ///
    /// If the tokenizer does not have the token.
    pub fn push(&mut self, token: u32) -> Result<String, GenerateError> {
        self.tokens.push(token);
        self.advance(false)
    }

    /// Returns the rest of the text; bytes that are not a character become U+FFFD.
    ///
    /// # Errors
    ///
    /// If the tokenizer does not have a token.
    pub fn finish(&mut self) -> Result<String, GenerateError> {
        let rest = self.advance(true)?;
        Ok(rest + &std::mem::take(&mut self.held))
    }

    /// Returns whether a stop string has occurred.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    fn advance(&mut self, is_last: bool) -> Result<String, GenerateError> {
        let before = self.text.decode(&self.tokens[self.start..self.read])?;
        let after = self.text.decode(&self.tokens[self.start..])?;
        let new = after.get(before.len()..).unwrap_or_default();
        let unfinished = new.chars().rev().take_while(|letter| *letter == UNFINISHED).count();
        if self.has_stopped || new.is_empty() || (1..MAX_UNFINISHED).contains(&unfinished) && !is_last {
            return Ok(String::new());
        }
        self.held.push_str(new);
        (self.start, self.read) = (self.read, self.tokens.len());
        Ok(self.release())
    }

    /// Returns the held text that cannot belong to a stop string.
    fn release(&mut self) -> String {
        if let Some(at) = first_stop(&self.held, self.stop_strings) {
            self.has_stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let may_stop = |at: usize| self.stop_strings.iter().any(|stop| stop.starts_with(&self.held[at..]));
        let starts = self.held.char_indices().map(|(at, _)| at);
        let keep = starts.clone().find(|at| may_stop(*at)).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        std::mem::replace(&mut self.held, rest)
    }
}

/// Returns the place of the first stop string; an empty one never occurs.
fn first_stop(text: &str, stop_strings: &[String]) -> Option<usize> {
    stop_strings.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min()
}
