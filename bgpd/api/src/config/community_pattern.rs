//! Entries of community sets.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use cairn_net::ParseError;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AttributeRegex, Community};

/// One community, or many that look alike.
///
/// Text: a community; or one with ranges or `*` in the place of numbers: `65001:100-199`, `*:666`, `65001:*:2`, `rt:65000:*`. In a map:
/// `{regex: '^65001:1..$'}`, with `kind: standard`, `large` or `extended` if it is not to look at all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommunityPattern {
    /// This one.
    Exact(Community),
    /// Standard ones whose halves lie in these ranges.
    Standard([NumberSpan; 2]),
    /// Large ones whose parts lie in these ranges.
    Large([NumberSpan; 3]),
    /// Route targets or origins whose parts lie in these ranges.
    Extended {
        /// Which.
        subtype: ExtendedSubtype,
        /// The administrator; `None`: any, of whatever kind.
        administrator: Option<Administrator>,
        /// The local number.
        number: NumberSpan,
    },
    /// Those whose text matches.
    Regex {
        /// The expression.
        regex: AttributeRegex,
        /// Only of this kind.
        kind: Option<CommunityKind>,
    },
}

/// A range of numbers, both ends included. Text: `5`, `1-9` or `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberSpan(pub u32, pub u32);

/// The administrator of an extended community.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administrator {
    /// An AS, in two octets or in four.
    As(NumberSpan),
    /// An address.
    Ipv4(Ipv4Addr),
}

/// Extended communities that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedSubtype {
    /// `rt`: route target (RFC 4360 section 4).
    RouteTarget,
    /// `ro`: route origin (RFC 4360 section 5).
    RouteOrigin,
}

/// A kind of community.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommunityKind {
    /// RFC 1997.
    Standard,
    /// RFC 8092.
    Large,
    /// RFC 4360.
    Extended,
}

impl From<Community> for CommunityPattern {
    fn from(community: Community) -> Self {
        Self::Exact(community)
    }
}

impl NumberSpan {
    fn parse(text: &str, most: u32) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().ok()).flatten().filter(|number| *number <= most)
        };
        match text.split_once('-') {
            _ if text == "*" => Some(Self(0, most)),
            None => number(text).map(|number| Self(number, number)),
            Some((low, high)) => Some(Self(number(low)?, number(high)?)).filter(|span| span.0 <= span.1),
        }
    }

    fn write(self, most: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(0, high) if high == most => f.write_str("*"),
            Self(low, high) if low == high => write!(f, "{low}"),
            Self(low, high) => write!(f, "{low}-{high}"),
        }
    }
}

/// Greatest half of a standard community.
const HALF: u32 = 0xffff;

impl FromStr for CommunityPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // `5-5:1` is `5:1`: what is written in two ways is one value.
        let one = |pattern: Self| pattern.to_string().parse().map_or(pattern, Self::Exact);
        text.parse().map(Self::Exact).ok().or_else(|| ranges(text).map(one)).ok_or_else(|| ParseError {
            what: "community",
            value: text.chars().take(64).collect(),
            rule: "two numbers of 0 to 65535, three of 0 to 4294967295, rt: or ro: with administrator and number, each of them \
                   perhaps a range 1-9 or *, 0x and sixteen hex digits, or a well-known name such as no-export",
        })
    }
}

fn ranges(text: &str) -> Option<CommunityPattern> {
    let parts: Vec<&str> = text.split(':').take(4).collect();
    match *parts.as_slice() {
        [name @ ("rt" | "ro"), administrator, number] => Some(CommunityPattern::Extended {
            subtype: if name == "rt" { ExtendedSubtype::RouteTarget } else { ExtendedSubtype::RouteOrigin },
            administrator: match (administrator, administrator.parse()) {
                ("*", _) => None,
                (_, Ok(address)) => Some(Administrator::Ipv4(address)),
                (span, Err(_)) => Some(Administrator::As(NumberSpan::parse(span, u32::MAX)?)),
            },
            number: NumberSpan::parse(number, u32::MAX)?,
        }),
        [high, low] => {
            Some(CommunityPattern::Standard([NumberSpan::parse(high, HALF)?, NumberSpan::parse(low, HALF)?]))
        }
        [global, first, second] => Some(CommunityPattern::Large([
            NumberSpan::parse(global, u32::MAX)?,
            NumberSpan::parse(first, u32::MAX)?,
            NumberSpan::parse(second, u32::MAX)?,
        ])),
        _ => None,
    }
}

impl fmt::Display for CommunityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, spans: &[NumberSpan], most: u32| {
            spans.iter().enumerate().try_for_each(|(index, span)| {
                f.write_str(if index > 0 { ":" } else { "" })?;
                span.write(most, f)
            })
        };
        match self {
            Self::Exact(community) => community.fmt(f),
            Self::Standard(spans) => joined(f, spans, HALF),
            Self::Large(spans) => joined(f, spans, u32::MAX),
            Self::Extended { subtype, administrator, number } => {
                f.write_str(match subtype {
                    ExtendedSubtype::RouteTarget => "rt:",
                    ExtendedSubtype::RouteOrigin => "ro:",
                })?;
                match administrator {
                    None => f.write_str("*")?,
                    Some(Administrator::Ipv4(address)) => address.fmt(f)?,
                    Some(Administrator::As(span)) => span.write(u32::MAX, f)?,
                }
                f.write_str(":")?;
                number.write(u32::MAX, f)
            }
            Self::Regex { regex, .. } => regex.fmt(f),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexFields {
    regex: AttributeRegex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<CommunityKind>,
}

impl Serialize for CommunityPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Regex { regex, kind } => {
                RegexFields { regex: regex.clone(), kind: *kind }.serialize(serializer)
            }
            text => serializer.collect_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for CommunityPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = CommunityPattern;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a community such as 65000:100, or a map with regex and kind")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CommunityPattern, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<CommunityPattern, A::Error> {
                RegexFields::deserialize(MapAccessDeserializer::new(map))
                    .map(|RegexFields { regex, kind }| CommunityPattern::Regex { regex, kind })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_survives_its_text() {
        for text in [
            "65001:100",
            "no-export",
            "65001:1:2",
            "65001:100-199",
            "*:666",
            "65001:*",
            "65001:*:2",
            "1-5:*:*",
            "rt:65000:1",
            "rt:65000:*",
            "ro:*:*",
            "rt:10.0.0.1:5-6",
            "0x4003000000000001",
        ] {
            assert_eq!(text.parse::<CommunityPattern>().unwrap().to_string(), text);
        }
        for (text, same) in
            [("5-5:1", "5:1"), ("1-1:2:3", "1:2:3"), ("rt:7-7:1", "rt:7:1"), ("0-65535:1", "*:1")]
        {
            let pattern = text.parse::<CommunityPattern>().unwrap();
            assert_eq!((pattern.to_string().as_str(), &pattern), (same, &same.parse().unwrap()));
        }
        for bad in ["", "x", "1:2:3:4", "5-3:1", "65536:*", "-:1", "rt:1", "1-:2", ":*"] {
            assert!(bad.parse::<CommunityPattern>().is_err(), "{bad}");
        }
    }
}
