//! Filters and tests of Jinja2 that minijinja lacks, or that differ.

use super::repr::{repr, text};
use minijinja::value::{ArgType, Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use std::fmt::Write as _;

/// The largest width of a text that is centered, and the largest number of decimals.
const MAX_WIDTH: usize = 10_000;

/// The number of letters by which a text may be longer than `truncate` allows.
const LEEWAY: usize = 5;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("string", |value: &Value| text(value));
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("round", round);
    environment.add_filter("replace", replace);
    environment.add_filter("title", |value: &Value| {
        let is_between = |letter: char| letter.is_whitespace() || matches!(letter, '-' | '(' | '{' | '[' | '<');
        Ok::<_, Error>(title(&text(value)?, is_between))
    });
    environment.add_filter("join", join);
    environment.add_filter("truncate", truncate);
    environment.add_filter("center", |value: &Value, width: Option<usize>, options: Kwargs| {
        let width = argument(width, &options, "width")?.unwrap_or(80);
        center(&text(value)?, width)
    });
    environment.add_filter("wordcount", |value: &Value| {
        let text = text(value)?;
        let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        Ok::<_, Error>(words.filter(|word| !word.is_empty()).count())
    });
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("pprint", pprint);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_test("lower", |value: &Value| {
        Ok::<_, Error>(is_case(&text(value)?, char::is_lowercase, char::is_uppercase))
    });
    environment.add_test("upper", |value: &Value| {
        Ok::<_, Error>(is_case(&text(value)?, char::is_uppercase, char::is_lowercase))
    });
    let is_container = |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
    };
    environment.add_test("sequence", move |value: &Value| is_container(value));
    environment.add_test("iterable", move |value: &Value| is_container(value) || value.kind() == ValueKind::Iterable);
    environment.add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
}

/// Returns an argument that is given by its place or its name; no others may be left.
fn argument<'a, T>(placed: Option<T>, options: &'a Kwargs, name: &'a str) -> Result<Option<T>, Error>
where
    T: ArgType<'a, Output = T>,
{
    let found = if placed.is_some() { placed } else { options.get::<Option<T>>(name)? };
    options.assert_all_used()?;
    Ok(found)
}

fn failed(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause.into())
}

fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() {
        return Ok(0);
    }
    value.len().ok_or_else(|| failed(format!("{} has no length", value.kind())))
}

/// Returns the number that a text says.
fn number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.trim().replace('_', "").parse().ok()
}

#[expect(clippy::cast_possible_truncation, reason = "larger floats have no integer that Rust holds")]
fn int(value: &Value, default: Option<Value>) -> Value {
    let truncated = |value: f64| value.is_finite().then(|| Value::from(value.trunc() as i128));
    let found = match value.kind() {
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncated),
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        _ => number::<i128>(value).map(Value::from).or_else(|| truncated(number(value)?)),
    };
    found.or(default).unwrap_or_else(|| Value::from(0))
}

fn float(value: &Value, default: Option<Value>) -> Value {
    let found = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        _ => number(value).or_else(|| f64::try_from(value.clone()).ok()),
    };
    found.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0))
}

/// Rounds to the nearest number with so many decimals; of two as near, Python takes the even one.
fn round(value: &Value, precision: Option<i32>, method: Option<&str>) -> Result<Value, Error> {
    let precision = precision.unwrap_or(0);
    if precision.unsigned_abs() > 300 {
        return Err(failed(format!("precision must be from -300 to 300, but is {precision}")));
    }
    let power = 10_f64.powi(precision);
    let number = f64::try_from(value.clone())?;
    let rounded = match method.unwrap_or("common") {
        "ceil" => (number * power).ceil() / power,
        "floor" => (number * power).floor() / power,
        "common" if value.is_integer() && precision >= 0 => return Ok(value.clone()),
        "common" if precision >= 0 => {
            let decimals = usize::try_from(precision).unwrap_or(0);
            format!("{number:.decimals$}").parse().unwrap_or(number)
        }
        "common" => (number * power).round_ties_even() / power,
        other => return Err(failed(format!("method must be common, ceil or floor, but is {other}"))),
    };
    if value.is_integer() && method.is_none_or(|method| method == "common") {
        return Ok(int(&Value::from(rounded), None));
    }
    Ok(Value::from(rounded))
}

