//! Printing: data, reports, warnings and tables.

use crate::failure::{Failure, Misuse};
use crate::spinner::Spinner;
use crate::vocabulary;
use netwright::ir::Name;
use netwright::passes::Event;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// The global flags, and the model that warnings are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'o> {
    /// Print only errors and requested data.
    pub(crate) quiet: bool,
    /// Print every rewrite.
    pub(crate) verbose: bool,
    /// Print data as JSON.
    pub(crate) json: bool,
    /// The model that is named in warnings, if there are several.
    pub(crate) model: Option<&'o Path>,
}

impl Output<'_> {
    /// Prints requested data, as JSON with `--json` and otherwise as text, in which long names are cut.
    pub(crate) fn data(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        self.exact(json, || cut_words(&text()))
    }

    /// Prints data like [`Self::data`], with whole names.
    pub(crate) fn exact(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(json).map_err(io::Error::from)?;
            // serde_json escapes only some control characters; JSON strings may escape all.
            return write_out(&escape_control(&text, |c| format!("\\u{:04x}", u32::from(c))));
        }
        write_out(&escaped_text(&text()))
    }

    /// Prints data like [`Self::data`], of which the text is what a model wrote.
    pub(crate) fn generated(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.data(json, text) } else { write_out(&shown(&text())) }
    }

    /// Prints what a command did, unless `--quiet` is given.
    pub(crate) fn report(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { self.data(json, text) }
    }

    /// Like [`Self::report`] for text that is escaped already, because it is styled.
    pub(crate) fn styled_report(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.quiet || self.json { self.report(json, String::new) } else { write_out(&text()) }
    }

    /// Prints additional text, such as a diff; with `--json` it goes to standard error, apart from the data.
    pub(crate) fn aside(self, text: &str) -> Result<(), Failure> {
        if self.json {
            write!(io::stderr(), "{}", escaped_text(text))?;
            return Ok(());
        }
        write_out(&escaped_text(text))
    }

    /// Warns of patterns that keep nothing in `f32`.
    pub(crate) fn idle_patterns(self, patterns: &[String]) -> Result<(), Failure> {
        patterns.iter().try_for_each(|pattern| {
            self.warn(&format!(
                "--keep-f32 '{pattern}' keeps nothing in f32: what it matches was fused or replaced before"
            ))
        })
    }

    /// Warns that the model shared its KV cache before, as the attention with this name shows.
    pub(crate) fn shared_before(self, attention: Option<&Name>) -> Result<(), Failure> {
        attention.map_or(Ok(()), |name| {
            self.warn(&format!(
                "--kv-cache shared changes nothing: the model has a shared KV cache already, that of %{name}"
            ))
        })
    }

    /// Prints a warning, unless `--quiet` is given.
    pub(crate) fn warn(self, text: &str) -> Result<(), Failure> {
        if !self.quiet {
            let model = self.model.map_or_else(String::new, |model| format!("{}: ", in_line(model)));
            writeln!(io::stderr(), "warning: {}", printable(&(model + text)))?;
        }
        Ok(())
    }

    /// Prints what a command chose to standard error, unless `--quiet` is given.
    pub(crate) fn note(self, text: &str) -> Result<(), Failure> {
        if !self.quiet {
            writeln!(io::stderr(), "{}", printable(text))?;
        }
        Ok(())
    }

    /// With `--verbose`, prints every applied rewrite to standard error.
    pub(crate) fn rewrites(self, applied: &[Event]) -> Result<(), Failure> {
        if self.verbose {
            let mut out = io::stderr().lock();
            applied.iter().try_for_each(|event| writeln!(out, "{}", printable(&event.to_string())))?;
        }
        Ok(())
    }

    /// Shows a spinner on a terminal for work that takes over a second, until the result is dropped; none with `--quiet` or
    /// `--json`, or for one of several models.
    pub(crate) fn spinner(self, message: &'static str) -> Spinner {
        Spinner::new(message, !self.quiet && !self.json && self.model.is_none() && io::stderr().is_terminal())
    }
}

/// Returns whether the environment asks for text without colors.
pub(crate) fn is_plain() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Styles text for a terminal, after it is escaped; elsewhere text stays as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Returns the styles of standard output.
    pub(crate) fn of_stdout() -> Self {
        Self(io::stdout().is_terminal() && !is_plain())
    }

    /// Returns text in a style.
    pub(crate) fn styled(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
            Style::Plain => return text.to_owned(),
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A style of text on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Plain,
    Bold,
    Green,
    Yellow,
    Cyan,
}

