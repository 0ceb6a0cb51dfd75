use std::fmt;
use std::str::FromStr;

use cairn_net::ParseError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BGP community: standard (RFC 1997) or large (RFC 8092).
///
/// Text: `65000:100`, a well-known name such as `no-export`, or `4200000000:1:2` for a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// Four octets: AS and value.
    Standard(u32),
    /// Three times four octets: global administrator and two parts of local meaning.
    Large(u32, u32, u32),
}

/// The well-known communities (RFC 1997, RFC 3765, RFC 7999, RFC 8326, RFC 9494).
const WELL_KNOWN: [(&str, u32); 7] = [
    ("graceful-shutdown", 0xffff_0000),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
];

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Standard(value) => match WELL_KNOWN.iter().find(|(_, known)| *known == value) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{}:{}", value >> 16, value & 0xffff),
            },
            Self::Large(global, first, second) => write!(f, "{global}:{first}:{second}"),
        }
    }
}

impl FromStr for Community {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Standard(*value));
        }
        let parts: Option<Vec<u32>> = text.split(':').take(4).map(digits).collect();
        match parts.as_deref() {
            Some(&[high, low]) if high <= 0xffff && low <= 0xffff => Ok(Self::Standard(high << 16 | low)),
            Some(&[global, first, second]) => Ok(Self::Large(global, first, second)),
            _ => Err(ParseError {
                what: "community",
                value: text.chars().take(64).collect(),
                rule: "two numbers of 0 to 65535, three of 0 to 4294967295, or a well-known name such as no-export",
            }),
        }
    }
}

/// A number without sign or blank.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Serialize for Community {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Community {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a community such as 65000:100")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_survives_its_text() {
        for text in ["65000:100", "no-export", "blackhole", "4200000000:1:2", "0:0"] {
            assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "65536:1", "1:65536", "1:2:3:4", "1:", "+1:2", "1:2:4294967296", "no-Export"] {
            assert!(bad.parse::<Community>().is_err(), "{bad}");
        }
    }
}
