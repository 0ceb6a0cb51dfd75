use super::*;
use crate::rib::{Rejection, Step};
use crate::speaker::NextHopMode;

/// Nodes 2 to 4 around node 1, all in AS 65001; 2 and 3 are clients of it.
fn reflector() -> Sim {
    let mut sim = sim();
    let client = PeerConfig { route_reflector_client: true, ..open_peer(65001) };
    let mut center = with_peer(config(1, 65001), 4, open_peer(65001));
    center = with_peer(with_peer(center, 2, client.clone()), 3, client);
    sim.add(node(1), center);
    for n in 2..=4 {
        sim.add(node(n), with_peer(config(n, 65001), 1, open_peer(65001)));
    }
    assert!(sim.run_until(Duration::from_secs(2), |sim| (2..=4).all(|n| is_up(sim, 1, n))));
    sim
}

#[test]
fn a_reflector_passes_on_between_clients_and_the_rest() {
    let mut sim = reflector();
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 4, &["10.4.0.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 4, "10.2.0.0/24"));
    assert!(knows(&sim, 2, "10.4.0.0/24") && knows(&sim, 3, "10.4.0.0/24"));
    let route = &explain(&sim, 3, "10.2.0.0/24")[0].route;
    assert_eq!(route.next_hop.addr, node(2));
    assert_eq!(route.attributes.originator_id.map(IpAddr::from), Some(node(2)));
    assert_eq!(route.attributes.cluster_list.to_string(), "10.0.0.1");
    assert_eq!(route.attributes.local_pref, Some(100));
    // Node 2 is not told of its own route.
    assert_eq!(explain(&sim, 2, "10.2.0.0/24").len(), 1);
}

#[test]
fn clients_that_have_sessions_with_each_other_need_no_reflection_between_them() {
    let mut sim = reflector();
    let mut config = sim.nodes[&node(1)].config.clone();
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 4, &["10.4.0.0/24"]);
    for reflects in [false, true] {
        config.client_to_client_reflection = reflects;
        sim.configure(node(1), config.clone());
        sim.run(SOON);
        assert_eq!(knows(&sim, 3, "10.2.0.0/24"), reflects);
        // Between clients and the rest it goes on.
        assert!(knows(&sim, 4, "10.2.0.0/24") && knows(&sim, 3, "10.4.0.0/24"));
    }
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}

#[test]
fn a_chain_of_reflectors_is_in_the_cluster_list_the_nearest_first() {
    // 3, client of 1, client of 2, client of 4.
    let mut sim = sim();
    let client = PeerConfig { route_reflector_client: true, ..open_peer(65001) };
    sim.add(node(3), with_peer(config(3, 65001), 1, open_peer(65001)));
    sim.add(node(1), with_peer(with_peer(config(1, 65001), 3, client.clone()), 2, open_peer(65001)));
    sim.add(node(2), with_peer(with_peer(config(2, 65001), 1, client.clone()), 4, open_peer(65001)));
    sim.add(node(4), with_peer(config(4, 65001), 2, client));
    assert!(
        sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 3) && is_up(sim, 1, 2) && is_up(sim, 2, 4))
    );
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    sim.run(SOON);
    let attributes = &explain(&sim, 4, "10.3.0.0/24")[0].route.attributes;
    assert_eq!(attributes.cluster_list.to_string(), "10.0.0.2 10.0.0.1");
    assert_eq!(attributes.originator_id.map(IpAddr::from), Some(node(3)));
}

#[test]
fn without_reflection_internal_routes_stay_where_they_are() {
    let mut sim = sim();
    let center = with_peer(with_peer(config(1, 65001), 2, open_peer(65001)), 3, open_peer(65001));
    sim.add(node(1), center);
    for n in 2..=3 {
        sim.add(node(n), with_peer(config(n, 65001), 1, open_peer(65001)));
    }
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3)));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 3, "10.2.0.0/24"));
}

