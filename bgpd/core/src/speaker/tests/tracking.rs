//! Next hops followed through the kernel's routes and the Loc-RIB.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::nexthop::{
    Forwarding, Gateway, Ineligible, KernelRoute, KernelTarget, NextHopTracking, ResolvedBy, Unresolved,
};
use crate::policy::{Change as PolicyChange, Condition, Disposition, Filter, NextHopSetting, Policy, Rule};
use crate::rib::Step;
use crate::speaker::{Interface, NextHopMode, NextHopView, RouteSource, SoftReset, Ttl};

const PREFIX: &str = "203.0.113.0/24";
/// Next hops of the routes of nodes 2 and 3.
const HOPS: [&str; 2] = ["198.51.100.2", "198.51.100.130"];
/// The networks that these are in.
const NETWORKS: [&str; 2] = ["198.51.100.0/25", "198.51.100.128/25"];

fn via(network: &str, metric: u32, gateway: &str) -> (Prefix, KernelRoute) {
    let gateway = Gateway { address: gateway.parse().ok(), interface: 2, onlink: false };
    (prefix(network), KernelRoute { metric, protocol: 4, target: KernelTarget::Gateways([gateway].into()) })
}

fn tracked(config: Config) -> Config {
    Config { next_hop_tracking: Some(NextHopTracking::default()), ..config }
}

/// Node 1 with the internal peers 2, 3 and 4, of which 2 and 3 announce one prefix with their next hops. Nothing is known of the kernel yet.
fn three(center: impl FnOnce(Config) -> Config) -> Sim {
    let mut sim = sim();
    let client = PeerConfig { route_reflector_client: true, ..open_peer(65001) };
    let own = (2..=4).fold(config(1, 65001), |config, n| with_peer(config, n, client.clone()));
    sim.add(node(1), center(own));
    for n in 2..=4 {
        sim.add(node(n), with_peer(config(n, 65001), 1, open_peer(65001)));
    }
    assert!(sim.run_until(Duration::from_secs(5), |sim| (2..=4).all(|n| is_up(sim, 1, n))));
    announce(&mut sim, 2, &[PREFIX], HOPS[0]);
    announce(&mut sim, 3, &[PREFIX], HOPS[1]);
    sim
}

fn announce(sim: &mut Sim, n: u8, prefixes: &[&str], hop: &str) {
    let route =
        |text: &&str| OriginatedRoute { next_hop: Some(ip(hop)), ..OriginatedRoute::new(prefix(text)) };
    let routes = prefixes.iter().map(route).collect();
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes, replace: false });
    sim.run(SOON);
}

fn kernel(sim: &mut Sim, routes: &[(Prefix, KernelRoute)]) {
    sim.set_kernel(node(1), routes.to_vec());
    sim.run(SOON);
}

fn best(sim: &Sim) -> (IpAddr, Option<Step>) {
    let best = &explain(sim, 1, PREFIX)[0];
    assert!(best.best);
    (best.route.next_hop.addr, best.decided_by)
}

fn hop(sim: &Sim, address: &str) -> NextHopView {
    let hops = sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hops(None, usize::MAX);
    hops.into_iter().find(|hop| hop.address == ip(address)).unwrap()
}

/// The first router that packets go to by way of a next hop.
fn gateway(sim: &Sim, address: &str) -> Option<IpAddr> {
    match forwarding(sim, address) {
        Forwarding::Through(gateways) => gateways[0].address,
        other => panic!("{other:?}"),
    }
}

fn forwarding(sim: &Sim, address: &str) -> Forwarding {
    sim.nodes[&node(1)].speaker.as_ref().unwrap().forwarding(ip(address))
}

fn metrics(first: u32, second: u32) -> [(Prefix, KernelRoute); 2] {
    [via(NETWORKS[0], first, "192.0.2.1"), via(NETWORKS[1], second, "192.0.2.2")]
}

#[test]
fn the_nearer_next_hop_wins_as_metrics_come_and_go() {
    let mut sim = three(tracked);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::RouterId)), "before anything is known all are equal");
    kernel(&mut sim, &metrics(20, 10));
    assert_eq!(best(&sim), (ip(HOPS[1]), Some(Step::IgpMetric)));
    let told = explain(&sim, 1, PREFIX);
    assert_eq!((told[0].metric, told[1].metric), (Some(10), Some(20)));
    assert_eq!(explain(&sim, 4, PREFIX)[0].route.next_hop.addr, ip(HOPS[1]));
    kernel(&mut sim, &metrics(9, 10));
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::IgpMetric)));
}