fn replace(value: &Value, old: &Value, new: &Value, count: Option<usize>) -> Result<String, Error> {
    let (value, old, new) = (text(value)?, text(old)?, text(new)?);
    Ok(match count {
        Some(count) => value.replacen(&old, &new, count),
        None => value.replace(&old, &new),
    })
}

/// Writes the first letter of each word as a capital, and the others small.
pub(super) fn title(text: &str, is_between: fn(char) -> bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut is_first = true;
    for letter in text.chars() {
        if is_first {
            result.extend(letter.to_uppercase());
        } else {
            result.extend(letter.to_lowercase());
        }
        is_first = is_between(letter);
    }
    result
}

#[expect(clippy::needless_pass_by_value, reason = "filters take such arguments by value")]
fn join(value: &Value, between: Option<&str>, attribute: Option<&str>, options: Kwargs) -> Result<String, Error> {
    let attribute = attribute.map_or_else(|| options.get::<Option<&str>>("attribute"), |name| Ok(Some(name)))?;
    let between = argument(between, &options, "d")?.unwrap_or("");
    let mut result = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        result.push_str(if at == 0 { "" } else { between });
        let item = match attribute {
            Some(path) => path.split('.').try_fold(item, |item, name| item.get_attr(name))?,
            None => item,
        };
        super::repr::write_text(&item, &mut result)?;
    }
    Ok(result)
}

#[expect(clippy::needless_pass_by_value, reason = "filters take such arguments by value")]
fn truncate(
    value: &Value,
    length: Option<usize>,
    whole: Option<bool>,
    end: Option<&str>,
    options: Kwargs,
) -> Result<String, Error> {
    let length = length.map_or_else(|| options.get::<Option<usize>>("length"), |one| Ok(Some(one)))?.unwrap_or(255);
    let killed = whole.map_or_else(|| options.get::<Option<bool>>("killwords"), |one| Ok(Some(one)))?.unwrap_or(false);
    let end = end.map_or_else(|| options.get::<Option<&str>>("end"), |one| Ok(Some(one)))?.unwrap_or("...");
    let leeway = argument(None, &options, "leeway")?.unwrap_or(LEEWAY);
    let text = text(value)?;
    let letters = text.chars().count();
    let Some(kept) = length.checked_sub(end.chars().count()) else {
        return Err(failed(format!("length must be at least that of the end, but is {length}")));
    };
    if letters <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let kept: String = text.chars().take(kept).collect();
    let words = if killed { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(format!("{words}{end}"))
}

/// Returns a text in the middle of so many letters.
pub(super) fn center(text: &str, width: usize) -> Result<String, Error> {
    let missing = missing(text, width)?;
    let left = missing / 2 + (missing & width & 1);
    Ok(format!("{:left$}{text}{:2$}", "", "", missing - left))
}

/// Returns how many letters a text lacks for a width.
pub(super) fn missing(text: &str, width: usize) -> Result<usize, Error> {
    if width > MAX_WIDTH {
        return Err(failed(format!("width must be at most {MAX_WIDTH}, but is {width}")));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

/// Returns whether a text has letters of one case, and none of the other.
pub(super) fn is_case(text: &str, own: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(own) && !text.chars().any(other)
}

fn escape(value: &Value) -> Result<String, Error> {
    let mut result = String::new();
    for letter in text(value)?.chars() {
        match letter {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&#34;"),
            '\'' => result.push_str("&#39;"),
            other => result.push(other),
        }
    }
    Ok(result)
}

/// Writes a value as Python's `pprint` writes one that fits a line.
fn pprint(value: &Value) -> Result<String, Error> {
    let text = repr(value)?;
    if text.chars().count() <= 80 {
        return Ok(text);
    }
    Err(failed("pprint of a value that does not fit a line is not supported"))
}

fn urlencode(value: &Value) -> Result<String, Error> {
    if matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        return Err(failed("urlencode needs a text"));
    }
    let mut result = String::new();
    for byte in text(value)?.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte) {
            result.push(char::from(byte));
        } else {
            write!(result, "%{byte:02X}")?;
        }
    }
    Ok(result)
}
