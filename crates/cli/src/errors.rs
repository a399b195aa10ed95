//! `netwright error`: the index of errors.

use crate::failure::{Failure, Misuse};
use crate::output::{Output, table};
use netwright::files::Code;
use schemars::JsonSchema;
use serde::Serialize;

/// The entries, in the order of their codes: a line of the code and the title, then a line each of the cause, an
/// example and the cure. An example is a line for a shell in a checkout, or a sentence that starts with `Rust:`.
const INDEX: &str = include_str!("errors.txt");

/// A kind of error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    code: &'static str,
    title: &'static str,
    cause: &'static str,
    example: &'static str,
    cure: &'static str,
}

/// Prints the entry of a code, or a line for each.
pub(crate) fn run(code: Option<&str>, output: Output) -> Result<(), Failure> {
    let Some(code) = code else {
        let all: Vec<Entry> = entries().collect();
        let rows: Vec<_> = all.iter().map(|entry| vec![format!("{}  {}", entry.code, entry.title)]).collect();
        return output.data(&all, || table(&rows));
    };
    let digits = code.trim_start_matches(['N', 'W', 'n', 'w']);
    let Some(entry) = entries().find(|entry| digits.len() == 4 && entry.code.ends_with(digits)) else {
        let text = format!("`{code}` is not the code of an error\n  help: `netwright error` lists the codes");
        return Err(Misuse::Code.failure(text));
    };
    let Entry { code, title, cause, example, cure } = entry;
    output.data(&[&entry], || format!("{code}: {title}\n\n{cause}\n\nexample: {example}\n\nhelp: {cure}\n"))
}

/// Returns what helps against an error.
pub(crate) fn cure(code: Code) -> Option<&'static str> {
    let code = code.to_string();
    entries().find(|entry| entry.code == code).map(|entry| entry.cure)
}

/// Returns a cure as the rest of a line, which starts with a small letter unless with a name.
pub(crate) fn as_help(cure: &str) -> String {
    let mut letters = cure.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            format!("{}{}", first.to_lowercase(), &cure[first.len_utf8()..])
        }
        _ => cure.to_owned(),
    }
}

fn entries() -> impl Iterator<Item = Entry> {
    INDEX.split("\n\n").filter_map(entry)
}

fn entry(text: &'static str) -> Option<Entry> {
    let mut lines = text.trim_end().lines();
    let (code, title) = lines.next()?.split_once(' ')?;
    let mut part = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(": ");
    Some(Entry { code, title, cause: part("cause")?, example: part("example")?, cure: part("cure")? })
}

#[cfg(test)]
mod tests {
    use super::{INDEX, entries};

    #[test]
    fn every_code_has_an_entry_with_all_parts() {
        let codes: Vec<&str> = entries().map(|entry| entry.code).collect();
        let headings: Vec<&str> = INDEX.lines().filter_map(|line| line.strip_prefix("NW")?.get(..4)).collect();
        assert_eq!(codes, headings.iter().map(|digits| format!("NW{digits}")).collect::<Vec<_>>());
        assert!(codes.is_sorted(), "the entries are in the order of their codes");
    }
}
