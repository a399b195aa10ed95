//! Filters and methods of templates whose arguments determine how much they write, with limits.

use super::json::JsonStyle;
use super::{Bounded, methods};
use minijinja::value::{Kwargs, Rest, StringInput, Value};
use minijinja::{Environment, Error, ErrorKind, State, filters};

/// The largest indentation.
const MAX_INDENT: usize = 64;

/// The largest number of lists that a list is cut into, and of elements of each.
const MAX_COUNT: usize = 10_000;

pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("indent", indent);
    environment.add_filter("batch", batch);
    environment.add_filter("slice", slice);
    environment.add_filter("format", format);
    environment.set_unknown_method_callback(|state, value, method, arguments| {
        if method == "format" {
            expect_short(value)?;
        }
        methods::call(state, value, method, arguments)
    });
}

/// Writes JSON as Python does; the filter of minijinja writes it for HTML.
#[expect(clippy::needless_pass_by_value, reason = "filters take such arguments by value")]
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let style = JsonStyle {
        indent: options.get("indent")?,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or_default(),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or_default(),
        separators: separators(&options)?,
    };
    options.assert_all_used()?;
    expect_at_most("indent", style.indent.unwrap_or(0), MAX_INDENT)?;
    let failed = |kind| move |error: &dyn std::error::Error| Error::new(kind, error.to_string());
    let value = serde_json::to_value(value).map_err(|error| failed(ErrorKind::BadSerialization)(&error))?;
    let mut text = Bounded(vec![]);
    style.write(&value, 0, &mut text).map_err(|error| failed(ErrorKind::WriteFailure)(&error))?;
    Ok(String::from_utf8_lossy(&text.0).into_owned())
}

/// Returns the texts after an item and after a key.
fn separators(options: &Kwargs) -> Result<Option<[String; 2]>, Error> {
    let Some(pair) = options.get::<Option<Vec<Value>>>("separators")? else { return Ok(None) };
    match &pair[..] {
        [item, key] if item.as_str().is_some() && key.as_str().is_some() => {
            Ok(Some([item, key].map(|text| text.as_str().unwrap_or_default().to_owned())))
        }
        _ => Err(Error::new(ErrorKind::InvalidOperation, "separators must be two texts")),
    }
}

fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let width = width.map_or_else(|| options.get::<Option<usize>>("width"), |width| Ok(Some(width)))?;
    expect_at_most("width", width.unwrap_or(0), MAX_INDENT)?;
    filters::indent(text, width, first, blank, options)
}

fn batch(state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    expect_at_most("the length of a batch", count, MAX_COUNT)?;
    filters::batch(state, value, count, fill)
}

fn slice(state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    expect_at_most("the number of slices", count, MAX_COUNT)?;
    filters::slice(state, value, count, fill)
}

fn format(state: &State<'_, '_>, format: &Value, values: Rest<Value>) -> Result<Value, Error> {
    expect_short(format)?;
    filters::format(state, format, values)
}

/// Checks the widths and precisions of a format.
fn expect_short(format: &Value) -> Result<(), Error> {
    let format = format.as_str().unwrap_or_default();
    let widest = format.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max();
    if widest.is_some_and(|digits| digits > 4) {
        return Err(Error::new(ErrorKind::InvalidOperation, "a width or a precision has more than four digits"));
    }
    Ok(())
}

fn expect_at_most(name: &str, found: usize, most: usize) -> Result<(), Error> {
    if found <= most {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidOperation, format!("{name} must be at most {most}, but is {found}")))
}