#[test]
fn a_path_whose_next_hop_is_unreachable_is_not_used_and_says_why() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(20, 10)[..1]);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::Only)));
    let told = explain(&sim, 1, PREFIX);
    assert_eq!((told[1].ineligible, told[1].metric), (Some(Ineligible::NextHopUnreachable), None));
    assert_eq!(hop(&sim, HOPS[1]).way, Some(Err(Unresolved::NoRoute)));
    kernel(&mut sim, &[]);
    assert!(!knows(&sim, 1, PREFIX) && !knows(&sim, 4, PREFIX));
    kernel(&mut sim, &metrics(20, 10));
    assert_eq!(best(&sim).0, ip(HOPS[1]));
    assert!(knows(&sim, 4, PREFIX));
    // Each change was told, and when it was.
    let last = sim.nodes[&node(1)].next_hops.last().unwrap();
    assert_eq!((last.address, last.way.as_ref().unwrap().is_ok()), (ip(HOPS[1]), true));
    let statistics = sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hop_statistics().unwrap();
    assert_eq!((statistics.reachable, statistics.unreachable, statistics.changes), (2, 0, 3));
}

#[test]
fn a_next_hop_behind_a_blackhole_is_used_and_discards() {
    let mut sim = three(tracked);
    let to = |target| (prefix(NETWORKS[0]), KernelRoute { metric: 5, protocol: 4, target });
    kernel(&mut sim, &metrics(20, 10));
    sim.nodes.get_mut(&node(1)).unwrap().reports.clear();
    kernel(&mut sim, &[to(KernelTarget::Blackhole), metrics(20, 10)[1].clone()]);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::IgpMetric)));
    assert_eq!(forwarding(&sim, HOPS[0]), Forwarding::Discard);
    assert_eq!(explain(&sim, 4, PREFIX)[0].route.next_hop.addr, ip(HOPS[0]));
    // The same metric, and packets go on.
    kernel(&mut sim, &[via(NETWORKS[0], 5, "192.0.2.1"), metrics(20, 10)[1].clone()]);
    assert_eq!(gateway(&sim, HOPS[0]), Some(ip("192.0.2.1")));
    assert_eq!(sim.nodes[&node(1)].reports, [prefix(PREFIX), prefix(PREFIX)]);
    kernel(&mut sim, &[to(KernelTarget::Refused), metrics(20, 10)[1].clone()]);
    assert_eq!(best(&sim), (ip(HOPS[1]), Some(Step::Only)));
}

#[test]
fn only_what_uses_the_next_hop_is_selected_anew() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(10, 10));
    let others: Vec<String> = (0..100).map(|n| format!("10.1.{n}.0/24")).collect();
    announce(&mut sim, 3, &others.iter().map(String::as_str).collect::<Vec<_>>(), HOPS[1]);
    announce(&mut sim, 2, &["10.2.0.0/24"], HOPS[0]);
    let center = sim.nodes.get_mut(&node(1)).unwrap();
    center.reports.clear();
    let changes = center.speaker.as_ref().unwrap().rib_changes();
    kernel(&mut sim, &metrics(20, 10)[1..]);
    let center = &sim.nodes[&node(1)];
    let mut reports = center.reports.clone();
    reports.sort_unstable();
    assert_eq!(reports, [prefix("10.2.0.0/24"), prefix(PREFIX)]);
    assert_eq!(center.speaker.as_ref().unwrap().rib_changes(), changes + 2);
    // What changes no way changes nothing.
    let sent = sim.nodes[&node(1)].sent.clone();
    kernel(&mut sim, &[via(NETWORKS[1], 10, "192.0.2.2"), via("172.16.0.0/12", 5, "192.0.2.1")]);
    assert_eq!((sim.nodes[&node(1)].reports.len(), &sim.nodes[&node(1)].sent), (2, &sent));
}

#[test]
fn another_gateway_is_reported_although_the_path_is_the_same() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(10, 20));
    sim.nodes.get_mut(&node(1)).unwrap().reports.clear();
    let sent = sim.nodes[&node(1)].sent.clone();
    kernel(&mut sim, &[via(NETWORKS[0], 10, "192.0.2.77"), metrics(10, 20)[1].clone()]);
    let center = &sim.nodes[&node(1)];
    assert_eq!((&center.reports, &center.sent), (&vec![prefix(PREFIX)], &sent));
    assert_eq!(gateway(&sim, HOPS[0]), Some(ip("192.0.2.77")));
}

