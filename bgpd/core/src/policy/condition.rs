use std::ops::RangeInclusive;
use std::sync::Arc;

use cairn_net::{Asn, Family, Prefix};

use super::community_set::{CommunitySet, Quantity};
use super::path_pattern::{self, PathToken};
use super::prefix_list::PrefixList;
use super::route::{PeerType, RouteSource, RouteView};
use super::text_pattern::TextPattern;
use crate::wire::{AsPath, Attributes, Origin};

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
    /// The communities of any kind match.
    Communities(Arc<CommunitySet>, Quantity),
    /// ORIGIN is this.
    Origin(Origin),
    /// MULTI_EXIT_DISC is in the range; an absent one counts as zero (RFC 4271 section 9.1.2.2 c).
    Med(RangeInclusive<u32>),
    /// LOCAL_PREF is in the range; an absent one counts as [`DEFAULT_LOCAL_PREF`].
    LocalPref(RangeInclusive<u32>),
    /// The tag is in the range; a route without one has 0.
    Tag(RangeInclusive<u32>),
    /// The list permits the address of the session's peer as a host prefix.
    Peer(Arc<PrefixList>),
    /// The session's peer is of this type.
    PeerType(PeerType),
    /// The route is local.
    SourceLocal,
    /// The route was learned from any peer.
    SourceAnyPeer,
    /// The route was learned from a peer of this type.
    SourcePeer(PeerType),
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
    /// The expression matches its text: `65001 65002 {65003 65004}`, confederation segments in parentheses, confederation sets in
    /// brackets.
    Text(TextPattern),
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
            Self::Communities(set, quantity) => set.matches(*quantity, attributes),
            Self::Origin(origin) => attributes.origin == *origin,
            Self::Med(range) => range.contains(&attributes.med.unwrap_or(0)),
            Self::LocalPref(range) => range.contains(&attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            Self::Tag(range) => range.contains(&attributes.marks.tag),
            Self::Peer(list) => list.permits(Prefix::host(route.peer.address)),
            Self::PeerType(wanted) => route.peer.kind.is(*wanted),
            Self::SourceLocal => route.source == RouteSource::Local,
            Self::SourceAnyPeer => matches!(route.source, RouteSource::Peer(_)),
            Self::SourcePeer(wanted) => {
                matches!(route.source, RouteSource::Peer(kind) if kind.is(*wanted))
            }
        }
    }

    /// Does it depend on the address of the session's peer?
    pub(crate) fn asks_peer(&self) -> bool {
        let mut asks = false;
        self.each(&mut |condition| asks |= matches!(condition, Self::Peer(_)));
        asks
    }

    /// Visits this condition and all those that it is made of.
    pub(super) fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.each(visit));
            }
            Self::Not(condition) => condition.each(visit),
            _ => {}
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
            Self::Text(pattern) => pattern.is_match(&path.to_string()),
        }
    }
}
