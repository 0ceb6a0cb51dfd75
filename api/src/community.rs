use std::fmt;
use std::str::FromStr;

use cairn_net::serde_as_text;
use thiserror::Error;

/// A BGP community: standard `aa:nn` (RFC 1997) or large `aa:nn:mm` (RFC 8092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// Two numbers of 0 to 65535.
    Standard(u16, u16),
    /// Three numbers of 0 to 4294967295.
    Large(u32, u32, u32),
}

/// A text that is no community.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid community: aa:nn of 0 to 65535, or aa:nn:mm of 0 to 4294967295")]
pub struct CommunityError {
    value: String,
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(a, b) => write!(f, "{a}:{b}"),
            Self::Large(a, b, c) => write!(f, "{a}:{b}:{c}"),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        let mut parts = text.splitn(4, ':');
        let parsed = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), None, None) => number(a).zip(number(b)).map(|(a, b)| Self::Standard(a, b)),
            (Some(a), Some(b), Some(c), None) => {
                number(a).zip(number(b)).zip(number(c)).map(|((a, b), c)| Self::Large(a, b, c))
            }
            _ => None,
        };
        parsed.ok_or_else(|| CommunityError { value: text.chars().take(64).collect() })
    }
}

serde_as_text!(Community, "a community such as 65000:100");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_their_text() {
        for text in ["0:0", "65535:666", "4200000000:1:4294967295"] {
            assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "65536:1", "1:2:3:4", "+1:2", "a:b", "1:", "1:2:4294967296"] {
            assert!(bad.parse::<Community>().is_err(), "{bad}");
        }
    }
}
