//! Filters: ordered rules, the first verdict counts.

use std::net::IpAddr;

use cairn_net::{Asn, Family, Prefix};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Community, Name};

/// An ordered list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// The rules, tried in order. A rule that matches changes the route, then gives its verdict.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The verdict if no rule gave one: `accept` or `reject`. Default: reject.
    #[serde(default = "reject")]
    pub default: Verdict,
}

const fn reject() -> Verdict {
    Verdict::Reject
}

/// One rule of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Conditions; all that are given must hold. Default: matches every route.
    #[serde(default, rename = "match", skip_serializing_if = "is_default")]
    pub condition: Match,
    /// Changes to the route's attributes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: SetActions,
    /// What happens then.
    pub then: Verdict,
}

/// What a rule says of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The route passes.
    Accept,
    /// The route is dropped.
    Reject,
    /// The next rule is tried, with the changes made so far.
    Next,
}

/// Conditions of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    /// The route is of this family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The prefix matches an entry of this prefix set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_set: Option<Name>,
    /// The route carries a community of this set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_set: Option<Name>,
    /// The AS path matches a pattern of this set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_path_set: Option<Name>,
    /// The next hop lies in this prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<Prefix>,
    /// Where the route was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<RouteSource>,
}

/// Where a route was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteSource {
    /// Originated by this speaker.
    Local,
    /// From a neighbour of another AS.
    Ebgp,
    /// From a neighbour of this AS.
    Ibgp,
}

/// Changes to a route's attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SetActions {
    /// LOCAL_PREF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// ORIGIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// NEXT_HOP: an address, or `self`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<NextHopAction>,
    /// Puts an AS number in front of the AS_PATH, several times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<PathPrepend>,
    /// Communities, standard and large.
    #[serde(skip_serializing_if = "is_default")]
    pub communities: CommunityChange,
}

/// AS_PATH prepending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathPrepend {
    /// The AS number. Default: the local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// How many times. Range: 1 to 16.
    pub count: u8,
}

/// Changes to the communities: removal first, then addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommunityChange {
    /// Removes every community first.
    #[serde(skip_serializing_if = "is_default")]
    pub clear: bool,
    /// Removed from the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Community>,
    /// Added to the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Community>,
}

/// ORIGIN (RFC 4271 section 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Interior to the originating AS.
    Igp,
    /// Learned by EGP.
    Egp,
    /// Learned by some other means.
    Incomplete,
}

/// NEXT_HOP as a filter sets it: `self` or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHopAction {
    /// The local address of the session that the route leaves by.
    Itself,
    /// This address.
    Address(IpAddr),
}

impl std::fmt::Display for NextHopAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Itself => f.write_str("self"),
            Self::Address(addr) => write!(f, "{addr}"),
        }
    }
}

impl std::str::FromStr for NextHopAction {
    type Err = cairn_net::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "self" {
            return Ok(Self::Itself);
        }
        text.parse().map(Self::Address).map_err(|_| cairn_net::ParseError {
            what: "next hop",
            value: text.chars().take(64).collect(),
            rule: "an IPv4 or IPv6 address, or self",
        })
    }
}

impl Serialize for NextHopAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NextHopAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "an address, or self")
    }
}

/// An entry of a prefix set: a prefix alone, or with bounds for the length of what it covers.
///
/// `10.0.0.0/8` matches that prefix only; `{prefix: 10.0.0.0/8, ge: 16, le: 24}` matches what it covers with a
/// length of 16 to 24. `ge` alone goes up to host prefixes, `le` alone starts at the prefix's own length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PrefixRange {
    /// The covering prefix.
    pub prefix: Prefix,
    /// Least length. Range: the prefix's length to 32 or 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ge: Option<u8>,
    /// Greatest length. Range: `ge`, or the prefix's length, to 32 or 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub le: Option<u8>,
}

impl PrefixRange {
    /// The prefix alone.
    pub const fn exact(prefix: Prefix) -> Self {
        Self { prefix, ge: None, le: None }
    }

    /// Least and greatest length that match.
    pub fn bounds(self) -> (u8, u8) {
        let bits = self.prefix.family().bits();
        let least = self.ge.unwrap_or(self.prefix.len());
        let greatest = self.le.unwrap_or(if self.ge.is_some() { bits } else { self.prefix.len() });
        (least, greatest)
    }
}

impl<'de> Deserialize<'de> for PrefixRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            prefix: Prefix,
            ge: Option<u8>,
            le: Option<u8>,
        }
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = PrefixRange;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a prefix, or a map with prefix, ge and le")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PrefixRange, E> {
                text.parse().map(PrefixRange::exact).map_err(E::custom)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<PrefixRange, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map))
                    .map(|Fields { prefix, ge, le }| PrefixRange { prefix, ge, le })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
