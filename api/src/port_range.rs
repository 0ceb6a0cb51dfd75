use std::fmt;
use std::str::FromStr;

use cairn_net::serde_as_text;
use thiserror::Error;

/// A range of ports as `first:last`, both within; a single port is a range of one. Range: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A text that is no range of ports.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid range of ports: first:last, 1 to 65535 and ascending, such as 32768:65535")]
pub struct PortRangeError {
    value: String,
}

impl PortRange {
    /// The lowest port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub const fn last(self) -> u16 {
        self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let port = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten().filter(|port| *port > 0)
        };
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(PortRangeError { value: text.chars().take(64).collect() }),
        }
    }
}

serde_as_text!(PortRange, "a range of ports such as 32768:65535");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_ascending_and_has_no_port_0() {
        let range: PortRange = "32768:65535".parse().unwrap();
        assert_eq!(
            (range.first(), range.last(), range.to_string()),
            (32768, 65535, "32768:65535".to_owned())
        );
        assert_eq!("80".parse::<PortRange>().unwrap().to_string(), "80:80");
        for wrong in ["", ":", "0:9", "9:8", "1:65536", "1-9", "+1:9", " 1:2", "1:2:3"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }
}
