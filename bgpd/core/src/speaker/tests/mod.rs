//! Behaviours of whole speakers, in the simulation.

mod add_path;
mod aggregate;
mod attribute_sets;
mod best_path;
mod bfd;
mod confederation;
mod configure;
mod dynamic;
mod groups;
mod limit;
mod link_local;
mod list;
mod local_as;
mod multipath;
mod next_hop;
mod outbound;
mod policy;
mod propagate;
mod property;
mod reflect;
mod refresh;
mod remote_as;
mod restart;
mod role;
mod session;
mod slow;
mod topology;
mod tracking;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cairn_net::{Asn, Prefix};

use super::{Config, Input, OriginatedRoute, PeerChange, PeerConfig, PeerView, RouteView};
use crate::fsm::State;
use crate::policy::Policy;
use crate::sim::Sim;

pub(super) fn sim() -> Sim {
    // The one place where a test needs a point in time: any will do.
    #[allow(clippy::disallowed_methods)]
    Sim::new(Instant::now())
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// The address of node n.
pub(super) fn node(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// A speaker at node n without peers and without graceful restart.
pub(super) fn config(n: u8, asn: u32) -> Config {
    let router_id = format!("10.0.0.{n}").parse().unwrap();
    let next_hop_addresses = vec![ip(&format!("fd00::{n}"))];
    Config { graceful_restart: None, next_hop_addresses, ..Config::new(Asn(asn), router_id) }
}

/// A peer that accepts and announces everything.
pub(super) fn open_peer(asn: u32) -> PeerConfig {
    let all = Some(std::sync::Arc::new(Policy::accept_all()));
    PeerConfig { import: all.clone(), export: all, ..PeerConfig::new(Asn(asn)) }
}

/// Adds `peer` as node n to a configuration.
pub(super) fn with_peer(mut config: Config, n: u8, peer: PeerConfig) -> Config {
    config.peers.insert(node(n), peer);
    config
}

/// Two speakers, up: node 1 in AS 65001, node 2 in this AS.
pub(super) fn pair(asn: u32) -> Sim {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(asn)));
    sim.add(node(2), with_peer(config(2, asn), 1, open_peer(65001)));
    assert!(
        sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)),
        "{:?}",
        sim.nodes[&node(1)].changes
    );
    sim.run(Duration::from_millis(50));
    sim
}

pub(super) fn is_up(sim: &Sim, a: u8, b: u8) -> bool {
    let up = |from: u8, to: u8| state(sim, from, to) == Some(State::Established);
    up(a, b) && up(b, a)
}

pub(super) fn state(sim: &Sim, from: u8, to: u8) -> Option<State> {
    Some(sim.nodes[&node(from)].speaker.as_ref()?.peer(node(to))?.state)
}

pub(super) fn originate(sim: &mut Sim, n: u8, prefixes: &[&str]) {
    let routes = prefixes.iter().map(|text| OriginatedRoute::new(prefix(text))).collect();
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes, replace: false });
}

pub(super) fn withdraw(sim: &mut Sim, n: u8, prefixes: &[&str]) {
    let prefixes = prefixes.iter().map(|text| prefix(text)).collect();
    sim.input(node(n), Input::Withdraw { owner: "test".to_owned(), prefixes });
}

pub(super) fn knows(sim: &Sim, n: u8, text: &str) -> bool {
    sim.nodes[&node(n)].routes.contains_key(&prefix(text))
}

/// Everything that node n has reported as the end of a session or an attempt.
pub(super) fn downs(sim: &Sim, n: u8) -> Vec<String> {
    let reason = |change: &PeerChange| match change {
        PeerChange::Down { reason, .. } => Some(reason.to_string()),
        _ => None,
    };
    sim.nodes[&node(n)].changes.iter().filter_map(|(_, _, change)| reason(change)).collect()
}

pub(super) fn view(sim: &Sim, n: u8, peer: u8) -> PeerView {
    sim.nodes[&node(n)].speaker.as_ref().unwrap().peer(node(peer)).unwrap()
}

/// What node n's routing table says about a prefix, the best path first.
pub(super) fn explain(sim: &Sim, n: u8, text: &str) -> Vec<RouteView> {
    sim.nodes[&node(n)].speaker.as_ref().unwrap().explain(prefix(text))
}

pub(super) const SOON: Duration = Duration::from_millis(100);
