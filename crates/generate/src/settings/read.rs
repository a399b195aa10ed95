//! Reads settings from the files of a Hugging Face folder.

use super::{EarlyStopping, Settings};
use crate::GenerateError;
use crate::files::folder;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest configuration that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Returns whether a value has no effect.
type IsNeutral = fn(&Value) -> bool;

/// Options that change what is generated and are not supported.
const UNSUPPORTED: [(&str, IsNeutral); 15] = [
    ("typical_p", |value| value.as_f64() == Some(1.0)),
    ("epsilon_cutoff", |value| value.as_f64() == Some(0.0)),
    ("eta_cutoff", |value| value.as_f64() == Some(0.0)),
    ("top_h", Value::is_null),
    ("encoder_repetition_penalty", |value| value.as_f64() == Some(1.0)),
    ("exponential_decay_length_penalty", Value::is_null),
    ("sequence_bias", Value::is_null),
    ("guidance_scale", |value| value.as_f64() == Some(1.0)),
    ("num_beam_groups", |value| value.as_u64() == Some(1)),
    ("penalty_alpha", |value| value.as_f64() == Some(0.0)),
    ("force_words_ids", Value::is_null),
    ("constraints", Value::is_null),
    ("watermarking_config", Value::is_null),
    ("renormalize_logits", |value| value.as_bool() == Some(false)),
    ("remove_invalid_values", |value| value.as_bool() == Some(false)),
];

/// The model types whose positions start after the id of padding.
const AFTER_PADDING: [&str; 4] = ["roberta", "xlm-roberta", "camembert", "mpnet"];

/// Returns the number of positions of a model, which is a folder or a file, if the configuration beside it limits it.
///
/// # Errors
///
/// If the configuration is invalid.
pub fn positions(model: impl AsRef<Path>) -> Result<Option<usize>, GenerateError> {
    let options = Options::open(folder(model.as_ref()).join("config.json"))?;
    options.map_or(Ok(None), |options| options.positions())
}

/// A file of the configuration, with its options.
pub(crate) struct Options {
    path: PathBuf,
    options: Map<String, Value>,
}

