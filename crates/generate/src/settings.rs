//! The settings of generation, as `generation_config.json` has them.

mod known;
mod read;

pub(crate) use read::ConfigFile;
pub use read::positions;

use crate::{GenerateError, Timestamps};

/// How tokens are chosen, and when generation ends. The names and defaults are those of `GenerationConfig` in
/// `transformers`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The maximum number of tokens, with the prompt; [`max_new_tokens`](Self::max_new_tokens) takes precedence. Without
    /// both, 20 tokens are generated.
    pub max_length: Option<usize>,
    /// The maximum number of new tokens.
    pub max_new_tokens: Option<usize>,
    /// The number of tokens, with the prompt, before which no end token is chosen.
    pub min_length: usize,
    /// The number of new tokens before which no end token is chosen; takes precedence over
    /// [`min_length`](Self::min_length).
    pub min_new_tokens: Option<usize>,
    /// Whether tokens are drawn at random; otherwise the most probable is chosen.
    pub do_sample: bool,
    /// The divisor of the scores before a token is drawn.
    pub temperature: f32,
    /// The number of most probable tokens from which one is drawn; 0 means all.
    pub top_k: usize,
    /// Draws from the smallest set of most probable tokens whose probabilities add up to this.
    pub top_p: f32,
    /// Draws only tokens with at least this fraction of the largest probability.
    pub min_p: Option<f32>,
    /// Divides positive scores of tokens that occurred, and multiplies negative ones; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Excludes tokens that would complete a sequence of this length that occurred; 0 excludes none.
    pub no_repeat_ngram_size: usize,
    /// Excludes tokens that would complete a sequence of this length of the source; 0 excludes none.
    pub encoder_no_repeat_ngram_size: usize,
    /// The number of sequences that beam search keeps; 1 means no beam search.
    pub num_beams: usize,
    /// The exponent of the length by which the score of a beam is divided: positive values prefer long sequences.
    pub length_penalty: f64,
    /// When beam search ends.
    pub early_stopping: EarlyStopping,
    /// Whether the probabilities add up to 1 again after exclusions, which changes the scores of beams.
    pub renormalize_logits: bool,
    /// The first token of texts.
    pub bos_token_id: Option<u32>,
    /// The tokens that end a sequence.
    pub eos_token_id: Vec<u32>,
    /// The token that fills shorter sequences of a batch [default: the first end token].
    pub pad_token_id: Option<u32>,
    /// The first token of a decoder that has an encoder [default: `bos_token_id`].
    pub decoder_start_token_id: Option<u32>,
    /// The token after the first.
    pub forced_bos_token_id: Option<u32>,
    /// The last token if `max_length` is reached.
    pub forced_eos_token_id: Vec<u32>,
    /// Tokens that are never chosen.
    pub suppress_tokens: Vec<u32>,
    /// Tokens that are not chosen as the first new one.
    pub begin_suppress_tokens: Vec<u32>,
    /// Sequences of tokens that are never completed.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Texts that end generation.
    pub stop_strings: Vec<String>,
    /// The seed of random draws.
    pub seed: u64,
    /// The rules by which Whisper writes timestamps; [`Speech`](crate::Speech) sets them.
    pub timestamps: Option<Timestamps>,
}

/// When beam search ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When a better sequence is unlikely at the present length.
    #[default]
    Heuristic,
    /// As soon as there are as many finished sequences as beams.
    WhenFull,
    /// When no better sequence is possible at any length.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_length: None,
            max_new_tokens: None,
            min_length: 0,
            min_new_tokens: None,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: None,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            encoder_no_repeat_ngram_size: 0,
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Heuristic,
            renormalize_logits: false,
            bos_token_id: None,
            eos_token_id: vec![],
            pad_token_id: None,
            decoder_start_token_id: None,
            forced_bos_token_id: None,
            forced_eos_token_id: vec![],
            suppress_tokens: vec![],
            begin_suppress_tokens: vec![],
            bad_words_ids: vec![],
            stop_strings: vec![],
            seed: 0,
            timestamps: None,
        }
    }
}

impl Settings {
    /// Returns the maximum length after a prompt, given the number of positions of the model; an error if the prompt
    /// leaves no room for a new token.
    pub(crate) fn max_length_after(&self, prompt: usize, positions: Option<usize>) -> Result<usize, GenerateError> {
        let most = match (self.max_new_tokens, self.max_length) {
            (Some(new), _) => prompt.saturating_add(new),
            (None, Some(max_length)) if prompt >= max_length => {
                return Err(GenerateError::MaxLength { tokens: prompt, max_length });
            }
            (None, Some(length)) => length,
            (None, None) => prompt.saturating_add(20),
        };
        Ok(most.min(positions.unwrap_or(usize::MAX)))
    }

    /// Returns the first token of a decoder that has an encoder.
    ///
    /// # Errors
    ///
    /// If neither [`decoder_start_token_id`](Self::decoder_start_token_id) nor [`bos_token_id`](Self::bos_token_id) is set.
    pub fn start(&self) -> Result<u32, GenerateError> {
        self.decoder_start_token_id.or(self.bos_token_id).ok_or_else(|| GenerateError::Setting {
            name: "decoder_start_token_id",
            expected: "the id of the first token of the decoder".to_owned(),
            found: "absent".to_owned(),
            help: "add the option to generation_config.json",
        })
    }

    /// Returns the token that fills shorter sequences.
    pub(crate) fn pad(&self) -> u32 {
        self.pad_token_id.or(self.eos_token_id.first().copied()).unwrap_or(0)
    }

    /// Checks the values that have a meaning only in a range.
    ///
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn check(&self) -> Result<(), GenerateError> {
        let positive = |name, value: f32| {
            let fits = value > 0.0 && value.is_finite();
            if fits { Ok(()) } else { Err(wrong(name, "a positive number", &value)) }
        };
        positive("temperature", self.temperature)?;
        positive("repetition_penalty", self.repetition_penalty)?;
        for (name, value) in [("top_p", self.top_p), ("min_p", self.min_p.unwrap_or(0.0))] {
            if !(0.0..=1.0).contains(&value) {
                return Err(wrong(name, "from 0 to 1", &value));
            }
        }
        if !self.length_penalty.is_finite() {
            return Err(wrong("length_penalty", "a finite number", &self.length_penalty));
        }
        if !(1..=MAX_BEAMS).contains(&self.num_beams) {
            return Err(wrong("num_beams", &format!("from 1 to {MAX_BEAMS}"), &self.num_beams));
        }
        if self.max_new_tokens == Some(0) {
            return Err(wrong("max_new_tokens", "at least 1", &0));
        }
        if self.stop_strings.iter().any(String::is_empty) {
            return Err(wrong("stop_strings", "texts with at least one letter", &"\"\""));
        }
        Ok(())
    }
}

/// The largest number of beams: more would need more memory than any use is worth.
const MAX_BEAMS: usize = 1024;

fn wrong(name: &'static str, expected: &str, found: &impl ToString) -> GenerateError {
    let help = match name {
        "temperature" => "to choose the most probable token, pass --greedy",
        _ => "change the flag, or the option in generation_config.json",
    };
    GenerateError::Setting { name, expected: expected.to_owned(), found: found.to_string(), help }
}
