use std::borrow::Cow;
use std::fmt;

use cairn_net::Prefix;

use super::change::NextHopSetting;
use crate::wire::{Attributes, NextHop, PeerKind};

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteSource {
    /// Originated by this speaker.
    Local,
    /// Learned from a peer of this kind.
    Peer(PeerKind),
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
    /// The relation to the peer whose import or export this is.
    pub peer: PeerKind,
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
    /// Who decided.
    pub decider: Decider<'a>,
}

/// Which filter and which of its rules decided, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decider<'a> {
    /// The filter's name; `None` if the policy's own default decided.
    pub filter: Option<&'a str>,
    /// The rule's place in the filter, from zero; `None` if the filter's default decided.
    pub rule: Option<usize>,
}

impl fmt::Display for Decider<'_> {
    /// `filter "tor-in" rule 2`, counted from one as operators do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.filter, self.rule) {
            (Some(filter), Some(rule)) => write!(f, "filter {filter:?} rule {}", rule + 1),
            (Some(filter), None) => write!(f, "filter {filter:?} default"),
            (None, _) => f.write_str("policy default"),
        }
    }
}
