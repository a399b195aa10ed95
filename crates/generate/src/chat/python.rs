//! What templates expect of Python: JSON with its spaces, and formatted times.

use serde_json::Value;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes a value as `json.dumps(value, ensure_ascii=False, indent=indent)`.
pub(super) fn json(value: &Value, indent: Option<usize>) -> String {
    let mut text = String::new();
    write(value, indent, 0, &mut text);
    text
}

fn write(value: &Value, indent: Option<usize>, depth: usize, text: &mut String) {
    let line = |depth: usize| indent.map(|indent| format!("\n{}", " ".repeat(indent * depth)));
    let separator = if indent.is_some() { "," } else { ", " };
    let mut list = |open: char, close: char, items: &mut dyn Iterator<Item = (Option<&String>, &Value)>| {
        text.push(open);
        let mut is_empty = true;
        for (key, item) in items {
            if !is_empty {
                text.push_str(separator);
            }
            is_empty = false;
            text.push_str(&line(depth + 1).unwrap_or_default());
            if let Some(key) = key {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push_str(": ");
            }
            write(item, indent, depth + 1, text);
        }
        if !is_empty {
            text.push_str(&line(depth).unwrap_or_default());
        }
        text.push(close);
    };
    match value {
        Value::Array(items) => list('[', ']', &mut items.iter().map(|item| (None, item))),
        Value::Object(items) => list('{', '}', &mut items.iter().map(|(key, item)| (Some(key), item))),
        other => text.push_str(&other.to_string()),
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
    fn json_has_the_spaces_of_python() {
        let value = serde_json::json!({"a": [1, {"b<": "é\""}], "c": [], "d": null});
        assert_eq!(json(&value, None), r#"{"a": [1, {"b<": "é\""}], "c": [], "d": null}"#);
        let indented =
            "{\n  \"a\": [\n    1,\n    {\n      \"b<\": \"é\\\"\"\n    }\n  ],\n  \"c\": [],\n  \"d\": null\n}";
        assert_eq!(json(&value, Some(2)), indented);
    }
}