impl Options {
    /// Reads a file; `None` if there is none.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>, GenerateError> {
        if !path.is_file() {
            return Ok(None);
        }
        let text = netwright_files::read_text(&path, MAX_BYTES)?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(options)) => Ok(Some(Self { path, options })),
            Ok(_) => Err(GenerateError::Configuration { path, cause: "it is not a JSON object".to_owned() }),
            Err(error) => Err(GenerateError::Configuration { path, cause: error.to_string() }),
        }
    }

    /// Returns a value; `None` if it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.options.get(name).filter(|value| !value.is_null())
    }

    /// Returns the number of positions that a configuration limits a model to.
    pub(crate) fn positions(&self) -> Result<Option<usize>, GenerateError> {
        let count = |name| self.read(name, "a number of positions", |value| usize::try_from(value.as_u64()?).ok());
        // Relative positions have no end: the option of T5 is the length that it was trained with.
        let is_relative = self.get("relative_attention_num_buckets").is_some();
        let mut own = count("max_position_embeddings")?;
        for name in ["n_positions", "max_target_positions"] {
            own = if own.is_some() || is_relative { own } else { count(name)? };
        }
        let nested = self.nested("text_config", "max_position_embeddings").and_then(Value::as_u64);
        let own = own.or(nested.and_then(|count| usize::try_from(count).ok()));
        let model_type = self.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let unused =
            if AFTER_PADDING.contains(&model_type) { self.token("pad_token_id")?.unwrap_or(1) as usize + 1 } else { 0 };
        Ok(own.map(|count| count.saturating_sub(unused)).filter(|count| *count > 0))
    }

    /// Returns whether the model predicts masked tokens.
    pub(crate) fn is_masked(&self) -> bool {
        let first = self.get("architectures").and_then(|list| list.as_array()?.first()?.as_str());
        first.is_some_and(|name| name.ends_with("ForMaskedLM"))
    }

    /// Returns a value of a nested object.
    pub(crate) fn nested(&self, object: &str, name: &str) -> Option<&Value> {
        self.get(object)?.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, GenerateError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            let cause = format!("`{name}` must be {expected}, but is {value}");
            GenerateError::Configuration { path: self.path.clone(), cause }
        })
    }

    pub(crate) fn token(&self, name: &str) -> Result<Option<u32>, GenerateError> {
        // Older configurations have -1 for a token that they lack.
        if self.get(name).and_then(Value::as_i64).is_some_and(|id| id < 0) {
            return Ok(None);
        }
        self.read(name, "the id of a token", id)
    }

    fn tokens(&self, name: &str) -> Result<Option<Vec<u32>>, GenerateError> {
        self.read(name, "the id of a token, or a list of ids", |value| match value {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })
    }

    fn count(&self, name: &str) -> Result<Option<usize>, GenerateError> {
        self.read(name, "a number of tokens", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn float(&self, name: &str) -> Result<Option<f64>, GenerateError> {
        self.read(name, "a number", Value::as_f64)
    }
}

fn id(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

impl Settings {
    /// Reads the settings of a folder: those of `generation_config.json`, or of `config.json` if there is none. Ids of
    /// special tokens that it lacks are those of `config.json`.
    ///
    /// # Errors
    ///
    /// If a file is invalid, or sets an option that would change the result, is not supported, and is not in `ignored`.
    pub fn read(folder: impl AsRef<Path>, ignored: &[String]) -> Result<Self, GenerateError> {
        let folder = folder.as_ref();
        let model = Options::open(folder.join("config.json"))?;
        let own = Options::open(folder.join("generation_config.json"))?;
        let mut settings = Self::default();
        let Some(options) = own.as_ref().or(model.as_ref()) else { return Ok(settings) };
        let unsupported = UNSUPPORTED.iter().find(|(name, is_neutral)| {
            let has_effect = options.get(name).is_some_and(|value| !is_neutral(value));
            has_effect && !ignored.iter().any(|ignored| ignored == name)
        });
        if let Some((option, _)) = unsupported {
            return Err(GenerateError::Option { path: options.path.clone(), option: (*option).to_owned() });
        }
        settings.merge(options)?;
        if let (Some(model), Some(_)) = (&model, &own) {
            let absent = |known: Option<u32>, name| if known.is_some() { Ok(known) } else { model.token(name) };
            settings.bos_token_id = absent(settings.bos_token_id, "bos_token_id")?;
            settings.pad_token_id = absent(settings.pad_token_id, "pad_token_id")?;
            settings.decoder_start_token_id = absent(settings.decoder_start_token_id, "decoder_start_token_id")?;
            if settings.eos_token_id.is_empty() {
                settings.eos_token_id = model.tokens("eos_token_id")?.unwrap_or_default();
            }
        }
        settings.check()?;
        Ok(settings)
    }

    /// Takes over the options that a file has.
    fn merge(&mut self, options: &Options) -> Result<(), GenerateError> {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
        let single = |name| options.float(name).map(|value| value.map(|value| value as f32));
        self.max_length = options.count("max_length")?;
        self.max_new_tokens = options.count("max_new_tokens")?;
        set(&mut self.min_length, options.count("min_length")?);
        self.min_new_tokens = options.count("min_new_tokens")?;
        set(&mut self.do_sample, options.read("do_sample", "true or false", Value::as_bool)?);
        set(&mut self.temperature, single("temperature")?);
        set(&mut self.top_k, options.count("top_k")?);
        set(&mut self.top_p, single("top_p")?);
        self.min_p = single("min_p")?;
        set(&mut self.repetition_penalty, single("repetition_penalty")?);
        set(&mut self.no_repeat_ngram_size, options.count("no_repeat_ngram_size")?);
        set(&mut self.encoder_no_repeat_ngram_size, options.count("encoder_no_repeat_ngram_size")?);
        set(&mut self.num_beams, options.count("num_beams")?);
        set(&mut self.length_penalty, options.float("length_penalty")?);
        let early = options.read("early_stopping", "true, false or \"never\"", |value| match value {
            Value::Bool(true) => Some(EarlyStopping::WhenFull),
            Value::Bool(false) => Some(EarlyStopping::Heuristic),
            Value::String(word) if word == "never" => Some(EarlyStopping::Never),
            _ => None,
        })?;
        set(&mut self.early_stopping, early);
        self.bos_token_id = options.token("bos_token_id")?;
        set(&mut self.eos_token_id, options.tokens("eos_token_id")?);
        self.pad_token_id = options.token("pad_token_id")?;
        self.decoder_start_token_id = options.token("decoder_start_token_id")?;
        self.forced_bos_token_id = options.token("forced_bos_token_id")?;
        set(&mut self.forced_eos_token_id, options.tokens("forced_eos_token_id")?);
        set(&mut self.suppress_tokens, options.tokens("suppress_tokens")?);
        set(&mut self.begin_suppress_tokens, options.tokens("begin_suppress_tokens")?);
        let words = options.read("bad_words_ids", "a list of lists of ids", |value| {
            let word = |word: &Value| word.as_array()?.iter().map(id).collect::<Option<Vec<u32>>>();
            value.as_array()?.iter().map(word).collect::<Option<Vec<_>>>()
        })?;
        set(&mut self.bad_words_ids, words);
        let texts = options.read("stop_strings", "a text, or a list of texts", |value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            list => list.as_array()?.iter().map(|text| text.as_str().map(ToOwned::to_owned)).collect(),
        })?;
        set(&mut self.stop_strings, texts);
        Ok(())
    }
}