#[test]
fn next_hops_are_counted_while_paths_have_them() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(10, 10));
    announce(&mut sim, 2, &["10.1.0.0/24", "10.2.0.0/24"], HOPS[0]);
    assert_eq!((hop(&sim, HOPS[0]).paths, hop(&sim, HOPS[1]).paths), (3, 1));
    withdraw(&mut sim, 3, &[PREFIX]);
    withdraw(&mut sim, 2, &["10.1.0.0/24"]);
    sim.run(SOON);
    let hops = sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hops(None, usize::MAX);
    assert_eq!(hops.iter().map(|hop| (hop.address, hop.paths)).collect::<Vec<_>>(), [(ip(HOPS[0]), 2)]);
    // It comes back as a new one.
    announce(&mut sim, 3, &[PREFIX], HOPS[1]);
    assert_eq!(hop(&sim, HOPS[1]).paths, 1);
    sim.kill(node(2));
    sim.run(SOON);
    let speaker = sim.nodes[&node(1)].speaker.as_ref().unwrap();
    assert_eq!(speaker.next_hops(None, usize::MAX).len(), 1);
}

#[test]
fn without_tracking_everything_is_reachable_and_switching_it_needs_no_session() {
    let mut sim = three(|config| config);
    kernel(&mut sim, &[]);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::RouterId)));
    assert_eq!(explain(&sim, 1, PREFIX)[0].metric, None);
    let off = sim.nodes[&node(1)].config.clone();
    sim.configure(node(1), tracked(off.clone()));
    sim.run(SOON);
    assert!(knows(&sim, 1, PREFIX), "what the kernel has is not known yet");
    kernel(&mut sim, &metrics(20, 10)[..1]);
    assert_eq!(explain(&sim, 1, PREFIX)[1].ineligible, Some(Ineligible::NextHopUnreachable));
    kernel(&mut sim, &[]);
    assert!(!knows(&sim, 1, PREFIX));
    sim.configure(node(1), off);
    sim.run(SOON);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::RouterId)));
    assert!(sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hop_statistics().is_none());
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}

#[test]
fn the_default_route_counts_as_long_as_the_option_says_so() {
    let mut sim = three(tracked);
    kernel(&mut sim, &[via("0.0.0.0/0", 7, "192.0.2.1")]);
    assert_eq!(explain(&sim, 1, PREFIX)[0].metric, Some(7));
    let mut config = sim.nodes[&node(1)].config.clone();
    config.next_hop_tracking = Some(NextHopTracking { resolve_via_default: false });
    sim.configure(node(1), config);
    sim.run(SOON);
    assert!(!knows(&sim, 1, PREFIX));
    assert_eq!(hop(&sim, HOPS[0]).way, Some(Err(Unresolved::OnlyDefault)));
}

#[test]
fn a_learned_route_leads_to_a_next_hop_as_long_as_it_is_there() {
    let mut sim = three(tracked);
    kernel(&mut sim, &[via("192.0.2.0/24", 0, ""), via("10.0.0.0/8", 30, "192.0.2.1")]);
    assert!(!knows(&sim, 1, PREFIX));
    announce(&mut sim, 4, &["198.51.100.0/24"], "10.7.0.1");
    assert_eq!(explain(&sim, 1, PREFIX)[0].metric, Some(30));
    assert_eq!(gateway(&sim, HOPS[0]), Some(ip("192.0.2.1")));
    // The way to that one's next hop is the way to this one.
    kernel(&mut sim, &[via("192.0.2.0/24", 0, ""), via("10.0.0.0/8", 40, "192.0.2.9")]);
    assert_eq!(explain(&sim, 1, PREFIX)[0].metric, Some(40));
    withdraw(&mut sim, 4, &["198.51.100.0/24"]);
    sim.run(SOON);
    assert!(!knows(&sim, 1, PREFIX));
}

/// How often a next hop was looked up since the last time that this was asked.
fn lookups(sim: &Sim, before: &mut u64) -> u64 {
    let now = sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hop_statistics().unwrap().lookups;
    now - std::mem::replace(before, now)
}

