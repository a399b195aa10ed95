//! Typed options, with bounds that real models keep.

use super::{Settings, SettingsError};
use crate::layers::Activation;
use serde_json::Value;

/// The largest size. Real models stay far below it, and a product of three such sizes fits in 64 bits.
const MOST: u64 = 1 << 20;

/// The largest number of layers, more than any model has.
const MAX_LAYERS: u64 = 1000;

impl Settings {
    /// Reads a size from 1 to 1,048,576.
    pub fn size(&self, option: &str) -> Result<u64, SettingsError> {
        self.optional_size(option)?.ok_or_else(|| self.missing(option))
    }

    /// Reads a size from 1 to 1,048,576, if it is present.
    pub fn optional_size(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 1, MOST)
    }

    /// Reads the side of a square: a size, or a list of two equal ones.
    pub fn side(&self, option: &str) -> Result<u64, SettingsError> {
        let Some(Value::Array(sides)) = self.value(option) else { return self.size(option) };
        let side = sides.first().and_then(Value::as_u64).filter(|side| (1..=MOST).contains(side));
        let is_square = sides.len() == 2 && sides[0] == sides[1];
        side.filter(|_| is_square).ok_or_else(|| self.wrong(option, "a size, or a list of two equal sizes"))
    }

    /// Reads a number of layers, at most 1,000.
    pub fn layers(&self, option: &str) -> Result<u64, SettingsError> {
        self.whole(option, 0, MAX_LAYERS)?.ok_or_else(|| self.missing(option))
    }

    /// Reads a number of tokens or positions that is not the size of a tensor.
    pub fn length(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 1, 1 << 40)
    }

    /// Reads the id of a token, if it is present.
    pub fn token(&self, option: &str) -> Result<Option<u64>, SettingsError> {
        self.whole(option, 0, MOST)
    }

    fn whole(&self, option: &str, least: u64, most: u64) -> Result<Option<u64>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.wrong(option, format!("a whole number from {least} to {most}")))
    }

    /// Reads a number of heads, which must divide `width`.
    pub fn heads(&self, option: &str, width: u64) -> Result<u64, SettingsError> {
        let heads = self.size(option)?;
        if width.is_multiple_of(heads) { Ok(heads) } else { Err(self.wrong(option, format!("a divisor of {width}"))) }
    }

    /// Reads a finite number, if it is present.
    pub fn number(&self, option: &str) -> Result<Option<f64>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite() && number.abs() < 1e30);
        number.map(Some).ok_or_else(|| self.wrong(option, "a number"))
    }

    /// Reads a finite number above 0, if it is present.
    pub fn positive(&self, option: &str) -> Result<Option<f64>, SettingsError> {
        let number = self.number(option)?;
        if number.is_none_or(|number| number > 0.0) { Ok(number) } else { Err(self.wrong(option, "above 0")) }
    }

    /// Reads the epsilon of a norm, as `f32`.
    pub fn epsilon(&self, option: &str, default: f64) -> Result<f32, SettingsError> {
        let epsilon = self.number(option)?.unwrap_or(default);
        #[expect(clippy::cast_possible_truncation, reason = "norms are computed in f32")]
        if (0.0..=1.0).contains(&epsilon) { Ok(epsilon as f32) } else { Err(self.wrong(option, "from 0 to 1")) }
    }

    /// Reads a list of `count` numbers.
    pub fn numbers(&self, option: &str, count: usize) -> Result<Vec<f64>, SettingsError> {
        let values = self.value(option).ok_or_else(|| self.missing(option))?;
        let numbers: Option<Vec<f64>> = values.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        let finite = |numbers: &Vec<f64>| numbers.len() == count && numbers.iter().all(|number| number.is_finite());
        numbers.filter(finite).ok_or_else(|| self.wrong(option, format!("a list of {count} numbers")))
    }

    /// Reads a whole number or a list of them, if it is present.
    pub(crate) fn whole_numbers(&self, option: &str) -> Result<Option<Vec<u64>>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let numbers = match value {
            Value::Array(list) => list.iter().map(Value::as_u64).collect(),
            one => one.as_u64().map(|one| vec![one]),
        };
        numbers.map(Some).ok_or_else(|| self.wrong(option, "a whole number or a list of whole numbers"))
    }

    /// Reads a list of strings, if it is present.
    pub fn words(&self, option: &str) -> Result<Option<Vec<String>>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let word = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let words = value.as_array().and_then(|list| list.iter().map(word).collect());
        words.map(Some).ok_or_else(|| self.wrong(option, "a list of strings"))
    }

    /// Reads a string or a list of them, if it is present.
    pub(crate) fn word_or_words(&self, option: &str) -> Result<Option<Vec<String>>, SettingsError> {
        match self.value(option) {
            Some(Value::String(word)) => Ok(Some(vec![word.clone()])),
            _ => self.words(option),
        }
    }

    /// Reads a list of `[words, count]`, each of which stands for so many repetitions of the words: at most `most` words.
    pub fn repeated_words(&self, option: &str, most: u64) -> Result<Option<Vec<String>>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        let law = || self.wrong(option, format!("a list of pairs of words and their number, at most {most} words"));
        let mut all = vec![];
        for pair in value.as_array().ok_or_else(law)? {
            let [Value::Array(words), count] = pair.as_array().map_or(&[][..], Vec::as_slice) else {
                return Err(law());
            };
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            let (words, count) = words.zip(count.as_u64()).ok_or_else(law)?;
            let is_few = |total: u64| total.saturating_add(all.len() as u64) <= most;
            if words.is_empty() || !(words.len() as u64).checked_mul(count).is_some_and(is_few) {
                return Err(law());
            }
            for _ in 0..count {
                all.extend(words.iter().map(|word| (*word).to_owned()));
            }
        }
        Ok(Some(all))
    }

    /// Reads a flag.
    pub fn flag(&self, option: &str, default: bool) -> Result<bool, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(option, "true or false"))
    }

    /// Reads a string, if it is present.
    pub fn word(&self, option: &str) -> Result<Option<&str>, SettingsError> {
        let Some(value) = self.value(option) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(option, "a string"))
    }

    /// Checks an option that is supported with one value only.
    ///
    /// # Errors
    /// If it has another value; the help names `--ignore-option`.
    pub fn must_be(&self, option: &str, value: impl Into<Value>) -> Result<(), SettingsError> {
        let value = value.into();
        let fits = self
            .value(option)
            .is_none_or(|found| *found == value || found.as_f64().is_some_and(|found| Some(found) == value.as_f64()));
        let law = || {
            format!(
                "{value} for models of this type\n  help: pass --ignore-option {0} to build the model as if `{0}` were absent, which may change what it computes",
                self.full(option)
            )
        };
        if fits { Ok(()) } else { Err(self.wrong(option, law())) }
    }

    /// Checks that options other than the known ones are absent, or have a value that requests nothing.
    ///
    /// # Errors
    /// The first other option, which must be `law`.
    pub(crate) fn expect_off_except(&self, known: &[&str], law: &str) -> Result<(), SettingsError> {
        let is_off = |value: &Value| match value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::Number(_) => false,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(options) => options.is_empty(),
        };
        let mut others = self.options.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        others.find(|(_, value)| !is_off(value)).map_or(Ok(()), |(name, _)| Err(self.wrong(name, law)))
    }

    /// Returns the names of the options.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.options.keys().map(String::as_str)
    }

    /// Reads an activation by its name in Hugging Face.
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

    /// Reads the number of classes of a classifier from `id2label`; the default is two.
    pub fn labels(&self) -> Result<u64, SettingsError> {
        match self.value("id2label") {
            None => Ok(self.whole("num_labels", 1, MOST)?.unwrap_or(2)),
            Some(value) => {
                let labels = value.as_object().map(|labels| labels.len() as u64).filter(|count| *count > 0);
                labels.ok_or_else(|| self.wrong("id2label", "an object with at least one label"))
            }
        }
    }
}
