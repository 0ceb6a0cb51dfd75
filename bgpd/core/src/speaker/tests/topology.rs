//! Random networks of route reflectors and confederations, whatever happens to them, against a model.
//!
//! The model knows only the rules of RFC 4456 and 5065, as a round of "everybody tells everybody" until nothing changes. It is unique
//! where each step makes a route worse: by the cluster list inside of an AS, and between member ASes because these form a tree with one
//! session at each edge and a prefix has one origin. (Without that real confederations have several stable states, too.)

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::property::{Happening, NODES, Own, check_sessions, happen, happening, quiesce, shared_prefix};
use super::*;
use crate::speaker::{Confederation, RouteSource};

/// What a node is to a neighbour, and it to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Plain,
    /// The lower one reflects for the higher one.
    LowReflects,
    HighReflects,
}

/// A network: the member AS of each node, and the links of each pair.
#[derive(Debug, Clone)]
struct Network {
    members: Vec<u32>,
    links: BTreeMap<(u8, u8), Link>,
}

/// A route as a node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    /// From whom; `None`: its own.
    from: Option<u8>,
    originator: Option<u8>,
    clusters: Vec<u8>,
    members: Vec<u32>,
}

impl Network {
    fn asn(&self, n: u8) -> u32 {
        self.members[usize::from(n) - 1]
    }

    fn link(&self, a: u8, b: u8) -> Link {
        self.links.get(&(a.min(b), a.max(b))).copied().unwrap_or(Link::None)
    }

    fn linked(&self, a: u8, b: u8) -> bool {
        self.link(a, b) != Link::None
    }

    /// Is b a client of a?
    fn is_client(&self, a: u8, b: u8) -> bool {
        let reflects = if a < b { Link::LowReflects } else { Link::HighReflects };
        self.asn(a) == self.asn(b) && self.link(a, b) == reflects
    }

    fn start(&self) -> Sim {
        let mut sim = sim();
        let all: BTreeSet<u32> = self.members.iter().copied().collect();
        for n in 1..=NODES {
            let mut own = config(n, self.asn(n));
            if all.len() > 1 {
                let members = all.iter().filter(|asn| **asn != self.asn(n)).map(|asn| Asn(*asn)).collect();
                own.confederation = Some(Confederation { identifier: Asn(64999), members });
            }
            for other in (1..=NODES).filter(|other| *other != n && self.linked(n, *other)) {
                let mut peer = open_peer(self.asn(other));
                peer.route_reflector_client = self.is_client(n, other);
                peer.timers.hold = Duration::from_secs(9);
                peer.timers.connect_retry = Duration::from_secs(2);
                own = with_peer(own, other, peer);
            }
            sim.add(node(n), own);
        }
        sim
    }

    /// What m tells n of its route; `None`: nothing.
    fn told(&self, m: u8, n: u8, route: &Route) -> Option<Route> {
        if route.from == Some(n) {
            return None;
        }
        let mut told = Route { from: Some(m), ..route.clone() };
        let internal = route.from.filter(|from| self.asn(*from) == self.asn(m));
        if self.asn(m) != self.asn(n) {
            told.members.insert(0, self.asn(m));
            (told.originator, told.clusters) = (None, Vec::new());
        } else if let Some(from) = internal {
            if !self.is_client(m, from) && !self.is_client(m, n) {
                return None;
            }
            told.originator.get_or_insert(from);
            told.clusters.insert(0, m);
        }
        let looped =
            told.originator == Some(n) || told.clusters.contains(&n) || told.members.contains(&self.asn(n));
        (!looped).then_some(told)
    }

    /// Where everything ends: the route of each node to a prefix.
    fn model(&self, origins: &BTreeSet<u8>) -> BTreeMap<u8, Route> {
        let own = Route { from: None, originator: None, clusters: Vec::new(), members: Vec::new() };
        let mut routes: BTreeMap<u8, Route> = BTreeMap::new();
        for _ in 0..100 {
            let next = (1..=NODES).filter_map(|n| {
                if origins.contains(&n) {
                    return Some((n, own.clone()));
                }
                let neighbours = (1..=NODES).filter(|m| *m != n && self.linked(*m, n));
                let heard = neighbours.filter_map(|m| self.told(m, n, routes.get(&m)?));
                let rank =
                    |route: &Route| (route.originator.or(route.from), route.clusters.len(), route.from);
                Some((n, heard.min_by_key(rank)?))
            });
            let next: BTreeMap<u8, Route> = next.collect();
            if next == routes {
                return routes;
            }
            routes = next;
        }
        panic!("the model does not settle: {self:?}");
    }

