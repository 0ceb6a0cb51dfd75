use std::fmt;
use std::str::FromStr;

use cairn_net::{Asn, ParseError};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::AsPathRegex;

/// A pattern that a whole AS_PATH must match, read from the nearest AS to the originating one.
///
/// Text: tokens with blanks between them: an AS number, a range `64512-65534`, `?` for any one AS, `*` for any number
/// of them (none included). `* 65001` are the routes that AS 65001 originated, `65001 *` those that came through it as
/// the neighbouring AS, the empty text those with an empty path. A member of an AS_SET counts as one AS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsPathPattern(pub Vec<AsPathToken>);

/// One token of an [`AsPathPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsPathToken {
    /// One AS of this range, both ends included.
    Range(Asn, Asn),
    /// Any number of ASes, none included.
    Any,
}

impl AsPathToken {
    /// Any one AS.
    pub const ONE: Self = Self::Range(Asn(0), Asn(u32::MAX));
}

impl fmt::Display for AsPathToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            token if *token == Self::ONE => f.write_str("?"),
            Self::Range(low, high) if low == high => write!(f, "{low}"),
            Self::Range(low, high) => write!(f, "{low}-{high}"),
        }
    }
}

impl FromStr for AsPathToken {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match (text, text.split_once('-')) {
            ("*", _) => Ok(Self::Any),
            ("?", _) => Ok(Self::ONE),
            (_, None) => text.parse().map(|asn| Self::Range(asn, asn)),
            (_, Some((low, high))) => {
                let (low, high) = (low.parse()?, high.parse()?);
                if low <= high {
                    Ok(Self::Range(low, high))
                } else {
                    Err(ParseError {
                        what: "range of AS numbers",
                        value: text.chars().take(64).collect(),
                        rule: "the lower end must come first",
                    })
                }
            }
        }
    }
}

impl Serialize for AsPathToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AsPathToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "an AS number or a range such as 64512-65534")
    }
}

/// An entry of an AS path set: a pattern, or `{regex: EXPRESSION}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsPathEntry {
    /// Tokens that the whole path must match.
    Pattern(AsPathPattern),
    /// An expression over its text.
    Regex(AsPathRegex),
}

impl From<AsPathPattern> for AsPathEntry {
    fn from(pattern: AsPathPattern) -> Self {
        Self::Pattern(pattern)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexFields {
    regex: AsPathRegex,
}

impl Serialize for AsPathEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pattern(pattern) => pattern.serialize(serializer),
            Self::Regex(regex) => RegexFields { regex: regex.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AsPathEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = AsPathEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AS path pattern such as \"65001 * 65002\", or a map with regex")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AsPathEntry, E> {
                text.parse().map(AsPathEntry::Pattern).map_err(E::custom)
            }
            // A lone AS number.
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<AsPathEntry, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<AsPathEntry, A::Error> {
                RegexFields::deserialize(MapAccessDeserializer::new(map))
                    .map(|fields| AsPathEntry::Regex(fields.regex))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for AsPathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{token}")?;
        }
        Ok(())
    }
}

impl FromStr for AsPathPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Serialize for AsPathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AsPathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "an AS path pattern such as \"65001 * 65002\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_survives_its_text() {
        for text in ["", "65001", "* 65001", "65001 ? *", "64512-65534 *"] {
            assert_eq!(text.parse::<AsPathPattern>().unwrap().to_string(), text);
        }
        for bad in ["x", "5-3", "1-", "-1", "**"] {
            assert!(bad.parse::<AsPathPattern>().is_err(), "{bad}");
        }
    }
}
