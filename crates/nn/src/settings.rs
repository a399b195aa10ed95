//! `config.json` of a pretrained model, read strictly: what is not read is an error, so no option is ignored.

use crate::layers::Activation;
use netwright_ir::files;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::LazyLock;

/// The options of a `config.json`. Each is remembered when it is read, and [`finish`](Settings::finish) reports those
/// that were not: an option that nobody reads may change the function.
///
/// ```
/// use netwright_nn::Settings;
/// let settings = Settings::parse("config.json", r#"{"model_type": "bert", "hidden_size": 32, "shrink": true}"#)?;
/// assert_eq!(settings.size("hidden_size")?, 32);
/// let error = settings.finish().expect_err("nobody read `shrink`").to_string();
/// assert!(error.starts_with("config.json: the option `shrink` is true, and is not known for the model type `bert`"));
/// # Ok::<(), netwright_nn::SettingsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    path: Rc<Path>,
    text: Rc<str>,
    /// What the names of a section's options begin with, such as `text_config.`.
    prefix: String,
    options: Map<String, Value>,
    /// Values of absent options.
    defaults: Map<String, Value>,
    read: Rc<RefCell<BTreeSet<String>>>,
    /// Options that are taken for absent.
    ignored: Rc<BTreeSet<String>>,
}

/// A `config.json` that no model is built from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// It is no JSON object.
    #[error("{path}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// An option is absent that has no default.
    #[error("{path}: the option `{option}` is missing")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The option.
        option: String,
    },
    /// An option has a value that no model is built with.
    #[error("{path}: the option `{option}` is {value}, but must be {law}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The option.
        option: String,
        /// Its value, as JSON.
        value: String,
        /// What it must be.
        law: String,
    },
    /// Options that nothing is known of.
    #[error(
        "{path}: the option{} {}, and {} not known for the model type `{model_type}`\n  help: --ignore-option NAME \
         builds the model without it, if you know that it does not change the function",
        if options.len() == 1 { "" } else { "s" },
        options.iter().map(|(name, value)| format!("`{name}` is {value}")).collect::<Vec<_>>().join(", "),
        if options.len() == 1 { "is" } else { "are" },
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The model's type.
        model_type: String,
        /// Each with its value, as JSON.
        options: Vec<(String, String)>,
    },
}

/// The values of absent options by model type: those that transformers 4.57 declares for its configurations.
/// `tests/interop/make_defaults.py` writes the file.
static DEFAULTS: LazyLock<BTreeMap<String, Map<String, Value>>> = LazyLock::new(|| {
    let table = serde_json::from_str(include_str!("families/defaults.json"));
    table.unwrap_or_else(|error| unreachable!("a test reads the table: {error}"))
});

/// No size of a real model comes near it, and products of three such sizes fit 64 bits.
const MOST: u64 = 1 << 20;

/// More layers than any model has.
const MOST_LAYERS: u64 = 1000;

/// Options that do not change what a trained model computes.
const HARMLESS: &[&str] = &[
    // What the file says of itself.
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "architectures",
    "auto_map",
    "dtype",
    "gradient_checkpointing",
    "id2label",
    "is_llama_config",
    "label2id",
    "model_type",
    "name_or_path",
    "num_labels",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "use_cache",
    "use_bfloat16",
    // Training.
    "activation_dropout",
    "apply_spec_augment",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_dropout",
    "attn_pdrop",
    "classif_dropout",
    "classifier_dropout",
    "cls_dropout",
    "decoder_layerdrop",
    "dropout",
    "dropout_rate",
    "embd_pdrop",
    "encoder_layerdrop",
    "finetuning_task",
    "hidden_dropout",
    "hidden_dropout_prob",
    "init_std",
    "initializer_cutoff_factor",
    "initializer_factor",
    "initializer_range",
    "layerdrop",
    "logit_scale_init_value",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_feature_prob",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_prob",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "problem_type",
    "qa_dropout",
    "resid_pdrop",
    "return_dict",
    "reorder_and_upcast_attn",
    "seq_classif_dropout",
    "summary_first_dropout",
    // Tokens and generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cls_token_id",
    "decoder_bos_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "image_token_id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "median_filter_width",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "pad_token_id",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "unk_token_id",
    // How the same is computed, and what no code reads.
    "directionality",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "chunk_size_feed_forward",
];

