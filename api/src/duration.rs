use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use cairn_net::serde_as_text;
use thiserror::Error;

/// A duration as Kubernetes writes it: `90s`, `1m30s`, `250ms`.
///
/// Range: 0 to 10,000 hours, whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(Duration);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid duration: whole numbers with h, m, s or ms, such as 1m30s, up to 10000h")]
pub struct DurationError {
    value: String,
}

const MAX: Duration = Duration::from_secs(36_000_000);

impl GoDuration {
    /// From a duration; cut to the range and to whole milliseconds.
    pub fn new(duration: Duration) -> Self {
        let duration = duration.min(MAX);
        Self(duration - Duration::from_nanos(u64::from(duration.subsec_nanos() % 1_000_000)))
    }

    /// The value.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let parts =
            [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis.into(), "ms")];
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
        let millis: u64 = match rest.get(..unit)? {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        rest = rest.get(unit..)?;
        total = total.checked_add(Duration::from_millis(count.checked_mul(millis)?))?;
    }
    (total <= MAX).then_some(total)
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self).ok_or_else(|| DurationError { value: text.chars().take(64).collect() })
    }
}

serde_as_text!(GoDuration, "a duration such as 1m30s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_their_text() {
        for text in ["0s", "90ms", "1m30s", "2h", "1h1m1s1ms"] {
            let duration: GoDuration = text.parse().unwrap();
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("120s".parse::<GoDuration>().unwrap().get(), Duration::from_secs(120));
        for bad in ["", "1", "s", "-1s", "1.5s", "1d", "99999999999999999999h", "10001h", "1 s"] {
            assert!(bad.parse::<GoDuration>().is_err(), "{bad}");
        }
    }
}
