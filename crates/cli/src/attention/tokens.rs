//! The tokens of a text, and those that a decoder writes.

use crate::args::Attention;
use crate::attention::failure;
use crate::failure::{Failure, Misuse};
use crate::output::in_line;
use netwright::attention::{AttentionError, AttentionModel};
use netwright::files::Code;
use netwright::generate::{Settings, TextToken, Tokenizer, positions};
use std::path::Path;

/// The most tokens that a decoder writes.
const MAX_DECODED: usize = 64;

/// The ids of tokens and their texts.
pub(super) struct Tokens {
    pub(super) ids: Vec<i64>,
    pub(super) texts: Vec<String>,
    pub(super) decoder_ids: Vec<i64>,
    pub(super) decoder_texts: Vec<String>,
    /// The token with which a decoder starts.
    pub(super) start: Option<TextToken>,
}

impl Tokens {
    /// Returns the tokens of a call, and those that the decoder writes if they are not given.
    pub(super) fn new(args: &Attention, folder: &Path, model: &AttentionModel) -> Result<Self, Failure> {
        let tokenizer = tokenizer(args, folder)?;
        let encode = |text: &str, special| match &tokenizer {
            Some(own) => own.text_tokens(text, special).map_err(Failure::usage),
            None => Ok(vec![]),
        };
        let piece = |id: &i64| {
            tokenizer.as_ref().map_or(TextToken { id: *id, text: id.to_string() }, |own| own.text_token(*id))
        };
        if args.text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(Failure::usage_with(Code::TextEmpty, "the text is empty\n  help: give at least one word"));
        }
        let tokens: Vec<TextToken> = match &args.text {
            Some(text) => encode(text, true)?,
            None => args.ids.iter().map(piece).collect(),
        };
        let given = args.decoder_text.is_some() || !args.decoder_ids.is_empty();
        if given && !model.has_decoder_tokens() {
            let text = "the model is not an encoder-decoder\n  help: leave out the tokens of the decoder";
            return Err(Misuse::NotFor.failure(text));
        }
        let (ids, texts) = apart(tokens);
        let settings = Settings::read_leniently(folder).map_err(Failure::usage)?;
        let first = settings.start().map(i64::from);
        let start = first.as_ref().map(piece).ok();
        let mut own = Self { ids, texts, decoder_ids: vec![], decoder_texts: vec![], start };
        // A GGUF file has no configuration beside it.
        let positions = if folder.is_dir() { positions(folder).map_err(Failure::usage)? } else { None };
        expect_positions(own.ids.len(), positions)?;
        if model.has_decoder_tokens() {
            let mut start = vec![first.map_err(Failure::usage)?];
            start.extend(settings.forced_bos_token_id.map(i64::from));
            let decoded = match &args.decoder_text {
                Some(text) => start.iter().map(piece).chain(encode(text, false)?).collect(),
                None if given => start.iter().chain(&args.decoder_ids).map(piece).collect(),
                None => {
                    let ends: Vec<i64> = settings.eos_token_id.iter().copied().map(i64::from).collect();
                    let most = positions.unwrap_or(MAX_DECODED).min(MAX_DECODED);
                    own.with_hint(model.decode(&own.ids, &start, &ends, most))?.iter().map(piece).collect()
                }
            };
            expect_positions(Vec::len(&decoded), positions)?;
            (own.decoder_ids, own.decoder_texts) = apart(decoded);
        }
        Ok(own)
    }

    /// Sets the tokens of a decoder that reads the text itself, after its first token, as those of classifiers do.
    pub(super) fn read_again(&mut self) {
        let count = self.ids.len();
        let first = self.start.as_ref();
        self.decoder_ids =
            first.map(|start| start.id).into_iter().chain(self.ids.iter().copied()).take(count).collect();
        let texts = self.texts.iter().cloned();
        self.decoder_texts = first.map(|start| start.text.clone()).into_iter().chain(texts).take(count).collect();
    }

    /// Returns the result of a run; the help of a failure says that the text may be too long.
    pub(super) fn with_hint<T>(&self, result: Result<T, AttentionError>) -> Result<T, Failure> {
        result.map_err(|error| {
            let hint =
                format!("the model may have fewer positions than the {} tokens; give a shorter text", self.ids.len());
            let has_run = matches!(error, AttentionError::Verify(_));
            failure(error).with_help(has_run.then_some(&hint))
        })
    }
}

/// Fails if there are more tokens than the model has positions.
fn expect_positions(count: usize, positions: Option<usize>) -> Result<(), Failure> {
    let Some(most) = positions.filter(|most| count > *most) else { return Ok(()) };
    let text = format!("{count} tokens are more than the {most} positions of the model\n  help: give a shorter text");
    Err(Failure::usage_with(Code::TextTooLong, text))
}

fn apart(pieces: Vec<TextToken>) -> (Vec<i64>, Vec<String>) {
    pieces.into_iter().map(|piece| (piece.id, piece.text)).unzip()
}

/// Returns the tokenizer, which is optional if no text is given.
fn tokenizer(args: &Attention, folder: &Path) -> Result<Option<Tokenizer>, Failure> {
    let has_text = args.text.is_some() || args.decoder_text.is_some();
    if !folder.join("tokenizer.json").exists() {
        if !has_text {
            return Ok(None);
        }
        let folder = in_line(folder);
        let text = format!(
            "{folder} has no tokenizer.json, which splits texts into tokens\n  help: give the ids of the tokens, such \
             as --ids 1,2,3, or save the tokenizer with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
        );
        return Err(Failure::usage_with(Code::Tokenizer, text));
    }
    Tokenizer::open(folder).map(Some).map_err(Failure::usage)
}
