//! Times as `strftime` of Python formats them.

use std::time::{SystemTime, UNIX_EPOCH};

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

/// Formats a time in UTC as `strftime` does in the C locale; directives that do not exist stay as they are.
pub(super) fn strftime(format: &str, time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = Moment::new(since.as_secs(), since.subsec_micros());
    let mut text = String::new();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        text.push_str(&rest[..start]);
        let directive = &rest[start..];
        let flagged = directive[1..].trim_start_matches(['-', '_', '0']);
        let flag = directive[1..directive.len() - flagged.len()].chars().next_back();
        let Some(letter) = flagged.chars().next() else {
            rest = directive;
            break;
        };
        let length = directive.len() - flagged.len() + letter.len_utf8();
        match moment.field(letter) {
            Some(Field::Number(number, width, fill)) => text.push_str(&padded(number, width, flag.unwrap_or(fill))),
            Some(Field::Text(own)) => text.push_str(&own),
            Some(Field::Format(format)) => text.push_str(&strftime(format, time)),
            None => text.push_str(&directive[..length]),
        }
        rest = &directive[length..];
    }
    text + rest
}

/// What stands for a directive.
enum Field {
    /// A number, the width that it is filled to, and with what: `0`, `_` for spaces, or `-` for nothing.
    Number(u64, usize, char),
    Text(String),
    /// Other directives.
    Format(&'static str),
}

fn padded(number: u64, width: usize, fill: char) -> String {
    match fill {
        '-' => number.to_string(),
        '_' => format!("{number:width$}"),
        _ => format!("{number:0width$}"),
    }
}

/// The parts of a time.
struct Moment {
    seconds: u64,
    micros: u32,
    year: u64,
    month: u64,
    day: u64,
    /// The days after the first one of the year, and after the last Sunday.
    day_of_year: u64,
    weekday: u64,
}

impl Moment {
    fn new(seconds: u64, micros: u32) -> Self {
        let days = seconds / 86_400;
        let (year, month, day) = date(days);
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let before = usize::try_from(month - 1).ok().and_then(|at| before.get(at)).copied().unwrap_or_default();
        let day_of_year = before + u64::from(is_leap && month > 2) + day - 1;
        Self { seconds, micros, year, month, day, day_of_year, weekday: (days + 4) % 7 }
    }

    fn field(&self, letter: char) -> Option<Field> {
        let name = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at)).copied();
        let weekday = name(&DAYS, self.weekday).unwrap_or_default();
        let month = name(&MONTHS, self.month - 1).unwrap_or_default();
        let hour = self.seconds / 3600 % 24;
        let two = |number| Field::Number(number, 2, '0');
        let text = |text: &str| Field::Text(text.to_owned());
        Some(match letter {
            'Y' => Field::Number(self.year, 1, '0'),
            'C' => two(self.year / 100),
            'y' => two(self.year % 100),
            'm' => two(self.month),
            'd' => two(self.day),
            'e' => Field::Number(self.day, 2, '_'),
            'j' => Field::Number(self.day_of_year + 1, 3, '0'),
            'H' => two(hour),
            'k' => Field::Number(hour, 2, '_'),
            'I' => two((hour + 11) % 12 + 1),
            'l' => Field::Number((hour + 11) % 12 + 1, 2, '_'),
            'M' => two(self.seconds / 60 % 60),
            'S' => two(self.seconds % 60),
            's' => Field::Number(self.seconds, 1, '0'),
            'f' => Field::Text(format!("{:06}", self.micros)),
            'w' => Field::Number(self.weekday, 1, '0'),
            'u' => Field::Number((self.weekday + 6) % 7 + 1, 1, '0'),
            'U' => two((self.day_of_year + 7 - self.weekday) / 7),
            'W' => two((self.day_of_year + 7 - (self.weekday + 6) % 7) / 7),
            'V' => two(self.week().1),
            'G' => Field::Number(self.week().0, 1, '0'),
            'g' => two(self.week().0 % 100),
            'p' => text(if hour < 12 { "AM" } else { "PM" }),
            'P' => text(if hour < 12 { "am" } else { "pm" }),
            'A' => text(weekday),
            'a' => text(&weekday[..3]),
            'B' => text(month),
            'b' | 'h' => text(&month[..3]),
            // A time without a zone has no name and no offset of one.
            'Z' | 'z' => text(""),
            'n' => text("\n"),
            't' => text("\t"),
            '%' => text("%"),
            'c' => Field::Format("%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => Field::Format("%m/%d/%y"),
            'F' => Field::Format("%Y-%m-%d"),
            'R' => Field::Format("%H:%M"),
            'r' => Field::Format("%I:%M:%S %p"),
            'T' | 'X' => Field::Format("%H:%M:%S"),
            _ => return None,
        })
    }

    /// Returns the year and the number of the week of ISO 8601: weeks start on Mondays and belong to the year of their
    /// Thursday.
    fn week(&self) -> (u64, u64) {
        // Never before 1969, for times start in 1970.
        let thursday = self.seconds / 86_400 + 3 - (self.weekday + 6) % 7;
        let thursday = Self::new(thursday * 86_400, 0);
        (thursday.year, thursday.day_of_year / 7 + 1)
    }
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
        assert_eq!(strftime("%d %b %y %Q %% %-", UNIX_EPOCH), "01 Jan 70 %Q % %-");
        // Against Python, in UTC.
        let time = UNIX_EPOCH + Duration::from_micros(1_704_618_005_000_042);
        for (format, expected) in [
            ("%j %U %W %V %G %g %u %w %C", "007 01 01 01 2024 24 7 0 20"),
            ("%-d %e %-m %_H %k %l %-I %P", "7  7 1  9  9  9 9 am"),
            (
                "%c|%D|%F|%R|%r|%T|%x|%X",
                "Sun Jan  7 09:00:05 2024|01/07/24|2024-01-07|09:00|09:00:05 AM|09:00:05|01/07/24|09:00:05",
            ),
            ("%s %f%Z%z%n%t%h", "1704618005 000042\n\tJan"),
        ] {
            assert_eq!(strftime(format, time), expected, "{format}");
        }
        let time = UNIX_EPOCH + Duration::from_hours(447_072);
        assert_eq!(strftime("%a %G-W%V %U %W", time), "Fri 2020-W53 00 00");
    }
}
