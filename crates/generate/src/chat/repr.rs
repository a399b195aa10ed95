//! Values as Python writes them: `str` for what a template prints, `repr` for what lists and dicts hold.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::fmt::{self, Write};

/// The deepest nesting of values that is written.
const MAX_DEPTH: usize = 100;

/// Writes a value as `str` of Python does.
pub(super) fn write_text(value: &Value, out: &mut impl Write) -> Result<(), Error> {
    let written = match value.kind() {
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()),
        ValueKind::Undefined => Ok(()),
        _ => return write_repr(value, 0, out),
    };
    written.map_err(Error::from)
}

/// Returns a value as `str` of Python does.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    write_text(value, &mut text)?;
    Ok(text)
}

/// Returns a value as `repr` of Python does.
pub(super) fn repr(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    write_repr(value, 0, &mut text)?;
    Ok(text)
}

fn write_repr(value: &Value, depth: usize, out: &mut impl Write) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        let cause = format!("a value is nested more than {MAX_DEPTH} deep");
        return Err(Error::new(ErrorKind::InvalidOperation, cause));
    }
    match value.kind() {
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), out)?,
        ValueKind::Number if !value.is_integer() => {
            out.write_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)))?;
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (at, item) in value.try_iter()?.enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                write_repr(&item, depth + 1, out)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (at, key) in value.try_iter()?.enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                write_repr(&key, depth + 1, out)?;
                out.write_str(": ")?;
                write_repr(&value.get_item(&key)?, depth + 1, out)?;
            }
            out.write_char('}')?;
        }
        ValueKind::Undefined => out.write_str("Undefined")?,
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

/// Writes a text in quotes.
fn write_quoted(text: &str, out: &mut impl Write) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if letter == quote || letter == '\\' => write!(out, "\\{letter}")?,
            _ if is_printable(letter) => out.write_char(letter)?,
            _ => match u32::from(letter) {
                code @ ..=0xff => write!(out, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// Returns whether Python writes a letter as it is: no control, format or private-use character, and no space but the
/// usual one.
fn is_printable(letter: char) -> bool {
    let is_format = matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}' | '\u{f0000}'..);
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || is_format)
}

/// Returns a float with the digits that tell it from all others, as Python writes it.
pub(super) fn float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let text = value.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_does() {
        for (value, expected) in [
            (Value::from(1e16), "1e+16"),
            (Value::from(123_456.75), "123456.75"),
            (Value::from(1e15), "1000000000000000.0"),
            (Value::from(-2.5e-7), "-2.5e-07"),
            (Value::from(0.0001), "0.0001"),
            (Value::from(f64::NEG_INFINITY), "-inf"),
            (Value::from(()), "None"),
            (Value::from("it's"), "it's"),
            (
                Value::from(vec!["it's", "'\"", "\u{1}\u{200b}\u{f0001}é\n"]),
                r#"["it's", '\'"', '\x01\u200b\U000f0001é\n']"#,
            ),
            (Value::from_serialize(serde_json::json!({"b": [true, null], "a": {}})), "{'b': [True, None], 'a': {}}"),
        ] {
            assert_eq!(text(&value).expect("text"), expected);
        }
        let deep = (0..200).fold(Value::from(1), |value, _| Value::from(vec![value]));
        assert!(text(&deep).expect_err("too deep").to_string().contains("nested more than 100 deep"));
    }
}
