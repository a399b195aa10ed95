//! `netwright error`: the index of errors.

use crate::failure::{Failure, Misuse};
use crate::output::{Output, table};
use netwright::files::Code;
use schemars::JsonSchema;
use serde::Serialize;

/// The entries, in the order of their codes: one line each for the code, the cause, an example and the cure.
/// An example is a line for a shell in a checkout, or a sentence that starts with `Rust:`.
const INDEX: &str = include_str!("errors.txt");

const _: () = assert!(has_all(INDEX.as_bytes()), "errors.txt must have one entry for each `Code`, in their order");

/// Returns whether an index has one entry for each code, in their order.
const fn has_all(index: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    while at + 6 < index.len() {
        let is_start = at == 0 || index[at - 1] == b'\n';
        if is_start && index[at] == b'N' && index[at + 1] == b'W' {
            let mut number = 0;
            let mut digit = at + 2;
            while digit < at + 6 {
                number = number * 10 + index[digit].wrapping_sub(b'0') as u16;
                digit += 1;
            }
            if next == Code::ALL.len() || Code::ALL[next].number() != number || index[at + 6] != b'\n' {
                return false;
            }
            next += 1;
        }
        at += 1;
    }
    next == Code::ALL.len()
}

/// A kind of error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    code: String,
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
    let Entry { code, title, cause, example, cure } = &entry;
    output.data(&[&entry], || format!("{code}: {title}\n\n{cause}\n\nexample: {example}\n\nhelp: {cure}\n"))
}

/// Returns what helps against an error.
pub(crate) fn cure(code: Code) -> Option<&'static str> {
    let index = Code::ALL.iter().position(|other| *other == code)?;
    entries().nth(index).map(|entry| entry.cure)
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
    Code::ALL.iter().zip(INDEX.split("\n\n")).filter_map(|(code, text)| entry(*code, text))
}

fn entry(code: Code, text: &'static str) -> Option<Entry> {
    let mut lines = text.trim_end().lines().skip(1);
    let mut part = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(": ");
    let (code, title) = (code.to_string(), code.title());
    Some(Entry { code, title, cause: part("cause")?, example: part("example")?, cure: part("cure")? })
}

#[cfg(test)]
mod tests {
    use super::{Code, INDEX, entries, has_all};

    #[test]
    fn every_entry_has_all_parts() {
        assert_eq!(entries().count(), Code::ALL.len());
        assert!(Code::ALL.is_sorted(), "the codes are in the order of their numbers");
    }

    #[test]
    fn an_index_that_lacks_a_code_is_refused() {
        for (entry, other) in [
            ("NW0102\n", ""),
            ("NW0102\n", "NW0102 A title\n"),
            ("NW0102\n", "NW0103\n"),
            ("NW0101\n", "NW0101\n\nNW0101\n"),
            ("NW1016\n", "NW1016\n\nNW1017\n"),
        ] {
            assert!(!has_all(INDEX.replace(entry, other).as_bytes()), "{entry:?} becomes {other:?}");
        }
    }
}
