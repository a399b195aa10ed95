//! Reads `config.json` of a pretrained model strictly: an option that is not read is an error.

use known::{DEFAULTS, HARMLESS, says_nothing};
use netwright_ir::files::{self, Code};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

mod known;
mod typed;

/// The options of a `config.json`. [`finish`](Settings::finish) reports the options that were never read, because they
/// may change the function.
///
/// ```
/// use netwright_nn::Settings;
/// let settings = Settings::parse("config.json", r#"{"model_type": "bert", "hidden_size": 32, "shrink": true}"#)?;
/// assert_eq!(settings.size("hidden_size")?, 32);
/// let error = settings.finish().expect_err("nobody read `shrink`").to_string();
/// assert!(error.starts_with("config.json: the option `shrink` (true) is not supported for the model type `bert`"));
/// # Ok::<(), netwright_nn::SettingsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    path: Rc<Path>,
    text: Rc<str>,
    /// The prefix of the names of a section's options, such as `text_config.`.
    prefix: String,
    options: Map<String, Value>,
    /// The values of absent options.
    defaults: Map<String, Value>,
    read: Rc<RefCell<BTreeSet<String>>>,
    /// Options that are treated as absent.
    ignored: Rc<BTreeSet<String>>,
}

/// An error in a `config.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// The file is not a JSON object.
    #[error("{path}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// An option without a default is missing.
    #[error("{path}: the option `{option}` is missing")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The option.
        option: String,
    },
    /// An option has an unsupported value.
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
    /// Options are not supported.
    #[error(
        "{path}: the option{} {} {} not supported{}\n  help: to ignore an \
         option that does not change what the model computes, pass --ignore-option NAME to `netwright build`",
        if options.len() == 1 { "" } else { "s" },
        options.iter().map(|(name, value)| format!("`{name}` ({value})")).collect::<Vec<_>>().join(", "),
        if options.len() == 1 { "is" } else { "are" },
        if model_type.is_empty() { String::new() } else { format!(" for the model type `{model_type}`") },
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

impl SettingsError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Malformed { .. } => Code::ConfigurationSyntax,
            Self::Missing { .. } => Code::OptionMissing,
            Self::Wrong { .. } => Code::OptionValue,
            Self::Unknown { .. } => Code::OptionUnknown,
        }
    }
}

fn malformed(path: &Path, text: &str, error: &serde_json::Error) -> SettingsError {
    let (why, column) = files::json_error(text, &error.to_string(), error.line(), error.column());
    let column = column.map_or_else(String::new, |column| format!(", column {column}"));
    let place = format!("line {}{column}", error.line());
    let help = match error.classify() {
        Category::Eof => "the file is incomplete; download it again".to_owned(),
        Category::Data => format!("correct the value at {place}"),
        Category::Syntax | Category::Io => format!("write JSON at {place}, or download the file again"),
    };
    SettingsError::Malformed { path: path.to_path_buf(), why: format!("{why}\n  help: {help}") }
}

