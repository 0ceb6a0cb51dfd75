use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_net::serde_as_text;
use thiserror::Error;

/// A moment in UTC, to the second: `2026-11-21T10:00:00Z` (RFC 3339).
///
/// Range: years 1970 to 9999. Reading accepts fractions of a second and drops them, and an offset other than `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid time: RFC 3339, such as 2026-11-21T10:00:00Z, from 1970 to 9999")]
pub struct TimestampError {
    value: String,
}

const MAX: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z

impl Timestamp {
    /// From seconds since 1970, cut to the range.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(if seconds > MAX { MAX } else { seconds })
    }

    /// Seconds since 1970.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// The time from the earlier moment to this one; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of a year; an era has 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (year + era * 400, month, day)
}

/// The reverse of [`civil`]; the month is 1 to 12.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    (year / 400 * 146_097 + of_era).checked_sub(719_468)
}

fn number(text: Option<&str>, max: u64) -> Option<u64> {
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|number| *number <= max)
}

fn parse(text: &str) -> Option<Timestamp> {
    let rest = text.get(19..)?;
    let separators = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':')];
    if separators.iter().any(|(at, byte)| text.get(*at..=*at) != Some(byte.encode_utf8(&mut [0; 4]))) {
        return None;
    }
    let (year, month, day) =
        (number(text.get(..4), 9999)?, number(text.get(5..7), 12)?, number(text.get(8..10), 31)?);
    let day_number = days(year, month.max(1), day)?;
    if civil(day_number) != (year, month, day) {
        return None;
    }
    let hour = number(text.get(11..13), 23)?;
    let minute = number(text.get(14..16), 59)?;
    let second = number(text.get(17..19), 60)?.min(59);
    let seconds = day_number * 86_400 + hour * 3600 + minute * 60 + second;
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let seconds = match offset.as_bytes() {
        [b'Z'] => seconds,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let ahead = number(offset.get(1..3), 23)? * 3600 + number(offset.get(4..6), 59)? * 60;
            if *sign == b'+' { seconds.checked_sub(ahead)? } else { seconds + ahead }
        }
        _ => return None,
    };
    (seconds <= MAX).then_some(Timestamp(seconds))
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text).ok_or_else(|| TimestampError { value: text.chars().take(64).collect() })
    }
}

serde_as_text!(Timestamp, "a time such as 2026-11-21T10:00:00Z");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_their_text() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_255_200, "2026-11-21T10:00:00Z"),
            (MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_unix(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_unix(seconds)));
        }
        assert_eq!("2026-11-21T11:00:00.123456+01:00".parse(), Ok(Timestamp::from_unix(1_795_255_200)));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "2026-11-21",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:00:00",
            "1969-12-31T23:59:59Z",
            "2026-11-21T10:00:0é0Z",
            "+026-11-21T10:00:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