/// Escapes characters that move the cursor, color the terminal or change the text direction, and cuts long names: names
/// in a model may have any character and any length.
pub(crate) fn printable(text: &str) -> String {
    escaped_text(&cut_words(text))
}

fn escaped_text(text: &str) -> String {
    escape_control(text, |c| c.escape_unicode().to_string())
}

/// The number of characters to which a word is cut.
const LONGEST_WORD: usize = 400;

/// Replaces the middle of each long word by `…`.
fn cut_words(text: &str) -> String {
    let cut = |word: &str| match word.char_indices().nth(LONGEST_WORD) {
        Some(_) => {
            let from = |at: usize| word.char_indices().nth(at).map_or(word.len(), |(at, _)| at);
            let count = word.chars().count();
            format!("{}…{}", &word[..from(LONGEST_WORD * 2 / 3)], &word[from(count - LONGEST_WORD / 3)..])
        }
        None => word.to_owned(),
    };
    text.split_inclusive(char::is_whitespace).map(cut).collect()
}

/// Returns a text that a model wrote for standard output: with marks of the text direction, and for a terminal without
/// the characters that it obeys.
pub(crate) fn shown(text: &str) -> String {
    if io::stdout().is_terminal() {
        escaped(text, is_obeyed, |c| c.escape_unicode().to_string())
    } else {
        text.to_owned()
    }
}

/// Returns a path as text on one line.
pub(crate) fn in_line(path: &Path) -> String {
    path.to_string_lossy().replace('\n', "\\n")
}

fn escape_control(text: &str, escape: impl Fn(char) -> String) -> String {
    let is_direction = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    escaped(text, |c| is_obeyed(c) || is_direction(c), escape)
}

/// Returns whether a terminal obeys a character.
fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            printable.push_str(&escape(c));
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Prints help, the version or a usage error with its code; failing to print is a failure too.
pub(crate) fn print_usage(answer: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let exit_code = u8::try_from(answer.exit_code()).unwrap_or(2);
    let misuse = match answer.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => Misuse::Unknown,
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand | ErrorKind::TooFewValues => Misuse::Missing,
        ErrorKind::ArgumentConflict => Misuse::Conflict,
        _ => Misuse::Value,
    };
    let printed = if answer.use_stderr() {
        let text = answer.render();
        let text = if io::stderr().is_terminal() && !is_plain() { text.ansi().to_string() } else { text.to_string() };
        let text = text.replacen("error:", &format!("error[{}]:", misuse.code()), 1);
        let is_value = answer.kind() == ErrorKind::ValueValidation;
        write!(io::stderr(), "{}", if is_value { vocabulary::numbers(&text) } else { text })
    } else {
        answer.print().and_then(|()| io::stdout().flush())
    };
    match printed {
        Ok(()) => ExitCode::from(exit_code),
        Err(error) => Failure::from(error).report(),
    }
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// The width at which cells of a table are cut: a model may have names of a megabyte.
const WIDEST: usize = 120;

/// Formats a table, with the first column aligned left and the others right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let cut = |cell: &String| match cell.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell.clone(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cut).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
                if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Formats rows of texts, with every column aligned left.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Formats rows of a name and a text, each with its column aligned left.
pub(crate) fn sheet(rows: &[[String; 2]]) -> String {
    let width = |row: &[String; 2]| row[0].chars().count();
    let widest = rows.iter().map(width).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let line = |[name, text]: &[String; 2]| format!("{name:widest$}  {text}").trim_end().to_owned() + "\n";
    rows.iter().map(line).collect()
}

/// Returns a number of things: `1 node`, `2 nodes`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number as u64))
}

/// Formats a number with thousands separators: `63,082,496`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_lines_that_stay() {
        let long = "name".repeat(10_000);
        let text = format!("a {long}\n  b\n");
        let shown = printable(&text);
        assert!(shown.starts_with("a namename") && shown.ends_with("namename\n  b\n"), "{shown}");
        assert_eq!(shown.matches('…').count(), 1);
        assert!(shown.chars().count() < 420, "{shown}");
        assert_eq!(printable("a b\n"), "a b\n");
    }
}
