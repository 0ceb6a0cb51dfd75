use std::ops::RangeInclusive;
use std::sync::Arc;

use bgp_core::policy::{
    AsPathMatch, Condition, PathToken, PeerType as CorePeerType, PrefixEntry, PrefixList,
    Quantity as CoreQuantity,
};
use bgp_core::wire::Origin as WireOrigin;
use bgpd_api::config::{
    AsPathEntry, AsPathPattern, AsPathToken, CommunityMatch, Match, Name, Origin, PeerType, Quantity,
    RouteSource,
};
use cairn_net::Prefix;

use crate::compile::Compiler;

impl Compiler<'_> {
    pub(crate) fn condition(&self, wanted: &Match) -> Condition {
        // The cheap questions first: the first that fails ends it.
        let mut all = Vec::new();
        all.extend(wanted.family.map(Condition::Family));
        all.extend(wanted.source.map(source));
        all.extend(wanted.peer_type.map(|kind| Condition::PeerType(peer_type(kind))));
        all.extend(wanted.peer.as_ref().map(|peers| Condition::Peer(inside(peers))));
        all.extend(wanted.origin.map(|wanted| Condition::Origin(origin(wanted))));
        all.extend(wanted.med.map(|range| Condition::Med(range.bounds())));
        all.extend(wanted.local_preference.map(|range| Condition::LocalPref(range.bounds())));
        all.extend(wanted.tag.map(|range| Condition::Tag(range.bounds())));
        all.extend(
            wanted
                .as_path_length
                .map(|range| Condition::AsPath(AsPathMatch::Length(lengths(range.bounds())))),
        );
        all.extend(wanted.next_hop.map(|prefix| Condition::NextHop(inside(&[prefix]))));
        all.extend(wanted.next_hop_set.as_ref().map(|name| Condition::NextHop(self.prefix_set(name))));
        all.extend(wanted.prefix_set.as_ref().map(|name| Condition::Prefix(self.prefix_set(name))));
        all.extend(wanted.community_set.as_ref().map(|wanted| self.community_set(wanted)));
        all.extend(wanted.as_path_set.as_ref().map(|name| self.as_path_set(name)));
        all.extend(
            wanted
                .any
                .as_ref()
                .map(|any| Condition::Any(any.iter().map(|condition| self.condition(condition)).collect())),
        );
        all.extend(wanted.not.as_ref().map(|not| Condition::Not(Box::new(self.condition(not)))));
        if all.len() == 1 { all.swap_remove(0) } else { Condition::All(all) }
    }

    fn prefix_set(&self, name: &Name) -> Arc<PrefixList> {
        self.prefixes.get(name).cloned().unwrap_or_default()
    }

    fn community_set(&self, wanted: &CommunityMatch) -> Condition {
        let set = self.communities.get(&wanted.set).cloned().unwrap_or_default();
        let quantity = match wanted.quantity {
            Quantity::Any => CoreQuantity::Any,
            Quantity::All => CoreQuantity::All,
            Quantity::Exact => CoreQuantity::Exact,
            Quantity::None => CoreQuantity::None,
        };
        Condition::Communities(set, quantity)
    }

    fn as_path_set(&self, name: &Name) -> Condition {
        let entry = |entry: &AsPathEntry| {
            Condition::AsPath(match entry {
                AsPathEntry::Pattern(pattern) => as_path(pattern),
                AsPathEntry::Regex(regex) => AsPathMatch::Text(regex.0.compiled().clone().into()),
            })
        };
        Condition::Any(self.as_paths(name).iter().map(entry).collect())
    }
}

/// What lies inside any of these prefixes.
fn inside(prefixes: &[Prefix]) -> Arc<PrefixList> {
    Arc::new(prefixes.iter().map(|prefix| PrefixEntry::or_longer(*prefix, true)).collect())
}

fn lengths(bounds: RangeInclusive<u32>) -> RangeInclusive<usize> {
    let [low, high] =
        [*bounds.start(), *bounds.end()].map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    low..=high
}

fn source(source: RouteSource) -> Condition {
    match source {
        RouteSource::Local => Condition::SourceLocal,
        RouteSource::Learned => Condition::SourceAnyPeer,
        RouteSource::Ebgp => Condition::SourcePeer(CorePeerType::External),
        RouteSource::Ibgp => Condition::SourcePeer(CorePeerType::Internal),
        RouteSource::Client => Condition::SourcePeer(CorePeerType::Client),
        RouteSource::Confederation => Condition::SourcePeer(CorePeerType::Confederation),
    }
}

/// What a neighbour is as the speaker has it.
pub(crate) const fn peer_type(kind: PeerType) -> CorePeerType {
    match kind {
        PeerType::Ebgp => CorePeerType::External,
        PeerType::Ibgp => CorePeerType::Internal,
        PeerType::Client => CorePeerType::Client,
        PeerType::Confederation => CorePeerType::Confederation,
    }
}

/// ORIGIN as the speaker has it.
pub(crate) const fn origin(origin: Origin) -> WireOrigin {
    match origin {
        Origin::Igp => WireOrigin::Igp,
        Origin::Egp => WireOrigin::Egp,
        Origin::Incomplete => WireOrigin::Incomplete,
    }
}

/// A pattern as the speaker has it.
pub fn as_path(pattern: &AsPathPattern) -> AsPathMatch {
    let tokens = pattern.0.iter().map(|token| match *token {
        AsPathToken::Any => PathToken::AnyNumber,
        AsPathToken::Range(low, high) => PathToken::One(low..=high),
    });
    AsPathMatch::Pattern(tokens.collect())
}
