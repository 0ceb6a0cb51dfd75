use super::*;

fn total_sent(sim: &Sim) -> u64 {
    sim.nodes.values().flat_map(|node| node.sent.values()).sum()
}

/// Node 1 with external peers 2 and 3, some routes everywhere, all quiet.
fn three() -> Sim {
    let mut sim = sim();
    let quiet = |asn| {
        let mut peer = open_peer(asn);
        peer.timers.hold = Duration::ZERO;
        peer
    };
    sim.add(node(1), with_peer(with_peer(config(1, 65001), 2, quiet(65002)), 3, quiet(65003)));
    sim.add(node(2), with_peer(config(2, 65002), 1, quiet(65001)));
    sim.add(node(3), with_peer(config(3, 65003), 1, quiet(65001)));
    for n in 1..=3 {
        originate(&mut sim, n, &[&format!("10.{n}.0.0/24"), &format!("fd0{n}::/64")]);
    }
    sim.run(Duration::from_secs(10));
    assert!(sim.nodes.values().all(|node| node.routes.len() == 6));
    sim
}

#[test]
fn i5_the_same_configuration_again_sends_nothing() {
    let mut sim = three();
    let before = total_sent(&sim);
    let config = sim.nodes[&node(1)].config.clone();
    sim.configure(node(1), config);
    sim.run(Duration::from_secs(10));
    assert_eq!(total_sent(&sim), before);
}

#[test]
fn i5_a_new_or_changed_or_removed_peer_is_nothing_to_the_others() {
    let mut sim = three();
    let bytes = |sim: &Sim| sim.nodes[&node(1)].sent[&node(3)];
    let before = bytes(&sim);
    let mut config = with_peer(sim.nodes[&node(1)].config.clone(), 9, open_peer(65009));
    sim.configure(node(1), config.clone());
    sim.run(Duration::from_secs(10));
    config.peers.get_mut(&node(2)).unwrap().description = "rack 2".to_owned();
    config.peers.get_mut(&node(2)).unwrap().timers.connect_retry = Duration::from_secs(9);
    sim.configure(node(1), config.clone());
    sim.run(Duration::from_secs(10));
    assert_eq!(bytes(&sim), before);
    assert_eq!(view(&sim, 1, 3).counters.established, 1);
    // Losing a peer is told, but it is all that is told.
    config.peers.remove(&node(9));
    config.peers.remove(&node(2));
    sim.configure(node(1), config);
    sim.run(Duration::from_secs(10));
    assert!(!knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 3, "10.1.0.0/24"));
    assert!(
        downs(&sim, 2).iter().any(|reason| reason.contains("Peer De-configured")),
        "{:?}",
        downs(&sim, 2)
    );
    assert_eq!(view(&sim, 1, 3).counters.established, 1);
}

#[test]
fn what_needs_a_new_session_resets_that_one_only() {
    let mut sim = three();
    let mut config = sim.nodes[&node(1)].config.clone();
    config.peers.get_mut(&node(2)).unwrap().timers.hold = Duration::from_secs(30);
    sim.configure(node(1), config);
    sim.run(Duration::from_secs(5));
    assert!(
        downs(&sim, 2).iter().any(|reason| reason.contains("Other Configuration Change")),
        "{:?}",
        downs(&sim, 2)
    );
    assert!(is_up(&sim, 1, 2) && knows(&sim, 2, "10.3.0.0/24"));
    assert_eq!((view(&sim, 1, 2).counters.established, view(&sim, 1, 3).counters.established), (2, 1));
}

#[test]
fn a_new_as_or_router_id_of_ours_resets_all() {
    let mut sim = three();
    let new = Config { router_id: "10.9.9.9".parse().unwrap(), ..sim.nodes[&node(1)].config.clone() };
    sim.configure(node(1), new);
    sim.run(Duration::from_secs(5));
    assert!(is_up(&sim, 1, 2) && is_up(&sim, 1, 3));
    assert_eq!(view(&sim, 2, 1).session.unwrap().router_id.to_string(), "10.9.9.9");
}

#[test]
fn owners_keep_their_own_routes() {
    let mut sim = three();
    let give = |sim: &mut Sim, owner: &str, prefixes: &[&str], replace| {
        let routes = prefixes.iter().map(|text| OriginatedRoute::new(prefix(text))).collect();
        sim.input(node(1), Input::Originate { owner: owner.to_owned(), routes, replace });
    };
    give(&mut sim, "felix", &["10.7.0.0/24", "10.8.0.0/24"], true);
    sim.run(SOON);
    give(&mut sim, "felix", &["10.8.0.0/24"], true);
    sim.run(SOON);
    assert!(!knows(&sim, 2, "10.7.0.0/24") && knows(&sim, 2, "10.8.0.0/24") && knows(&sim, 2, "10.1.0.0/24"));
    // Two owners of one prefix: it stays until both have withdrawn it.
    give(&mut sim, "other", &["10.8.0.0/24"], false);
    give(&mut sim, "felix", &[], true);
    sim.run(SOON);
    assert!(knows(&sim, 2, "10.8.0.0/24"));
    give(&mut sim, "other", &[], true);
    sim.run(SOON);
    assert!(!knows(&sim, 2, "10.8.0.0/24"));
}