#[test]
fn only_what_a_change_touches_is_looked_up_again() {
    let mut sim = three(tracked);
    kernel(&mut sim, &[via("192.0.2.0/24", 0, ""), via("10.0.0.0/8", 30, "192.0.2.1")]);
    // The ways to both next hops lead through one each of learned routes, and a third one is for itself.
    announce(&mut sim, 4, &[NETWORKS[0]], "10.1.0.1");
    announce(&mut sim, 4, &[NETWORKS[1]], "10.2.0.1");
    announce(&mut sim, 4, &["10.77.0.0/24"], "192.0.2.9");
    let mut before = 0;
    lookups(&sim, &mut before);
    let told = |sim: &mut Sim, network: &str, metric: Option<u32>| {
        let route = metric.map(|metric| via(network, metric, "192.0.2.1").1);
        let changes = vec![(prefix(network), route)];
        sim.input(node(1), Input::KernelRoutes { changes, whole: false });
        sim.run(SOON);
    };
    told(&mut sim, "10.1.0.0/16", Some(40));
    assert_eq!(explain(&sim, 1, PREFIX).iter().filter_map(|path| path.metric).collect::<Vec<_>>(), [30, 40]);
    assert_eq!(
        lookups(&sim, &mut before),
        2,
        "that of the learned route, and the one which leads through it"
    );
    told(&mut sim, "172.16.0.0/12", Some(5));
    assert_eq!(lookups(&sim, &mut before), 0);
    // The same once more, and a path to a prefix that covers its own next hop.
    announce(&mut sim, 4, &["10.77.0.0/24"], "192.0.2.9");
    announce(&mut sim, 2, &["198.51.100.0/24"], HOPS[0]);
    assert_eq!(lookups(&sim, &mut before), 1);
    for _ in 0..3 {
        announce(&mut sim, 2, &["198.51.100.0/24"], HOPS[0]);
    }
    sim.input(node(1), Input::SoftReset { peer: Some(node(2)), way: SoftReset::In });
    sim.run(SOON);
    assert!(view(&sim, 1, 2).counters.route_refreshes_sent > 0, "they came once more");
    assert_eq!(lookups(&sim, &mut before), 0);
    withdraw(&mut sim, 2, &["198.51.100.0/24"]);
    sim.run(SOON);
    assert_eq!(lookups(&sim, &mut before), 1);
}

#[test]
fn a_prefix_that_covers_its_own_next_hop_does_not_carry_it() {
    let mut sim = three(tracked);
    kernel(&mut sim, &[via("0.0.0.0/0", 5, "192.0.2.1")]);
    announce(&mut sim, 2, &["198.51.100.0/24"], HOPS[0]);
    assert_eq!(hop(&sim, HOPS[0]).way.unwrap().unwrap().prefix, prefix("0.0.0.0/0"));
    // Another path to it may be chosen: the way to the next hop is the same for that.
    announce(&mut sim, 4, &["198.51.100.0/24"], "192.0.2.4");
    assert_eq!(hop(&sim, HOPS[0]).way.unwrap().unwrap().prefix, prefix("0.0.0.0/0"));
    kernel(&mut sim, &[via("192.0.2.0/24", 0, "")]);
    assert_eq!(hop(&sim, HOPS[0]).way, Some(Err(Unresolved::NoRoute)));
    assert!(knows(&sim, 1, "198.51.100.0/24"), "node 4's is still there");
}

/// Node 1 with the external peer 2, which announces a route with a next hop of somebody else.
fn external(change: impl FnOnce(&mut PeerConfig)) -> Sim {
    let mut sim = sim();
    let mut peer = open_peer(65002);
    change(&mut peer);
    sim.add(node(1), tracked(with_peer(config(1, 65001), 2, peer)));
    let third = PeerConfig { next_hop: NextHopMode::Address(ip(HOPS[0])), ..open_peer(65001) };
    sim.add(node(2), with_peer(config(2, 65002), 1, third));
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 2)));
    originate(&mut sim, 2, &[PREFIX]);
    sim.run(SOON);
    kernel(&mut sim, &[via(NETWORKS[0], 5, "192.0.2.1")]);
    sim
}

#[test]
fn next_hops_of_a_single_hop_external_peer_have_to_be_connected_unless_that_is_off() {
    let mut sim = external(|_| {});
    assert!(!knows(&sim, 1, PREFIX));
    assert_eq!(explain(&sim, 1, PREFIX)[0].ineligible, Some(Ineligible::NextHopNotConnected));
    kernel(&mut sim, &[via(NETWORKS[0], 5, "")]);
    assert!(knows(&sim, 1, PREFIX));
    kernel(&mut sim, &[via(NETWORKS[0], 5, "192.0.2.1")]);
    assert!(!knows(&sim, 1, PREFIX));
    let mut config = sim.nodes[&node(1)].config.clone();
    config.peers.get_mut(&node(2)).unwrap().connected_check = false;
    sim.configure(node(1), config);
    sim.run(SOON);
    assert!(knows(&sim, 1, PREFIX));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
    assert!(knows(&external(|peer| peer.transport.ttl = Ttl::MultiHop(3)), 1, PREFIX));
    assert!(knows(&external(|peer| peer.transport.ttl = Ttl::Security(2)), 1, PREFIX));
    assert!(!knows(&external(|peer| peer.transport.ttl = Ttl::Security(1)), 1, PREFIX));
}