    fn check(&self, sim: &Sim, own: &Own) -> Result<(), TestCaseError> {
        check_sessions(sim)?;
        let address = |n: u8| Ipv4Addr::new(10, 0, 0, n);
        for p in 0..6u8 {
            let origins = own.iter().filter(|(_, own)| own.contains_key(&p)).map(|(n, _)| *n).collect();
            let model = self.model(&origins);
            for n in 1..=NODES {
                let paths = explain(sim, n, &shared_prefix(p));
                let best = paths.first().filter(|view| view.best);
                prop_assert_eq!(best.is_some(), model.contains_key(&n), "node {} prefix {}", n, p);
                let (Some(best), Some(expected)) = (best, model.get(&n)) else { continue };
                let from = match &best.source {
                    RouteSource::Peer(peer) => Some(*peer),
                    RouteSource::Local(_) => None,
                };
                prop_assert_eq!(from, expected.from.map(node), "node {} prefix {}", n, p);
                let attributes = &best.route.attributes;
                prop_assert_eq!(attributes.originator_id, expected.originator.map(address));
                let clusters: Vec<_> = expected.clusters.iter().map(|n| address(*n)).collect();
                prop_assert_eq!(attributes.cluster_list.iter().collect::<Vec<_>>(), clusters);
                let members: Vec<_> = expected.members.iter().map(|asn| Asn(*asn)).collect();
                prop_assert_eq!(attributes.as_path.asns().collect::<Vec<_>>(), members);
            }
        }
        Ok(())
    }
}

fn pairs() -> impl Iterator<Item = (u8, u8)> {
    (1..=NODES).flat_map(|low| (low + 1..=NODES).map(move |high| (low, high)))
}

fn inside() -> impl Strategy<Value = Link> {
    prop_oneof![
        2 => Just(Link::None),
        2 => Just(Link::Plain),
        3 => Just(Link::LowReflects),
        3 => Just(Link::HighReflects),
    ]
}

/// One AS, any links.
fn reflectors() -> impl Strategy<Value = Network> {
    proptest::collection::vec(inside(), pairs().count())
        .prop_map(|links| Network { members: vec![65001; NODES.into()], links: pairs().zip(links).collect() })
}

/// Several member ASes; inside any links, between them a tree.
fn confederations() -> impl Strategy<Value = Network> {
    let members = proptest::collection::vec(0..3u32, usize::from(NODES));
    let links = proptest::collection::vec(inside(), pairs().count());
    (members, links, proptest::collection::vec(any::<prop::sample::Index>(), 3)).prop_map(
        |(members, links, choices)| {
            let members: Vec<u32> = members.into_iter().map(|member| 65001 + member).collect();
            let asn = |n: u8| members[usize::from(n) - 1];
            let mut all: BTreeMap<(u8, u8), Link> =
                pairs().zip(links).filter(|((a, b), _)| asn(*a) == asn(*b)).collect();
            // Each AS after the first one is tied to one before it, by some pair of their nodes.
            let ases: Vec<u32> = members.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            for (place, choice) in (1..ases.len()).zip(choices) {
                let ties: Vec<(u8, u8)> = pairs()
                    .filter(|(a, b)| {
                        let (a, b) = (asn(*a), asn(*b));
                        (a == ases[place] && ases[..place].contains(&b))
                            || (b == ases[place] && ases[..place].contains(&a))
                    })
                    .collect();
                all.insert(*choice.get(&ties), Link::Plain);
            }
            Network { members, links: all }
        },
    )
}

/// A prefix has one origin at most: the only one that may originate it.
fn only_origin(what: &Happening) -> bool {
    match what {
        Happening::Originate(n, p) => p % NODES + 1 == *n,
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn reflectors_end_as_the_model_says_whatever_happened(
        network in reflectors(), happenings in proptest::collection::vec(happening(), 0..40),
    ) {
        let (mut sim, mut own) = (network.start(), Own::new());
        happenings.iter().for_each(|what| happen(&mut sim, &mut own, what));
        quiesce(&mut sim, &own);
        network.check(&sim, &own)?;
    }

    #[test]
    fn confederations_end_as_the_model_says_whatever_happened(
        network in confederations(), happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let (mut sim, mut own) = (network.start(), Own::new());
        happenings.iter().filter(|what| only_origin(what)).for_each(|what| happen(&mut sim, &mut own, what));
        quiesce(&mut sim, &own);
        network.check(&sim, &own)?;
    }
}
