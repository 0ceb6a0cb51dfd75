//! A policy tried on a route that nobody announced.

use bgp_core::policy::{PeerType, Policy, PolicyPeer, RouteSource, RouteView, TraceStep, Verdict};
use bgp_core::rib::{Rejection, SourceKind, confined, leaving};
use bgp_core::wire::{AsPath, Attributes, Community, Marks, NextHop};
use bgpd_api::config::{self, Blackhole, Config, PeerOptions, TestRoute};
use bgpd_api::policy::Direction;
use cairn_net::{Asn, Family};

use crate::community::split;
use crate::condition::{origin, peer_type};

/// A route as the speaker would have it.
#[derive(Debug)]
pub struct Trial {
    attributes: Attributes,
    route: TestRoute,
    /// Why it is not used, whatever the policy says.
    refused: Option<Rejection>,
    /// What is sent is marked as about to go.
    leaving: bool,
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
        Self { attributes, route, refused: None, leaving: false }
    }

    /// As [`Trial::new`], with what the options of the neighbour do beside its filters: it announced the route, or is sent it.
    pub fn with(mut route: TestRoute, options: &PeerOptions, config: &Config, way: Direction) -> Self {
        let is_member = |asn| config.confederation.as_ref().is_some_and(|all| all.members.contains(&asn));
        let peer = options.remote_as.and_then(|of| of.number(config.local_as)).unwrap_or(Asn::ZERO);
        let reflects = options.route_reflector_client == Some(true);
        let (kind, learned) = match SourceKind::of_peer(config.local_as, is_member, peer, reflects) {
            SourceKind::External => (config::PeerType::Ebgp, config::RouteSource::Ebgp),
            SourceKind::Confederation => {
                (config::PeerType::Confederation, config::RouteSource::Confederation)
            }
            SourceKind::Client => (config::PeerType::Client, config::RouteSource::Client),
            SourceKind::Internal | SourceKind::Local => (config::PeerType::Ibgp, config::RouteSource::Ibgp),
        };
        route.peer_type.get_or_insert(kind);
        if way == Direction::Import {
            route.source.get_or_insert(learned);
        }
        let mut trial = Self::new(route);
        match way {
            Direction::Import => trial.take_blackhole(options.blackhole),
            Direction::Export => trial.leaving = options.graceful_shutdown == Some(true),
        }
        trial
    }

    /// RFC 7999, for a neighbour whose blackholes are accepted.
    fn take_blackhole(&mut self, accepted: Option<Blackhole>) {
        let Some(accepted) = accepted else { return };
        if !self.attributes.communities.contains(Community::BLACKHOLE) {
            return;
        }
        let least = match self.route.prefix.family() {
            Family::Ipv4 => accepted.ipv4_min_length,
            Family::Ipv6 => accepted.ipv6_min_length,
        };
        if self.route.prefix.len() < least {
            self.refused = Some(Rejection::BlackholeTooShort);
        }
        self.attributes = confined(std::mem::take(&mut self.attributes));
    }

    /// Why it is not used, whatever the policy says.
    pub const fn refused(&self) -> Option<Rejection> {
        self.refused
    }

    /// What is sent of a route that the policy has accepted.
    #[must_use]
    pub fn sent(&self, attributes: Attributes) -> Attributes {
        let external = self.route.peer_type.is_none_or(|kind| kind == config::PeerType::Ebgp);
        if self.leaving { leaving(attributes, external) } else { attributes }
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