/// An import policy that gives every path this next hop.
fn through(next_hop: NextHopSetting) -> Option<Arc<Policy>> {
    let rule = Rule::new(Condition::Always, vec![PolicyChange::NextHop(next_hop)], Disposition::Accept);
    let filter = Filter { name: "through".to_owned(), rules: vec![rule], default: Disposition::Accept };
    Some(Arc::new(Policy::new(vec![Arc::new(filter)], false)))
}

#[test]
fn a_next_hop_of_our_own_is_of_use_where_the_import_policy_has_put_it() {
    const OTHER: &str = "192.0.2.77";
    let mut sim = external(|peer| peer.import = through(NextHopSetting::OwnAddress));
    let own = Interface { addresses: vec![node(1), ip(OTHER)] };
    sim.input(node(1), Input::InterfacesChanged(vec![own]));
    sim.run(SOON);
    let path = explain(&sim, 1, PREFIX).remove(0);
    assert!(path.best, "{:?}", path.ineligible);
    assert_eq!((path.route.next_hop.addr, path.metric), (node(1), Some(0)));
    assert_eq!(hop(&sim, "10.0.0.1").way.unwrap().unwrap().by, ResolvedBy::Own);
    assert_eq!(forwarding(&sim, "10.0.0.1"), Forwarding::Own);
    // One that comes so is not used, although the policy sets it for others.
    let mut config = sim.nodes[&node(1)].config.clone();
    config.peers.get_mut(&node(2)).unwrap().import = through(NextHopSetting::Address(ip(OTHER)));
    sim.configure(node(1), with_peer(config, 3, open_peer(65001)));
    sim.add(node(3), with_peer(super::config(3, 65001), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 3)));
    announce(&mut sim, 3, &[PREFIX], OTHER);
    let paths = explain(&sim, 1, PREFIX);
    assert_eq!((paths[0].source.clone(), paths[0].best), (RouteSource::Peer(node(2)), true));
    assert_eq!(paths[1].ineligible, Some(Ineligible::OwnNextHop));
    // Once the address is nobody's, the paths are not used either.
    sim.input(node(1), Input::InterfacesChanged(vec![Interface { addresses: vec![node(1)] }]));
    sim.run(SOON);
    assert!(!knows(&sim, 1, PREFIX));
}

#[test]
fn next_hops_of_a_peer_bound_to_a_vrf_are_none_of_the_main_tables() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(20, 10)[..1]);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::Only)));
    let mut config = sim.nodes[&node(1)].config.clone();
    config.peers.get_mut(&node(3)).unwrap().transport.device = Some("red".to_owned());
    sim.configure(node(1), config.clone());
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 1, 3)));
    sim.run(SOON);
    assert_eq!(best(&sim), (ip(HOPS[1]), Some(Step::IgpMetric)));
    let hops = |sim: &Sim| sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hops(None, usize::MAX).len();
    assert_eq!(hops(&sim), 1);
    config.peers.get_mut(&node(3)).unwrap().transport.device = None;
    sim.configure(node(1), config);
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 1, 3)));
    sim.run(SOON);
    assert_eq!((best(&sim).0, hops(&sim)), (ip(HOPS[0]), 2));
}

#[test]
fn a_speaker_that_takes_over_decides_as_the_old_one_did() {
    let mut sim = three(tracked);
    kernel(&mut sim, &metrics(20, 10));
    let sent = sim.nodes[&node(1)].sent.clone();
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert_eq!(best(&sim), (ip(HOPS[1]), Some(Step::IgpMetric)));
    assert_eq!(sim.nodes[&node(1)].sent, sent, "nobody is told anything");
    // What changed before it looked for itself is noticed, and told.
    sim.change_kernel(node(1), metrics(5, 10).to_vec());
    assert_eq!(best(&sim).0, ip(HOPS[1]));
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::IgpMetric)));
    assert_eq!(explain(&sim, 4, PREFIX)[0].route.next_hop.addr, ip(HOPS[0]));
    assert_eq!(
        (sim.nodes[&node(1)].reports.last(), view(&sim, 1, 4).counters.established),
        (Some(&prefix(PREFIX)), 1)
    );
}

