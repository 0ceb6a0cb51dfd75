//! Filters: ordered rules, the first verdict counts.

use std::net::IpAddr;

use cairn_net::{Asn, Family, Prefix};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::{AsPathToken, Community, CommunityPattern, Name, NumberChange, NumberRange};

/// An ordered list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// The rules, tried in order. A rule that matches changes the route, then gives its verdict.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The verdict if no rule gave one; `next` asks the next filter of the chain. Default: reject.
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
    /// What people call the rule, in counters and explanations. Must be unique in the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Conditions; all that are given must hold. Default: matches every route.
    #[serde(default, rename = "match", skip_serializing_if = "is_default")]
    pub condition: Match,
    /// Changes to the route's attributes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: SetActions,
    /// A filter that is asked next, and may change the route. If it rejects, that is the verdict; else `then` follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Name>,
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

/// Conditions of a rule; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    /// The route is of this family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The prefix matches an entry of this prefix set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_set: Option<Name>,
    /// The route's communities match this set: a name, or a map with `set` and `quantity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_set: Option<CommunityMatch>,
    /// The AS path matches an entry of this set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_path_set: Option<Name>,
    /// How many ASes the path has; an AS_SET counts as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_path_length: Option<NumberRange>,
    /// The next hop, as it came, lies in this prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<Prefix>,
    /// The next hop, as it came, matches an entry of this prefix set as a host prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_set: Option<Name>,
    /// ORIGIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// MULTI_EXIT_DISC; an absent one counts as 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<NumberRange>,
    /// LOCAL_PREF; an absent one counts as 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<NumberRange>,
    /// The tag that another filter set; 0 if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<NumberRange>,
    /// The neighbour whose import or export this is has one of these addresses, or one inside these prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Vec<Prefix>>,
    /// What the neighbour whose import or export this is is to this speaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<PeerType>,
    /// Where the route was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<RouteSource>,
    /// At least one of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Self>>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Self>>,
}

/// A question about a route's communities: the name of a set (any of it), or `{set: NAME, quantity: all}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunityMatch {
    /// The set.
    pub set: Name,
    /// How many of it.
    pub quantity: Quantity,
}

/// How many of a community set a route must carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// At least one of its communities is in the set.
    #[default]
    Any,
    /// It has a community for every entry of the set.
    All,
    /// As `all`, and no community of whatever kind that is not in the set.
    Exact,
    /// None of its communities is in the set.
    None,
}

impl From<Name> for CommunityMatch {
    fn from(set: Name) -> Self {
        Self { set, quantity: Quantity::Any }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommunityMatchFields {
    set: Name,
    #[serde(default)]
    quantity: Quantity,
}

impl Serialize for CommunityMatch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.quantity {
            Quantity::Any => self.set.serialize(serializer),
            quantity => CommunityMatchFields { set: self.set.clone(), quantity }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CommunityMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = CommunityMatch;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a set, or a map with set and quantity")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CommunityMatch, E> {
                text.parse::<Name>().map(CommunityMatch::from).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<CommunityMatch, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<CommunityMatch, A::Error> {
                CommunityMatchFields::deserialize(MapAccessDeserializer::new(map))
                    .map(|CommunityMatchFields { set, quantity }| CommunityMatch { set, quantity })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Where a route was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteSource {
    /// Originated by this speaker.
    Local,
    /// From any neighbour.
    Learned,
    /// From a neighbour of another AS.
    Ebgp,
    /// From a neighbour of this AS.
    Ibgp,
    /// From a neighbour of this AS that this speaker reflects for.
    Client,
    /// From a neighbour of another member AS of this confederation.
    Confederation,
}

/// What a neighbour is to this speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerType {
    /// Of another AS.
    Ebgp,
    /// Of this AS.
    Ibgp,
    /// Of this AS, and this speaker reflects for it.
    Client,
    /// Of another member AS of this confederation.
    Confederation,
}

/// Changes to a route's attributes, made in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SetActions {
    /// The weight, the first step of best-path selection; known to this speaker only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// A number for other filters of this speaker to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<u32>,
    /// LOCAL_PREF: a number, `{add: N}` or `{subtract: N}`. An absent one counts as 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<NumberChange>,
    /// MULTI_EXIT_DISC: a number, `{add: N}`, `{subtract: N}`, or `none` to remove it. An absent one counts as 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<NumberChange>,
    /// ORIGIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// NEXT_HOP: an address, `self`, `peer` or `unchanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<NextHopAction>,
    /// Puts another AS in the place of some in the AS_PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_as: Option<AsReplacement>,
    /// Puts an AS number in front of the AS_PATH, several times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<PathPrepend>,
    /// Communities of every kind.
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

/// Another AS in the place of some in the AS_PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AsReplacement {
    /// Which: numbers, ranges such as `64512-65534`, or `*` for all of them.
    pub asns: Vec<AsPathToken>,
    /// By which. Default: the local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Asn>,
}

/// Changes to the communities: removal first, then addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommunityChange {
    /// Removes every standard and large community first.
    #[serde(skip_serializing_if = "is_default")]
    pub clear: bool,
    /// Removed from the route; patterns as in a community set, so `rt:*:*` takes every route target away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<CommunityPattern>,
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

/// NEXT_HOP as a filter sets it: `self`, `peer`, `unchanged` or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHopAction {
    /// The local address of the session that the route leaves by.
    Itself,
    /// The neighbour's address.
    Peer,
    /// The one that the route has, whatever the neighbour's `nextHop` says.
    Unchanged,
    /// This address.
    Address(IpAddr),
}

impl std::fmt::Display for NextHopAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Itself => f.write_str("self"),
            Self::Peer => f.write_str("peer"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Address(addr) => write!(f, "{addr}"),
        }
    }
}

impl std::str::FromStr for NextHopAction {
    type Err = cairn_net::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "self" => return Ok(Self::Itself),
            "peer" => return Ok(Self::Peer),
            "unchanged" => return Ok(Self::Unchanged),
            _ => {}
        }
        text.parse().map(Self::Address).map_err(|_| cairn_net::ParseError {
            what: "next hop",
            value: text.chars().take(64).collect(),
            rule: "an IPv4 or IPv6 address, self, peer or unchanged",
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
        super::load::text(deserializer, "an address, self, peer or unchanged")
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
