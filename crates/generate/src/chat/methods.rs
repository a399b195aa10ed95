//! Methods of Python's texts and lists that minijinja lacks, or that differ.

use super::filters::{center, is_case, missing, title};
use minijinja::value::{FunctionArgs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Calls a method.
pub(super) fn call(state: &State<'_, '_>, value: &Value, method: &str, given: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => {
            of_text(text, method, given).unwrap_or_else(|| unknown_method_callback(state, value, method, given))
        }
        (None, ValueKind::Seq | ValueKind::Iterable) if method == "index" => {
            let (item,): (&Value,) = from_args(given)?;
            let at = value.try_iter()?.position(|own| own == *item);
            at.map(Value::from).ok_or_else(|| failed(format!("{item} is not in the list")))
        }
        _ => unknown_method_callback(state, value, method, given),
    }
}

fn failed(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause.into())
}

fn list(texts: &[&str]) -> Value {
    texts.iter().copied().map(Value::from).collect()
}

/// Calls a method of a text; `None` if it is not one of these.
fn of_text(text: &str, method: &str, given: &[Value]) -> Option<Result<Value, Error>> {
    /// Reads the arguments.
    fn with<'a, T: FunctionArgs<'a, Output = T>>(
        given: &'a [Value],
        then: impl FnOnce(T) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        from_args(given).and_then(then)
    }
    let all = |is: fn(char) -> bool| with(given, |(): ()| Ok(Value::from(!text.is_empty() && text.chars().all(is))));
    // Python counts letters, not bytes.
    let place = |at: Option<usize>| at.map(|at| text[..at].chars().count());
    let padded = |left: bool| {
        with(given, |(width, fill): (usize, Option<&str>)| {
            let fill = fill.unwrap_or(" ").repeat(missing(text, width)?);
            Ok(Value::from(if left { fill + text } else { text.to_owned() + &fill }))
        })
    };
    let parted = |parts: Option<(&str, &str)>, between: &str, last: bool| match (parts, last) {
        (Some((before, after)), _) => list(&[before, between, after]),
        (None, false) => list(&[text, "", ""]),
        (None, true) => list(&["", "", text]),
    };
    Some(match method {
        "islower" => with(given, |(): ()| Ok(Value::from(is_case(text, char::is_lowercase, char::is_uppercase)))),
        "isupper" => with(given, |(): ()| Ok(Value::from(is_case(text, char::is_uppercase, char::is_lowercase)))),
        "isspace" => all(char::is_whitespace),
        "isdigit" | "isnumeric" | "isdecimal" => all(char::is_numeric),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "title" => with(given, |(): ()| Ok(Value::from(title(text, |letter| !letter.is_alphabetic())))),
        "swapcase" => with(given, |(): ()| {
            let swapped = |letter: char| -> String {
                if letter.is_lowercase() { letter.to_uppercase().collect() } else { letter.to_lowercase().collect() }
            };
            Ok(Value::from(text.chars().map(swapped).collect::<String>()))
        }),
        "find" | "rfind" | "index" | "rindex" => with(given, |(part,): (&str,)| {
            let at = place(if method.starts_with('r') { text.rfind(part) } else { text.find(part) });
            match at {
                Some(at) => Ok(Value::from(at)),
                None if method.ends_with("find") => Ok(Value::from(-1)),
                None => Err(failed(format!("`{part}` is not in the text"))),
            }
        }),
        "rsplit" => with(given, |(between, most): (Option<&str>, Option<i64>)| {
            let Some(between) = between else { return Err(failed("rsplit needs a text to split at")) };
            if between.is_empty() {
                return Err(failed("rsplit needs a text to split at that is not empty"));
            }
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
            let mut parts: Vec<&str> = text.rsplitn(most.saturating_add(1), between).collect();
            parts.reverse();
            Ok(list(&parts))
        }),
        "removeprefix" => with(given, |(part,): (&str,)| Ok(Value::from(text.strip_prefix(part).unwrap_or(text)))),
        "removesuffix" => with(given, |(part,): (&str,)| Ok(Value::from(text.strip_suffix(part).unwrap_or(text)))),
        "partition" => with(given, |(part,): (&str,)| Ok(parted(text.split_once(part), part, false))),
        "rpartition" => with(given, |(part,): (&str,)| Ok(parted(text.rsplit_once(part), part, true))),
        "zfill" => with(given, |(width,): (usize,)| {
            let zeros = "0".repeat(missing(text, width)?);
            let sign = usize::from(text.starts_with(['+', '-']));
            Ok(Value::from(format!("{}{zeros}{}", &text[..sign], &text[sign..])))
        }),
        "ljust" => padded(false),
        "rjust" => padded(true),
        "center" => with(given, |(width,): (usize,)| center(text, width).map(Value::from)),
        "splitlines" if given.is_empty() => {
            let text = text.replace("\r\n", "\n");
            let is_end = |letter: char| {
                matches!(
                    letter,
                    '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
                )
            };
            let mut lines: Vec<&str> = text.split(is_end).collect();
            if lines.last().is_some_and(|last| last.is_empty()) {
                lines.pop();
            }
            Ok(list(&lines))
        }
        _ => return None,
    })
}
