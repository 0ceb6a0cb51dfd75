use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use cairn_net::Prefix;

use super::change::NextHopSetting;
use crate::wire::{Attributes, NextHop};

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteSource {
    /// Originated by this speaker.
    Local,
    /// Learned from a peer of this type.
    Peer(PeerType),
}

/// What a peer is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerType {
    /// In another AS.
    External,
    /// In our AS.
    Internal,
    /// In our AS, and we reflect for it (RFC 4456).
    Client,
    /// In another member AS of our confederation (RFC 5065).
    Confederation,
}

impl PeerType {
    /// Is a peer of this type also one of the other? A client is internal.
    pub fn is(self, wanted: Self) -> bool {
        self == wanted || (self == Self::Client && wanted == Self::Internal)
    }
}

/// The peer whose import or export this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyPeer {
    /// Its address.
    pub address: IpAddr,
    /// What it is to us.
    pub kind: PeerType,
}

/// A route as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub struct RouteView<'a> {
    /// Its prefix.
    pub prefix: Prefix,
    /// Its attributes before any change of this filter.
    pub attributes: &'a Attributes,
    /// Its next hop.
    pub next_hop: NextHop,
    /// Where it comes from.
    pub source: RouteSource,
    /// The peer whose import or export this is.
    pub peer: PolicyPeer,
}

/// What becomes of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Use it, with these attributes.
    Accept(Accepted<'a>),
    /// Do not use it.
    Reject(Decider<'a>),
}

/// An accepted route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The attributes; borrowed if no rule changed them.
    pub attributes: Cow<'a, Attributes>,
    /// What a rule says about the next hop; `None` leaves it to the session's mode.
    pub next_hop: Option<NextHopSetting>,
    /// A rule said something about MULTI_EXIT_DISC: it is ours now, not a received one.
    pub med_set: bool,
    /// Who decided.
    pub decider: Decider<'a>,
}

/// Which filter and which of its rules decided, for operators. Also names a statement: a rule, or the end of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decider<'a> {
    /// The filter's name; `None` if the policy's own default decided.
    pub filter: Option<&'a str>,
    /// The rule's place in the filter, from zero; `None` if the filter's default decided.
    pub rule: Option<usize>,
    /// The rule's name, if it has one.
    pub name: Option<&'a str>,
}

impl Decider<'_> {
    /// The policy's own default.
    pub const DEFAULT: Self = Self { filter: None, rule: None, name: None };
}

impl fmt::Display for Decider<'_> {
    /// `filter "tor-in" rule 2 "drain"`, counted from one as operators do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.filter, self.rule) {
            (Some(filter), Some(rule)) => write!(f, "filter {filter:?} rule {}", rule + 1)?,
            (Some(filter), None) => write!(f, "filter {filter:?} default")?,
            (None, _) => f.write_str("policy default")?,
        }
        self.name.map_or(Ok(()), |name| write!(f, " {name:?}"))
    }
}