impl Settings {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If it cannot be read or is not a JSON object.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        let path = path.as_ref();
        Self::parse(path, &files::read_json(path)?)
    }

    /// Takes the options from the text of a `config.json`; the path is for errors.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, SettingsError> {
        let path: Rc<Path> = path.as_ref().into();
        let text = &*files::quote_numbers(text);
        let options = serde_json::from_str(text).map_err(|error| malformed(&path, text, &error))?;
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

    /// Sets the defaults of absent options to those of transformers for a model type, if it is supported. An option
    /// that is null still has no value.
    #[must_use]
    pub fn with_defaults_of(mut self, model_type: &str) -> Self {
        self.defaults = DEFAULTS.get(model_type).cloned().unwrap_or_default();
        self
    }

    /// Treats options as absent, by their full names with sections, such as `text_config.hidden_act`.
    #[must_use]
    pub fn without(mut self, options: &[String]) -> Self {
        self.ignored = Rc::new(options.iter().cloned().collect());
        self
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deserializes the whole file as a type that knows all options itself.
    ///
    /// # Errors
    /// The errors of the type, with line and column.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let names: Vec<&str> = self.options.keys().map(String::as_str).collect();
        self.ignore(&names);
        serde_json::from_str(&self.text).map_err(|error| malformed(&self.path, &self.text, &error))
    }

    /// Returns the value of an option, or its default; `None` if it is null or has neither.
    fn value(&self, option: &str) -> Option<&Value> {
        let name = self.full(option);
        let given = self.options.get(option).filter(|_| !self.ignored.contains(&name));
        self.read.borrow_mut().insert(name);
        given.or_else(|| self.defaults.get(option)).filter(|value| !value.is_null())
    }

    /// Returns the full name of an option with its sections.
    fn full(&self, option: &str) -> String {
        format!("{}{option}", self.prefix)
    }

    /// Returns whether an option is present.
    pub fn has(&self, option: &str) -> bool {
        self.value(option).is_some()
    }

    /// Returns the error that an option must be `law`.
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

    /// Returns the options with those under an older name also under the name that is read: each pair is the older name
    /// and the other.
    ///
    /// # Errors
    /// If both are present and differ.
    pub(crate) fn with_older_names(&self, names: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let mut renamed = self.clone();
        for (older, option) in names {
            let full = self.full(older);
            let Some(value) = self.options.get(*older).filter(|_| !self.ignored.contains(&full)) else { continue };
            self.ignore(&[older]);
            if self.options.get(*option).is_some_and(|other| other != value) {
                return Err(self.wrong(older, format!("equal to `{option}`")));
            }
            renamed.options.insert((*option).to_owned(), value.clone());
        }
        Ok(renamed)
    }

    /// Marks options as read that only training or parts that are not built use.
    pub fn ignore(&self, options: &[&str]) {
        let mut read = self.read.borrow_mut();
        read.extend(options.iter().map(|option| format!("{}{option}", self.prefix)));
    }

    /// Returns the options of a nested object, if it is present.
    pub fn section(&self, option: &str) -> Result<Option<Settings>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let options = value.as_object().ok_or_else(|| self.wrong(option, "an object"))?.clone();
        let prefix = format!("{}{option}.", self.prefix);
        Ok(Some(Self { options, prefix, defaults: Map::new(), ..self.clone() }))
    }

    /// Returns the nested objects.
    ///
    /// # Errors
    /// If an option is not an object or null.
    pub fn sections(&self) -> Result<Vec<Settings>, SettingsError> {
        self.options.keys().filter_map(|name| self.section(name).transpose()).collect()
    }

    /// Returns the classes of models that `auto_map` names: code of their own, which may compute something else than
    /// transformers does for the model type.
    pub(crate) fn own_classes(&self) -> Vec<String> {
        let map = self.options.get("auto_map").and_then(Value::as_object);
        let models = map.into_iter().flatten().filter(|(name, _)| name.starts_with("AutoModel"));
        models.map(|(_, class)| class.as_str().map_or_else(|| class.to_string(), ToOwned::to_owned)).collect()
    }

    /// Returns the name of the function that a `CrossEncoder` of sentence-transformers applies to logits.
    pub(crate) fn activation_of_scores(&self) -> Option<&str> {
        let section = self.options.get("sentence_transformers").and_then(|own| own.get("activation_fn"));
        section.or(self.options.get("sbert_ce_default_activation_function")).and_then(Value::as_str)
    }

    /// Returns whether there are no options.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// Returns the `model_type`, or an empty string.
    pub fn model_type(&self) -> &str {
        self.options.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Checks that all options of the file, and of the sections that were read, were read.
    ///
    /// # Errors
    /// The options that were not read.
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
                || says_nothing(name, value)
                // The option has the value that it has if it is absent.
                || prefix.is_empty() && self.defaults.get(name) == Some(value))
            {
                unknown.push((full, value.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    /// Python writes numbers that JSON does not have; strings keep theirs.
    #[test]
    fn numbers_of_python_are_not_numbers() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity", "d\\": 2, "name": "É NaN"}"#;
        let settings = Settings::parse("config.json", text).expect("it is an object");
        let error = settings.number("a").expect_err("it is not a number").to_string();
        assert_eq!(error, "config.json: the option `a` is \"NaN\", but must be a number");
        assert!(settings.numbers("b", 2).is_err());
        assert_eq!(settings.word("c").expect("a string"), Some("NaN \" Infinity"));
        assert_eq!(settings.number("d\\").expect("a number"), Some(2.0));
        assert_eq!(settings.word("name").expect("a string"), Some("É NaN"));
        // A column after a number of Python is not that of the file.
        for (text, expected) in [
            ("{\"a\": Infinit}", "expected value at line 1 column 7\n  help: write JSON at line 1, column 7, or"),
            ("{\n\"a\": NaN, \"b\": }", "expected value at line 2\n  help: write JSON at line 2, or"),
        ] {
            let error = Settings::parse("config.json", text).expect_err("it is not JSON").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
