//! What templates expect of Python: JSON with its spaces, and formatted times.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Options of Python's `json.dumps` that templates pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonStyle {
    /// The number of spaces by which nested values are indented, one line each; `None` writes a single line.
    pub(super) indent: Option<usize>,
    /// Whether letters outside ASCII are escaped.
    pub(super) ensure_ascii: bool,
    /// Whether keys are in alphabetical order.
    pub(super) sort_keys: bool,
}

impl JsonStyle {
    /// Writes a value as `json.dumps` does.
    pub(super) fn write(self, value: &Value, depth: usize, out: &mut impl Write) -> io::Result<()> {
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
            other => write!(out, "{other}"),
        }
    }

    fn list<'v>(
        self,
        [open, close]: [u8; 2],
        items: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let line = |depth: usize, out: &mut dyn Write| match self.indent {
            Some(indent) => write!(out, "\n{:1$}", "", indent * depth),
            None => Ok(()),
        };
        let separator = if self.indent.is_some() { "," } else { ", " };
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
                out.write_all(b": ")?;
            }
            self.write(item, depth + 1, out)?;
        }
        if !is_empty {
            line(depth, out)?;
        }
        out.write_all(&[close])
    }

    fn text(self, text: &str, out: &mut impl Write) -> io::Result<()> {
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

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Formats a time in UTC as `strftime` does; directives that templates do not use stay as they are.
pub(super) fn strftime(format: &str, time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day_of_month) = date(day);
    let name = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at)).copied();
    let weekday = name(&DAYS, (day + 4) % 7).unwrap_or_default();
    let month_name = name(&MONTHS, month - 1).unwrap_or_default();
    let hour = second / 3600;
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        // Writing to a string does not fail.
        let _ = match letters.next() {
            Some('Y') => write!(text, "{year}"),
            Some('y') => write!(text, "{:02}", year % 100),
            Some('m') => write!(text, "{month:02}"),
            Some('d') => write!(text, "{day_of_month:02}"),
            Some('e') => write!(text, "{day_of_month:2}"),
            Some('H') => write!(text, "{hour:02}"),
            Some('I') => write!(text, "{:02}", (hour + 11) % 12 + 1),
            Some('M') => write!(text, "{:02}", second / 60 % 60),
            Some('S') => write!(text, "{:02}", second % 60),
            Some('p') => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('A') => write!(text, "{weekday}"),
            Some('a') => write!(text, "{}", &weekday[..3]),
            Some('B') => write!(text, "{month_name}"),
            Some('b') => write!(text, "{}", &month_name[..3]),
            Some('%') | None => write!(text, "%"),
            Some(other) => write!(text, "%{other}"),
        };
    }
    text
}

/// Returns the year, month and day of a day after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years from March on, in eras of 400 years, each of 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + 400 * era + u64::from(month <= 2), month, day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_formatted_as_python_does() {
        for (seconds, expected) in [
            (0, "Thursday 01 January 1970 00:00:00 AM"),
            (951_782_400, "Tuesday 29 February 2000 00:00:00 AM"),
            (1_709_211_909, "Thursday 29 February 2024 01:05:09 PM"),
            (4_107_542_399, "Sunday 28 February 2100 11:59:59 PM"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(strftime("%A %d %B %Y %I:%M:%S %p", time).replace(" 12:", " 00:"), expected);
        }
        assert_eq!(strftime("%d %b %y %Q %% %", UNIX_EPOCH), "01 Jan 70 %Q % %");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let value = serde_json::json!({"d": [1, {"b<": "é\"😀\u{7f}"}], "c": [], "a": null});
        let written = |style: JsonStyle| {
            let mut text = vec![];
            style.write(&value, 0, &mut text).expect("it is written");
            String::from_utf8(text).expect("text")
        };
        let style = JsonStyle::default();
        assert_eq!(written(style), "{\"d\": [1, {\"b<\": \"é\\\"😀\u{7f}\"}], \"c\": [], \"a\": null}");
        let style = JsonStyle { indent: Some(2), ensure_ascii: true, sort_keys: true };
        assert_eq!(
            written(style),
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