#[test]
fn two_reflectors_of_one_cluster_do_not_take_each_others_reflections() {
    let mut sim = sim();
    let client = PeerConfig { route_reflector_client: true, ..open_peer(65001) };
    for n in [1, 2] {
        let cluster_id = Some("1.1.1.1".parse().unwrap());
        let mut reflector = Config { cluster_id, ..config(n, 65001) };
        reflector = with_peer(with_peer(reflector, 3 - n, open_peer(65001)), 3, client.clone());
        sim.add(node(n), reflector);
    }
    sim.add(node(3), with_peer(with_peer(config(3, 65001), 1, open_peer(65001)), 2, open_peer(65001)));
    assert!(
        sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3) && is_up(sim, 2, 3))
    );
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    sim.run(SOON);
    let paths = explain(&sim, 1, "10.3.0.0/24");
    assert_eq!(paths.len(), 2);
    assert_eq!(paths[1].rejection, Some(Rejection::ClusterLoop));
}

#[test]
fn a_better_path_of_a_members_own_ends_what_it_was_told() {
    let mut sim = reflector();
    originate(&mut sim, 2, &["10.9.0.0/24"]);
    sim.run(SOON);
    let local_pref = |value| {
        vec![OriginatedRoute { local_pref: Some(value), ..OriginatedRoute::new(prefix("10.9.0.0/24")) }]
    };
    sim.input(
        node(3),
        Input::Originate { owner: "test".to_owned(), routes: local_pref(200), replace: false },
    );
    sim.run(SOON);
    // Node 3's path is the best one now: 3 must not keep 2's, and 2 must have 3's.
    assert_eq!(explain(&sim, 3, "10.9.0.0/24").len(), 1);
    let paths = explain(&sim, 2, "10.9.0.0/24");
    assert_eq!(paths[0].decided_by, Some(Step::LocalPref));
    assert_eq!(paths[0].route.next_hop.addr, node(3));
    withdraw(&mut sim, 3, &["10.9.0.0/24"]);
    sim.run(SOON);
    assert_eq!(explain(&sim, 3, "10.9.0.0/24")[0].route.next_hop.addr, node(2));
    assert_eq!(explain(&sim, 2, "10.9.0.0/24").len(), 1);
}

#[test]
fn an_as_path_with_our_own_as_is_a_loop_unless_allowed() {
    for (allowed, expected) in [(0, false), (1, true)] {
        let mut sim = sim();
        // 1 and 3 share an AS, 2 is between them.
        let loose = PeerConfig { allow_own_as: allowed, ..open_peer(65002) };
        sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65002)));
        sim.add(node(2), with_peer(with_peer(config(2, 65002), 1, open_peer(65001)), 3, open_peer(65001)));
        sim.add(node(3), with_peer(config(3, 65001), 2, loose));
        assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3)));
        originate(&mut sim, 1, &["10.1.0.0/24"]);
        sim.run(SOON);
        assert_eq!(knows(&sim, 3, "10.1.0.0/24"), expected);
    }
}

#[test]
fn the_next_hop_is_ours_theirs_or_unchanged_as_configured() {
    let cases = [
        (65003, NextHopMode::Default, node(2)),
        (65003, NextHopMode::SelfAddress, node(2)),
        (65003, NextHopMode::Unchanged, node(1)),
        (65002, NextHopMode::Default, node(1)),
        (65002, NextHopMode::SelfAddress, node(2)),
    ];
    for (asn, next_hop, expected) in cases {
        let mut sim = sim();
        sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65002)));
        let to_3 = PeerConfig { next_hop, ..open_peer(asn) };
        sim.add(node(2), with_peer(with_peer(config(2, 65002), 1, open_peer(65001)), 3, to_3));
        sim.add(node(3), with_peer(config(3, asn), 2, open_peer(65002)));
        assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3)));
        originate(&mut sim, 1, &["10.1.0.0/24"]);
        sim.run(SOON);
        assert_eq!(explain(&sim, 3, "10.1.0.0/24")[0].route.next_hop.addr, expected, "{asn} {next_hop:?}");
    }
}