/// Options that every configuration has, which say nothing while they are such.
fn says_nothing(option: &str, value: &Value) -> bool {
    match option {
        "add_cross_attention" | "is_decoder" | "is_encoder_decoder" | "tf_legacy_loss" | "tie_encoder_decoder" => {
            *value == Value::Bool(false)
        }
        "tie_word_embeddings" => *value == Value::Bool(true),
        "pruned_heads" => value.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

impl Settings {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When it cannot be read or is no JSON object.
    pub fn open(path: &Path) -> Result<Self, SettingsError> {
        Self::parse(path, &files::read_text(path, 1 << 22)?)
    }

    /// Takes the options from the text of a `config.json`; the path is for errors.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, SettingsError> {
        let path: Rc<Path> = path.as_ref().into();
        let options = serde_json::from_str(text)
            .map_err(|error| SettingsError::Malformed { path: path.to_path_buf(), why: error.to_string() })?;
        Ok(Self {
            path,
            text: text.into(),
            prefix: String::new(),
            options,
            defaults: Map::new(),
            read: Rc::default(),
            ignored: Rc::default(),
        })
    }

    /// With the values that absent options have in transformers for models of a type; none for a type that is not known.
    /// An option that is null has no value all the same.
    #[must_use]
    pub fn with_defaults_of(mut self, model_type: &str) -> Self {
        self.defaults = DEFAULTS.get(model_type).cloned().unwrap_or_default();
        self
    }

    /// Without options of these names, in full with their sections, such as `text_config.hidden_act`: they are taken for
    /// absent.
    #[must_use]
    pub fn without(mut self, options: &[String]) -> Self {
        self.ignored = Rc::new(options.iter().cloned().collect());
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file, as a type that knows all options itself.
    ///
    /// # Errors
    /// Those of the type, with line and column.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let names: Vec<&str> = self.options.keys().map(String::as_str).collect();
        self.ignore(&names);
        serde_json::from_str(&self.text)
            .map_err(|error| SettingsError::Malformed { path: self.path.to_path_buf(), why: error.to_string() })
    }

    /// The value of an option, unless it is null, or absent without a default.
    fn value(&self, option: &str) -> Option<&Value> {
        let name = self.full(option);
        let given = self.options.get(option).filter(|_| !self.ignored.contains(&name));
        self.read.borrow_mut().insert(name);
        given.or_else(|| self.defaults.get(option)).filter(|value| !value.is_null())
    }

    /// The name of an option with its sections.
    fn full(&self, option: &str) -> String {
        format!("{}{option}", self.prefix)
    }

    /// Whether an option is there.
    pub fn has(&self, option: &str) -> bool {
        self.value(option).is_some()
    }

    /// An error about an option.
    pub fn wrong(&self, option: &str, law: impl Into<String>) -> SettingsError {
        let value = self.options.get(option).unwrap_or(&Value::Null);
        SettingsError::Wrong {
            path: self.path.to_path_buf(),
            option: self.full(option),
            value: value.to_string(),
            law: law.into(),
        }
    }

    fn missing(&self, option: &str) -> SettingsError {
        SettingsError::Missing { path: self.path.to_path_buf(), option: self.full(option) }
    }

    /// A size from 1 to 1,048,576.
    pub fn size(&self, option: &str) -> Result<u64, SettingsError> {
        self.optional_size(option)?.ok_or_else(|| self.missing(option))
    }

    /// A size from 1 to 1,048,576, if it is there.
    pub fn optional_size(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 1, MOST)
    }

    /// A number of layers, at most 1,000.
    pub fn layers(&self, option: &str) -> Result<u64, SettingsError> {
        self.whole(option, 0, MOST_LAYERS)?.ok_or_else(|| self.missing(option))
    }

    /// A number of tokens or positions that no tensor is as long as.
    pub fn length(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 1, 1 << 40)
    }

    /// The id of a token, if it is there.
    pub fn token(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 0, MOST)
    }

    fn whole(&self, option: &str, least: u64, most: u64) -> Result<Option<u64>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.wrong(option, format!("a whole number from {least} to {most}")))
    }

    /// A number of heads, which divides a width.
    pub fn heads(&self, option: &str, width: u64) -> Result<u64, SettingsError> {
        let heads = self.size(option)?;
        if width.is_multiple_of(heads) { Ok(heads) } else { Err(self.wrong(option, format!("a divisor of {width}"))) }
    }

    /// A finite number, if it is there.
    pub fn number(&self, option: &str) -> Result<Option<f64>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite() && number.abs() < 1e30);
        number.map(Some).ok_or_else(|| self.wrong(option, "a number"))
    }

    /// A finite number above 0, if it is there.
    pub fn positive(&self, option: &str) -> Result<Option<f64>, SettingsError> {
        let number = self.number(option)?;
        if number.is_none_or(|number| number > 0.0) { Ok(number) } else { Err(self.wrong(option, "above 0")) }
    }

    /// What is added to a variance, as `f32`.
    pub fn epsilon(&self, option: &str, default: f64) -> Result<f32, SettingsError> {
        let epsilon = self.number(option)?.unwrap_or(default);
        #[expect(clippy::cast_possible_truncation, reason = "norms are computed in f32")]
        if (0.0..=1.0).contains(&epsilon) { Ok(epsilon as f32) } else { Err(self.wrong(option, "from 0 to 1")) }
    }

    /// Numbers, as many as asked for.
    pub fn numbers(&self, option: &str, count: usize) -> Result<Vec<f64>, SettingsError> {
        let values = self.value(option).ok_or_else(|| self.missing(option))?;
        let numbers: Option<Vec<f64>> = values.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        let finite = |numbers: &Vec<f64>| numbers.len() == count && numbers.iter().all(|number| number.is_finite());
        numbers.filter(finite).ok_or_else(|| self.wrong(option, format!("a list of {count} numbers")))
    }

    /// Words, if they are there.
    pub fn words(&self, option: &str) -> Result<Option<Vec<String>>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let word = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let words = value.as_array().and_then(|list| list.iter().map(word).collect());
        words.map(Some).ok_or_else(|| self.wrong(option, "a list of words"))
    }

    /// Whether an option is on.
    pub fn flag(&self, option: &str, default: bool) -> Result<bool, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(option, "true or false"))
    }

    /// A word, if it is there.
    pub fn word(&self, option: &str) -> Result<Option<&str>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(option, "a word"))
    }

    /// An option that models are built with in one way only.
    ///
    /// # Errors
    /// When it has another value; the help names the way to build the model without it.
    pub fn must_be(&self, option: &str, value: impl Into<Value>) -> Result<(), SettingsError> {
        let value = value.into();
        let fits = self
            .value(option)
            .is_none_or(|found| *found == value || found.as_f64().is_some_and(|found| Some(found) == value.as_f64()));
        let law = || {
            format!(
                "{value} for models of this type\n  help: --ignore-option {0} builds the model as if `{0}` were absent, which may change what it computes",
                self.full(option)
            )
        };
        if fits { Ok(()) } else { Err(self.wrong(option, law())) }
    }

    /// Options that training or a part that is not built reads.
    pub fn ignore(&self, options: &[&str]) {
        let mut read = self.read.borrow_mut();
        read.extend(options.iter().map(|option| format!("{}{option}", self.prefix)));
    }

    /// The activation of a name that Hugging Face gives.
    pub fn activation(&self, option: &str, default: Activation) -> Result<Activation, SettingsError> {
        Ok(match self.word(option)? {
            None => default,
            Some("relu") => Activation::Relu,
            Some("gelu" | "gelu_python") => Activation::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Activation::GeluTanh,
            Some("silu" | "swish") => Activation::Silu,
            Some("quick_gelu") => Activation::QuickGelu,
            Some("tanh") => Activation::Tanh,
            Some(_) => {
                let law = "relu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, quick_gelu or tanh";
                return Err(self.wrong(option, law));
            }
        })
    }

    /// Options that stand in an object of their own, if it is there.
    pub fn section(&self, option: &str) -> Result<Option<Settings>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let options = value.as_object().ok_or_else(|| self.wrong(option, "an object"))?.clone();
        let prefix = format!("{}{option}.", self.prefix);
        Ok(Some(Self { options, prefix, defaults: Map::new(), ..self.clone() }))
    }

    /// The number of classes of a classifier: as many as `id2label` names, else two.
    pub fn labels(&self) -> Result<u64, SettingsError> {
        match self.value("id2label") {
            None => Ok(self.whole("num_labels", 1, MOST)?.unwrap_or(2)),
            Some(value) => {
                let labels = value.as_object().map(|labels| labels.len() as u64).filter(|count| *count > 0);
                labels.ok_or_else(|| self.wrong("id2label", "an object that names at least one label"))
            }
        }
    }

    /// The `model_type`; empty where there is none.
    pub fn model_type(&self) -> &str {
        self.options.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Checks that all options of the file, and of the sections that were read, were read too.
    ///
    /// # Errors
    /// Those that were not.
    pub fn finish(&self) -> Result<(), SettingsError> {
        let mut unknown = vec![];
        self.unread("", &self.options, &mut unknown);
        if unknown.is_empty() {
            return Ok(());
        }
        Err(SettingsError::Unknown {
            path: self.path.to_path_buf(),
            model_type: self.model_type().to_owned(),
            options: unknown,
        })
    }

    fn unread(&self, prefix: &str, options: &Map<String, Value>, unknown: &mut Vec<(String, String)>) {
        let read = self.read.borrow();
        for (name, value) in options {
            let full = format!("{prefix}{name}");
            let section = format!("{full}.");
            if read.iter().any(|option| option.starts_with(&section))
                && let Some(options) = value.as_object()
            {
                self.unread(&section, options, unknown);
            } else if !(read.contains(&full)
                || self.ignored.contains(&full)
                || HARMLESS.contains(&name.as_str())
                || value.is_null()
                || says_nothing(name, value))
            {
                unknown.push((full, value.to_string()));
            }
        }
    }
}
