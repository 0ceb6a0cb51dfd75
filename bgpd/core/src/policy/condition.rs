use std::ops::RangeInclusive;
use std::sync::Arc;

use cairn_net::{Asn, Family, Prefix};

use super::path_pattern::{self, PathToken};
use super::prefix_list::PrefixList;
use super::route::{RouteSource, RouteView};
use crate::wire::{
    AsPath, Attributes, Community, ExtendedCommunity, LargeCommunity, Origin, PeerKind, WireElement, WireList,
};

/// The LOCAL_PREF of a route without one, as most speakers have it.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// A question about a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always true.
    Always,
    /// All hold; true if there are none.
    All(Vec<Self>),
    /// At least one holds; false if there are none.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The prefix is of this family.
    Family(Family),
    /// The list permits the prefix.
    Prefix(Arc<PrefixList>),
    /// The list permits the next hop as a host prefix.
    NextHop(Arc<PrefixList>),
    /// The AS path matches.
    AsPath(AsPathMatch),
    /// COMMUNITIES match.
    Communities(ListMatch<Community>),
    /// EXTENDED COMMUNITIES match.
    ExtendedCommunities(ListMatch<ExtendedCommunity>),
    /// LARGE COMMUNITIES match.
    LargeCommunities(ListMatch<LargeCommunity>),
    /// ORIGIN is this.
    Origin(Origin),
    /// MULTI_EXIT_DISC is in the range; an absent one counts as zero (RFC 4271 section 9.1.2.2 c).
    Med(RangeInclusive<u32>),
    /// LOCAL_PREF is in the range; an absent one counts as [`DEFAULT_LOCAL_PREF`].
    LocalPref(RangeInclusive<u32>),
    /// The session's peer is of this kind.
    Peer(PeerKind),
    /// The route is local.
    SourceLocal,
    /// The route was learned from any peer.
    SourceAnyPeer,
    /// The route was learned from a peer of this kind.
    SourcePeer(PeerKind),
}

/// A question about an AS path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsPathMatch {
    /// The AS is anywhere in it.
    Contains(Asn),
    /// It begins with these AS in this order: the neighbour first.
    StartsWith(Vec<Asn>),
    /// It ends with this AS. The route of an empty path is originated by nobody.
    OriginatedBy(Asn),
    /// Its length, a set counted as one, is in the range; `0..=0` is an empty path.
    Length(RangeInclusive<usize>),
    /// The whole of it matches these tokens.
    Pattern(Vec<PathToken>),
}

/// A question about a list of communities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListMatch<T> {
    /// At least one of these is there.
    AnyOf(Vec<T>),
    /// All of these are there.
    AllOf(Vec<T>),
    /// None at all is there.
    Empty,
}

impl Condition {
    /// Does it hold for this route with these attributes?
    pub(super) fn holds(&self, route: &RouteView<'_>, attributes: &Attributes) -> bool {
        match self {
            Self::Always => true,
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(route, attributes)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(route, attributes)),
            Self::Not(condition) => !condition.holds(route, attributes),
            Self::Family(family) => route.prefix.family() == *family,
            Self::Prefix(list) => list.permits(route.prefix),
            Self::NextHop(list) => list.permits(Prefix::host(route.next_hop.addr)),
            Self::AsPath(path) => path.matches(&attributes.as_path),
            Self::Communities(list) => list.matches(&attributes.communities),
            Self::ExtendedCommunities(list) => list.matches(&attributes.extended_communities),
            Self::LargeCommunities(list) => list.matches(&attributes.large_communities),
            Self::Origin(origin) => attributes.origin == *origin,
            Self::Med(range) => range.contains(&attributes.med.unwrap_or(0)),
            Self::LocalPref(range) => range.contains(&attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            Self::Peer(kind) => route.peer == *kind,
            Self::SourceLocal => route.source == RouteSource::Local,
            Self::SourceAnyPeer => matches!(route.source, RouteSource::Peer(_)),
            Self::SourcePeer(kind) => route.source == RouteSource::Peer(*kind),
        }
    }
}

impl AsPathMatch {
    /// Does the path match?
    pub fn matches(&self, path: &AsPath) -> bool {
        match self {
            Self::Contains(asn) => path.contains(*asn),
            Self::StartsWith(front) => path.starts_with(front),
            Self::OriginatedBy(asn) => path.origin_as() == Some(*asn),
            Self::Length(range) => range.contains(&path.hop_count()),
            Self::Pattern(tokens) => path_pattern::matches(tokens, path),
        }
    }
}

impl<T: WireElement + PartialEq> ListMatch<T> {
    /// Does the list match?
    pub fn matches(&self, list: &WireList<T>) -> bool {
        match self {
            Self::AnyOf(wanted) => list.iter().any(|element| wanted.contains(&element)),
            Self::AllOf(wanted) => wanted.iter().all(|element| list.contains(*element)),
            Self::Empty => list.is_empty(),
        }
    }
}
