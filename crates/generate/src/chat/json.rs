//! JSON as `json.dumps` of Python writes it.

use super::repr::float;
use serde_json::Value;
use std::io::{self, Write};

/// Options of Python's `json.dumps` that templates pass.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonStyle {
    /// The number of spaces by which nested values are indented, one line each; `None` writes a single line.
    pub(super) indent: Option<usize>,
    /// Whether letters outside ASCII are escaped.
    pub(super) ensure_ascii: bool,
    /// Whether keys are in alphabetical order.
    pub(super) sort_keys: bool,
    /// The texts after an item and after a key.
    pub(super) separators: Option<[String; 2]>,
}

impl JsonStyle {
    /// Writes a value as `json.dumps` does.
    pub(super) fn write(&self, value: &Value, depth: usize, out: &mut impl Write) -> io::Result<()> {
        match value {
            Value::Array(items) => self.list(*b"[]", items.iter().map(|item| (None, item)), depth, out),
            Value::Object(items) => {
                let mut items: Vec<_> = items.iter().map(|(key, item)| (Some(key.as_str()), item)).collect();
                if self.sort_keys {
                    items.sort_by_key(|(key, _)| *key);
                }
                self.list(*b"{}", items.into_iter(), depth, out)
            }
            Value::String(text) => self.text(text, out),
            Value::Number(number) if number.is_f64() => {
                write!(out, "{}", float(number.as_f64().unwrap_or(f64::NAN)))
            }
            other => write!(out, "{other}"),
        }
    }

    fn list<'v>(
        &self,
        [open, close]: [u8; 2],
        items: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let line = |depth: usize, out: &mut dyn Write| match self.indent {
            Some(indent) => write!(out, "\n{:1$}", "", indent * depth),
            None => Ok(()),
        };
        let [separator, after_key] = match &self.separators {
            Some([separator, after_key]) => [separator.as_str(), after_key],
            None if self.indent.is_some() => [",", ": "],
            None => [", ", ": "],
        };
        out.write_all(&[open])?;
        let mut is_empty = true;
        for (key, item) in items {
            if !is_empty {
                out.write_all(separator.as_bytes())?;
            }
            is_empty = false;
            line(depth + 1, out)?;
            if let Some(key) = key {
                self.text(key, out)?;
                out.write_all(after_key.as_bytes())?;
            }
            self.write(item, depth + 1, out)?;
        }
        if !is_empty {
            line(depth, out)?;
        }
        out.write_all(&[close])
    }

    fn text(&self, text: &str, out: &mut impl Write) -> io::Result<()> {
        let quoted = Value::from(text).to_string();
        if !self.ensure_ascii {
            return out.write_all(quoted.as_bytes());
        }
        for letter in quoted.chars() {
            if (' '..='~').contains(&letter) {
                write!(out, "{letter}")?;
            } else {
                letter.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_python_does() {
        let value = serde_json::json!({"d": [1, {"b<": "é\"😀\u{7f}"}], "c": [], "a": null});
        let written = |style: &JsonStyle| {
            let mut text = vec![];
            style.write(&value, 0, &mut text).expect("it is written");
            String::from_utf8(text).expect("text")
        };
        let style = JsonStyle::default();
        assert_eq!(written(&style), "{\"d\": [1, {\"b<\": \"é\\\"😀\u{7f}\"}], \"c\": [], \"a\": null}");
        let style = JsonStyle { indent: Some(2), ensure_ascii: true, sort_keys: true, separators: None };
        assert_eq!(
            written(&style),
            r#"{
  "a": null,
  "c": [],
  "d": [
    1,
    {
      "b<": "\u00e9\"\ud83d\ude00\u007f"
    }
  ]
}"#
        );
    }
}
