use std::fmt;
use std::fmt::Write;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The names of files that follow each other: a text with the time of their begin in it.
///
/// `%Y %m %d %H %M %S` are year, month, day, hour, minute and second of UTC, `%s` the seconds since 1970-01-01 UTC, `%%` is a percent sign.
/// Range: 1 to 100 characters, letters, digits, `-`, `_`, `.` and these, the first one no dot, with a time in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(char),
    /// Year, month, day, hour, minute or second.
    Field(char),
    SinceEpoch,
}

/// A text that is no [`FilePattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{value:?} is not a valid file name: 1 to 100 letters, digits, '-', '_' and '.', the first one no dot, with a time in it made of %Y, %m, %d, %H, %M, %S or %s"
)]
pub struct FilePatternError {
    /// The offending text, cut to 100 characters.
    pub value: String,
}

impl FilePattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn known(text: &str) -> Self {
        text.parse().expect("a pattern of this program is valid")
    }

    /// The name of a file that begins this many seconds after 1970-01-01 UTC.
    pub fn render(&self, seconds: u64) -> String {
        let day = i64::try_from(seconds / 86400).unwrap_or(i64::MAX / 2);
        let (year, month, day) = civil(day);
        let of_day = seconds % 86400;
        let mut name = String::new();
        for part in &self.parts {
            // Writing to a text does not fail.
            let _ = match part {
                Part::Text(c) => write!(name, "{c}"),
                Part::SinceEpoch => write!(name, "{seconds}"),
                Part::Field('Y') => write!(name, "{year:04}"),
                Part::Field('m') => write!(name, "{month:02}"),
                Part::Field('d') => write!(name, "{day:02}"),
                Part::Field('H') => write!(name, "{:02}", of_day / 3600),
                Part::Field('M') => write!(name, "{:02}", of_day / 60 % 60),
                Part::Field(_) => write!(name, "{:02}", of_day % 60),
            };
        }
        name
    }

    /// Can the name be that of a file of this pattern?
    pub fn matches(&self, name: &str) -> bool {
        fn digits(text: &str, count: usize) -> Option<&str> {
            let (head, rest) = text.split_at_checked(count)?;
            head.bytes().all(|b| b.is_ascii_digit()).then_some(rest)
        }
        let end = self.parts.iter().try_fold(name, |rest, part| match part {
            Part::Text(c) => rest.strip_prefix(*c),
            Part::Field('Y') => digits(rest, 4),
            Part::Field(_) => digits(rest, 2),
            Part::SinceEpoch => {
                let count = rest.bytes().take_while(u8::is_ascii_digit).count();
                (count > 0).then(|| rest.get(count..)).flatten()
            }
        });
        end == Some("")
    }
}

/// Year, month and day of a day that is counted from 1970-01-01, in the Gregorian calendar: 146097 days are 400 years, and the
/// year begins in March here, so that the leap day is its last one.
fn civil(day: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

impl FromStr for FilePattern {
    type Err = FilePatternError;

    fn from_str(text: &str) -> Result<Self, FilePatternError> {
        let refused = || FilePatternError { value: text.chars().take(100).collect() };
        let (mut parts, mut rest) = (Vec::new(), text.chars());
        while let Some(c) = rest.next() {
            parts.push(match c {
                '%' => match rest.next() {
                    Some('%') => Part::Text('%'),
                    Some('s') => Part::SinceEpoch,
                    Some(field @ ('Y' | 'm' | 'd' | 'H' | 'M' | 'S')) => Part::Field(field),
                    _ => return Err(refused()),
                },
                c if c.is_ascii_alphanumeric() || "-_.".contains(c) => Part::Text(c),
                _ => return Err(refused()),
            });
        }
        let timed = parts.iter().any(|part| !matches!(part, Part::Text(_)));
        if text.len() <= 100 && timed && !text.starts_with('.') {
            Ok(Self { text: text.to_owned(), parts })
        } else {
            Err(refused())
        }
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for FilePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for FilePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a file name with a time in it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_time_of_utc_and_are_known_again() {
        let pattern: FilePattern = "rib-%Y%m%d.%H%M%S_%s%%.mrt".parse().unwrap();
        for (seconds, expected) in [
            (0, "rib-19700101.000000_0%.mrt"),
            (951_782_399, "rib-20000228.235959_951782399%.mrt"),
            (951_782_400, "rib-20000229.000000_951782400%.mrt"),
            (1_700_000_000, "rib-20231114.221320_1700000000%.mrt"),
            (4_107_542_400, "rib-21000301.000000_4107542400%.mrt"),
        ] {
            let name = pattern.render(seconds);
            assert_eq!(name, expected);
            assert!(pattern.matches(&name), "{name}");
        }
        for other in
            ["rib-19700101.000000_0%.mr", "rib-1970010x.000000_0%.mrt", "rib-19700101.000000_%.mrt", ""]
        {
            assert!(!pattern.matches(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_name_or_has_no_time_is_refused() {
        for text in ["", "rib.mrt", "../%Y", ".%Y", "%Y/%m", "%y", "%", "rib %Y", "%Y\n"] {
            assert!(text.parse::<FilePattern>().is_err(), "{text:?}");
        }
        assert!(format!("%Y{}", "a".repeat(98)).parse::<FilePattern>().is_ok());
        assert!(format!("%Y{}", "a".repeat(99)).parse::<FilePattern>().is_err());
    }
}
