//! Reads settings from the files of a Hugging Face folder.

use super::known::{HARMLESS, UNSUPPORTED};
use super::{EarlyStopping, Settings};
use crate::GenerateError;
use crate::files::folder;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The options for the number of positions; the first that a configuration has counts.
const POSITIONS: [&str; 5] = ["max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len", "n_ctx"];

/// The model types whose positions start after the id of padding.
const AFTER_PADDING: [&str; 4] = ["roberta", "xlm-roberta", "camembert", "mpnet"];

/// Returns the number of positions of a model, which is a folder or a file, if the configuration beside it limits it.
///
/// # Errors
///
/// If the configuration is invalid.
pub fn positions(model: impl AsRef<Path>) -> Result<Option<usize>, GenerateError> {
    let options = ConfigFile::open(folder(model.as_ref()).join("config.json"))?;
    options.map_or(Ok(None), |options| options.positions())
}

/// A file of the configuration, with its options.
pub(crate) struct ConfigFile {
    path: PathBuf,
    options: Map<String, Value>,
    /// The names of the options that were read.
    read: RefCell<BTreeSet<String>>,
}

impl ConfigFile {
    /// Reads a file; `None` if there is none.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>, GenerateError> {
        if !path.is_file() {
            return Ok(None);
        }
        let text = netwright_files::read_json(&path)?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(options)) => Ok(Some(Self { path, options, read: RefCell::default() })),
            Ok(_) => Err(GenerateError::Configuration {
                path,
                cause: "it is not a JSON object\n  help: write the options in braces, such as {\"NAME\": VALUE}"
                    .to_owned(),
            }),
            Err(error) => {
                let (cause, _) = netwright_files::json_error(&text, &error.to_string(), error.line(), error.column());
                Err(GenerateError::Configuration { path, cause })
            }
        }
    }

    /// Returns a value; `None` if it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(name.to_owned());
        self.options.get(name).filter(|value| !value.is_null())
    }

    /// Returns all options.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.options.iter()
    }

    /// Returns the number of positions that a configuration limits a model to.
    pub(crate) fn positions(&self) -> Result<Option<usize>, GenerateError> {
        let count = |name| self.read(name, "a number of positions", |value| usize::try_from(value.as_u64()?).ok());
        // Relative positions have no end: the option of T5 is the length that it was trained with.
        let is_relative = self.get("relative_attention_num_buckets").is_some();
        let mut own = None;
        for name in POSITIONS {
            own = if own.is_some() || is_relative { own } else { count(name)? };
        }
        let nested = self.nested("text_config", "max_position_embeddings").and_then(Value::as_u64);
        let own = own.or(nested.and_then(|count| usize::try_from(count).ok()));
        let model_type = self.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let unused =
            if AFTER_PADDING.contains(&model_type) { self.token("pad_token_id")?.unwrap_or(1) as usize + 1 } else { 0 };
        Ok(own.map(|count| count.saturating_sub(unused)).filter(|count| *count > 0))
    }

    /// Returns the first of `architectures`, such as `BertForMaskedLM`.
    pub(crate) fn architecture(&self) -> Option<&str> {
        self.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// Returns the error of the first option that may change the result: that is unsupported, or was not read and is not
    /// known to be harmless. A configuration of a model has many of the latter.
    fn expect_supported(&self, is_of_model: bool, ignored: &[String]) -> Result<(), GenerateError> {
        let read = self.read.borrow();
        let may_change = |(name, value): &(&String, &Value)| {
            if value.is_null() || ignored.contains(name) {
                return false;
            }
            match UNSUPPORTED.iter().find(|(own, _)| own == name) {
                Some((_, is_neutral)) => !is_neutral(value),
                None => !is_of_model && !read.contains(*name) && !HARMLESS.contains(&name.as_str()),
            }
        };
        self.options.iter().find(may_change).map_or(Ok(()), |(option, _)| {
            Err(GenerateError::Option { path: self.path.clone(), option: option.clone() })
        })
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
            let cause = format!("`{name}` must be {expected}, but is {value}\n  help: correct `{name}`, or remove it");
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

    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, GenerateError> {
        self.read(name, "a number of tokens", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn float(&self, name: &str) -> Result<Option<f64>, GenerateError> {
        self.read(name, "a number", Value::as_f64)
    }
}

/// Opens the configuration of a model and of its generation.
fn files(folder: &Path) -> Result<[Option<ConfigFile>; 2], GenerateError> {
    Ok([ConfigFile::open(folder.join("config.json"))?, ConfigFile::open(folder.join("generation_config.json"))?])
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
        let [model, own] = files(folder)?;
        let settings = Self::of(model.as_ref(), own.as_ref())?;
        if let Some(options) = own.as_ref().or(model.as_ref()) {
            options.expect_supported(own.is_none(), ignored)?;
        }
        Ok(settings)
    }

    /// Reads the settings of a folder as [`read`](Self::read) does, and ignores all unsupported options: for callers that
    /// use only tokens such as [`eos_token_id`](Self::eos_token_id).
    ///
    /// # Errors
    ///
    /// If a file is invalid.
    pub fn read_leniently(folder: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let [model, own] = files(folder.as_ref())?;
        Self::of(model.as_ref(), own.as_ref())
    }

    /// Takes the settings of the configuration of a model and of its generation.
    fn of(model: Option<&ConfigFile>, own: Option<&ConfigFile>) -> Result<Self, GenerateError> {
        let mut settings = Self::default();
        let Some(options) = own.or(model) else { return Ok(settings) };
        settings.merge(options)?;
        if let (Some(model), Some(_)) = (model, own) {
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
    fn merge(&mut self, options: &ConfigFile) -> Result<(), GenerateError> {
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
        let renormalize_logits = options.read("renormalize_logits", "true or false", Value::as_bool)?;
        set(&mut self.renormalize_logits, renormalize_logits);
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
