use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use cairn_net::{Family, ParseError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::load;

/// Several paths for one prefix (RFC 7911), by direction and family. Both sides must offer it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddPath {
    /// Families in which the neighbour may send several paths. At most 256 to one prefix are kept, one more ends the session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receive: Vec<Family>,
    /// How many paths the neighbour is sent.
    #[serde(skip_serializing_if = "AddPathSend::is_none")]
    pub send: AddPathSend,
}

/// How many paths of a prefix a neighbour is sent, by family. Default: the best one, without ADD-PATH.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddPathSend {
    /// Of IPv4 prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<PathCount>,
    /// Of IPv6 prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<PathCount>,
}

impl AddPathSend {
    /// Nothing is sent with path identifiers.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// `all`, or a number: so many, the best first. Range: 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathCount {
    /// Every path that may be used.
    All,
    /// The best few.
    Best(NonZeroU8),
}

impl PathCount {
    /// Most paths of a prefix that can be asked for by number.
    const MAX: u8 = 64;
}

impl fmt::Display for PathCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Best(count) => write!(f, "{count}"),
        }
    }
}

impl FromStr for PathCount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let count = text.parse().ok().filter(|count: &NonZeroU8| count.get() <= Self::MAX);
        count.map(Self::Best).ok_or_else(|| ParseError {
            what: "number of paths",
            value: text.chars().take(64).collect(),
            rule: "all, or 1 to 64",
        })
    }
}

impl Serialize for PathCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Best(count) => serializer.serialize_u8(count.get()),
        }
    }
}

impl<'de> Deserialize<'de> for PathCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        load::text(deserializer, "all, or a number of paths")
    }
}
