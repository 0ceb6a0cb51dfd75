use std::net::IpAddr;

use cairn_net::{ParseError, Prefix};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Name, load};

/// Private AS numbers (RFC 6996) go from the paths that an external neighbour is sent; its own never does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RemovePrivateAs {
    /// From any path. Default: false, only from paths that have no other AS.
    pub all: bool,
    /// Each becomes the local AS, so that the length of the path stays. Default: false.
    pub replace_as: bool,
}

/// Kinds of communities that a neighbour is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SendCommunity {
    /// COMMUNITIES (RFC 1997). Default: true.
    pub standard: bool,
    /// EXTENDED COMMUNITIES (RFC 4360, 5701). Default: true.
    pub extended: bool,
    /// LARGE COMMUNITIES (RFC 8092). Default: true.
    pub large: bool,
}

impl Default for SendCommunity {
    fn default() -> Self {
        Self { standard: true, extended: true, large: true }
    }
}

/// A default route of each family, in place of one that there may be. The export filter does not see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefaultOriginate {
    /// False: none, whatever the peer group says. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Only while a prefix of this set is in the Loc-RIB. Default: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_present: Option<Name>,
}

/// Routes that are sent only while others are, or are not, in the Loc-RIB. Either `exist` or `nonExist`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionalAdvertisement {
    /// The prefix set of the routes.
    pub prefix_set: Name,
    /// They are sent while a prefix of this set is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exist: Option<Name>,
    /// They are sent while no prefix of this set is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_exist: Option<Name>,
}

/// Rules of conditional advertisement: one, or a list of them. A route that several name is sent while all of them let it.
///
/// Range: 1 to 16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalAdvertisements(pub Vec<ConditionalAdvertisement>);

impl Serialize for ConditionalAdvertisements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ConditionalAdvertisements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ConditionalAdvertisements;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map with prefixSet and exist or nonExist, or a list of such maps")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = ConditionalAdvertisement::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ConditionalAdvertisements(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ConditionalAdvertisements)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Routes with BLACKHOLE (RFC 7999) from a neighbour discard traffic, and go no further than this AS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Blackhole {
    /// Shortest IPv4 prefix that may be one; a shorter one is refused. Range: 1 to 32. Default: 32.
    pub ipv4_min_length: u8,
    /// Shortest IPv6 prefix that may be one. Range: 1 to 128. Default: 128.
    pub ipv6_min_length: u8,
}

impl Default for Blackhole {
    fn default() -> Self {
        Self { ipv4_min_length: 32, ipv6_min_length: 128 }
    }
}

/// A route of this speaker that stands for more specific ones; it exists while the Loc-RIB has any (RFC 4271 section 9.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aggregate {
    /// Its prefix.
    pub prefix: Prefix,
    /// The routes that it stands for are sent to nobody. Default: false.
    #[serde(default)]
    pub summary_only: bool,
    /// It names the ASes and communities of all of them. Default: false, its path is empty and it is marked ATOMIC_AGGREGATE.
    #[serde(default)]
    pub as_set: bool,
    /// It exists only while all of them have one MED, which is then its own. Default: false.
    #[serde(default)]
    pub matching_med_only: bool,
}

/// What becomes of the next hop of routes sent to a neighbour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NextHopMode {
    /// `auto`: as RFC 4271 section 5.1.3 says: own address towards external neighbours, unchanged towards internal ones.
    #[default]
    Auto,
    /// `self`: always the own address.
    Itself,
    /// `unchanged`: never changed, not even towards an external neighbour.
    Unchanged,
    /// Always this address, where a route of the family can have it; others as with `auto`.
    Address(IpAddr),
}

impl std::fmt::Display for NextHopMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Itself => f.write_str("self"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Address(addr) => write!(f, "{addr}"),
        }
    }
}

impl std::str::FromStr for NextHopMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(match text {
            "auto" => Self::Auto,
            "self" => Self::Itself,
            "unchanged" => Self::Unchanged,
            _ => Self::Address(text.parse().map_err(|_| ParseError {
                what: "next hop",
                value: text.chars().take(64).collect(),
                rule: "auto, self, unchanged, or an IPv4 or IPv6 address",
            })?),
        })
    }
}

impl Serialize for NextHopMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NextHopMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        load::text(deserializer, "auto, self, unchanged, or an address")
    }
}