#[test]
fn a_speaker_that_takes_over_before_the_kernel_is_known_waits_for_it_too() {
    let mut sim = three(tracked);
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert_eq!(best(&sim), (ip(HOPS[0]), Some(Step::RouterId)));
    assert_eq!(hop(&sim, HOPS[0]).way, None);
    kernel(&mut sim, &metrics(20, 10));
    assert_eq!(best(&sim), (ip(HOPS[1]), Some(Step::IgpMetric)));
}

#[test]
fn a_circle_of_decisions_is_interrupted() {
    // The way to each next hop depends on what is chosen for the other's network: each is nearer by the choice that makes the other one
    // farther.
    let mut sim = three(tracked);
    kernel(
        &mut sim,
        &[
            via("0.0.0.0/0", 50, "192.0.2.1"),
            via("10.8.0.0/16", 10, "192.0.2.2"),
            via("10.9.0.0/16", 90, "192.0.2.3"),
        ],
    );
    announce(&mut sim, 2, &["198.51.100.0/25"], "10.8.0.1");
    announce(&mut sim, 3, &["198.51.100.0/25"], HOPS[1]);
    announce(&mut sim, 2, &["198.51.100.128/25"], "10.9.0.1");
    announce(&mut sim, 4, &["198.51.100.128/25"], HOPS[0]);
    let reports = sim.nodes[&node(1)].reports.len();
    sim.run(Duration::from_secs(10));
    // However it ends, or does not: a second has a bounded number of changes.
    assert!(sim.nodes[&node(1)].reports.len() - reports < 10 * 64);
    assert!(knows(&sim, 1, PREFIX) && is_up(&sim, 1, 2));
}

/// One step of a history: a route of the kernel, or a route announced by node 2 or 3.
#[derive(Debug, Clone)]
enum Change {
    Kernel(usize, Option<u32>),
    Announced(u8, usize, Option<usize>),
}

const PREFIXES: [&str; 6] =
    ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16", "203.0.113.0/24"];
const ADDRESSES: [&str; 5] = ["10.1.1.1", "10.1.2.1", "10.2.0.1", "10.3.0.1", "172.16.0.1"];

fn change() -> impl Strategy<Value = Change> {
    let kernel =
        (0..PREFIXES.len(), proptest::option::of(0..3_u32)).prop_map(|(n, metric)| Change::Kernel(n, metric));
    let announced = (2..4_u8, 0..PREFIXES.len(), proptest::option::of(0..ADDRESSES.len()))
        .prop_map(|(n, prefix, hop)| Change::Announced(n, prefix, hop));
    prop_oneof![kernel, announced]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happened: looking everything up again, and selecting everything again, changes nothing.
    #[test]
    fn what_is_followed_step_by_step_agrees_with_the_whole(changes in proptest::collection::vec(change(), 1..40)) {
        let mut sim = three(tracked);
        kernel(&mut sim, &[]);
        for change in changes {
            match change {
                Change::Kernel(n, metric) => {
                    let route = metric.map(|metric| via(PREFIXES[n], metric, "192.0.2.1").1);
                    let changes = vec![(prefix(PREFIXES[n]), route)];
                    sim.input(node(1), Input::KernelRoutes { changes, whole: false });
                }
                Change::Announced(n, net, Some(hop)) => announce(&mut sim, n, &[PREFIXES[net]], ADDRESSES[hop]),
                Change::Announced(n, net, None) => withdraw(&mut sim, n, &[PREFIXES[net]]),
            }
            sim.run(Duration::from_millis(20));
        }
        sim.run(SOON);
        let center = |sim: &Sim| {
            let center = &sim.nodes[&node(1)];
            (center.next_hops.len(), center.reports.len())
        };
        // Decisions may go round in a circle, where nothing ever agrees.
        prop_assume!(sim.nodes[&node(1)].speaker.as_ref().unwrap().next_hop_deadline().is_none());
        let before = center(&sim);
        sim.input(node(1), Input::NeighborLinks([(ip("fe80::9"), 9)].into()));
        let mut config = sim.nodes[&node(1)].config.clone();
        // Means nothing where one path is used, but has everything selected.
        config.best_path.multipath_relax = true;
        sim.configure(node(1), config);
        sim.run(SOON);
        prop_assert_eq!(before, center(&sim));
    }
}
