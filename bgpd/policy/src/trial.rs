//! A policy tried on a route that nobody announced.

use bgp_core::policy::{PeerType, Policy, PolicyPeer, RouteSource, RouteView, TraceStep, Verdict};
use bgp_core::wire::{AsPath, Attributes, Community, Marks, NextHop};
use bgpd_api::config::{self, TestRoute};

use crate::community::split;
use crate::condition::{origin, peer_type};

/// A route as the speaker would have it.
#[derive(Debug)]
pub struct Trial {
    attributes: Attributes,
    route: TestRoute,
}

impl Trial {
    /// The route with everything that it does not say.
    pub fn new(route: TestRoute) -> Self {
        let communities = split(&route.communities);
        // As the speaker does before the import filter (RFC 8326 section 4.2); a value that is given is one that a filter set.
        let last_choice =
            from_outside(route.source) && communities.standard.contains(&Community::GRACEFUL_SHUTDOWN);
        let attributes = Attributes {
            origin: origin(route.origin.unwrap_or(config::Origin::Igp)),
            as_path: AsPath::sequence(route.as_path.iter().copied()),
            med: route.med,
            local_pref: route.local_preference.or(last_choice.then_some(0)),
            communities: communities.standard.into_iter().collect(),
            large_communities: communities.large.into_iter().collect(),
            extended_communities: communities.extended.into_iter().collect(),
            marks: Marks { tag: route.tag, ..Marks::default() },
            ..Attributes::default()
        };
        Self { attributes, route }
    }

    /// Its attributes.
    pub const fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// What the policy makes of it, with every statement that was asked.
    pub fn run<'a>(&'a self, policy: &'a Policy) -> (Verdict<'a>, Vec<TraceStep<'a>>) {
        let unspecified = self.route.prefix.family().unspecified();
        policy.trace(&RouteView {
            prefix: self.route.prefix,
            attributes: &self.attributes,
            next_hop: NextHop::new(self.route.next_hop.unwrap_or(unspecified)),
            source: source(self.route.source),
            peer: PolicyPeer {
                address: self.route.peer.unwrap_or(unspecified),
                kind: self.route.peer_type.map_or(PeerType::External, peer_type),
            },
        })
    }
}

/// Was it learned from a neighbour outside of the AS?
const fn from_outside(source: Option<config::RouteSource>) -> bool {
    matches!(source, None | Some(config::RouteSource::Learned | config::RouteSource::Ebgp))
}

fn source(source: Option<config::RouteSource>) -> RouteSource {
    RouteSource::Peer(match source {
        Some(config::RouteSource::Local) => return RouteSource::Local,
        None | Some(config::RouteSource::Learned | config::RouteSource::Ebgp) => PeerType::External,
        Some(config::RouteSource::Ibgp) => PeerType::Internal,
        Some(config::RouteSource::Client) => PeerType::Client,
        Some(config::RouteSource::Confederation) => PeerType::Confederation,
    })
}
