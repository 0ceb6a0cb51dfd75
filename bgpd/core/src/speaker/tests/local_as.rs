use super::*;
use crate::speaker::LocalAs;

/// Node 1 of AS 65001 speaks as AS 65010 to node 2 of AS 65002, and as itself to node 3 of AS 65003. Nodes 2 and 3 originate.
fn migrating(no_prepend: bool, replace_as: bool) -> Sim {
    let mut sim = sim();
    let local_as = Some(LocalAs { asn: Asn(65010), no_prepend, replace_as });
    let migrated = PeerConfig { local_as, ..open_peer(65002) };
    let config_1 = with_peer(with_peer(config(1, 65001), 2, migrated), 3, open_peer(65003));
    sim.add(node(1), config_1);
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65010)));
    sim.add(node(3), with_peer(config(3, 65003), 1, open_peer(65001)));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(3), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3)));
    sim.run(SOON);
    sim
}

fn path(sim: &Sim, n: u8, text: &str) -> String {
    let routes = explain(sim, n, text);
    routes.first().map(|route| route.route.attributes.as_path.to_string()).unwrap_or_default()
}

#[test]
fn a_local_as_is_put_before_paths_both_ways_unless_configured_otherwise() {
    for (no_prepend, replace_as, to_2, to_3) in [
        (false, false, "65010 65001 65003", "65001 65010 65002"),
        (true, false, "65010 65001 65003", "65001 65002"),
        (false, true, "65010 65003", "65001 65010 65002"),
        (true, true, "65010 65003", "65001 65002"),
    ] {
        let sim = migrating(no_prepend, replace_as);
        assert_eq!(path(&sim, 2, "10.3.0.0/24"), to_2, "no_prepend {no_prepend}, replace_as {replace_as}");
        assert_eq!(path(&sim, 3, "10.2.0.0/24"), to_3, "no_prepend {no_prepend}, replace_as {replace_as}");
    }
}

#[test]
fn a_path_that_went_through_the_local_as_before_is_a_loop() {
    let mut sim = sim();
    let local_as = Some(LocalAs { asn: Asn(65003), no_prepend: false, replace_as: false });
    sim.add(node(1), with_peer(config(1, 65001), 2, PeerConfig { local_as, ..open_peer(65002) }));
    let config_2 = with_peer(with_peer(config(2, 65002), 1, open_peer(65003)), 3, open_peer(65003));
    sim.add(node(2), config_2);
    sim.add(node(3), with_peer(config(3, 65003), 2, open_peer(65002)));
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(3), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3)));
    sim.run(SOON);
    let routes = explain(&sim, 1, "10.3.0.0/24");
    assert_eq!(routes.first().and_then(|route| route.rejection), Some(crate::rib::Rejection::AsLoop));
}

#[test]
fn a_changed_local_as_makes_the_session_anew() {
    let mut sim = migrating(false, false);
    let mut changed = sim.nodes[&node(1)].config.clone();
    changed.peers.get_mut(&node(2)).unwrap().local_as = None;
    sim.configure(node(1), changed);
    sim.run(Duration::from_secs(3));
    assert!(!is_up(&sim, 1, 2), "node 2 wants AS 65010");
    assert!(is_up(&sim, 1, 3));
    assert!(downs(&sim, 2).iter().any(|reason| reason.contains("wrong AS")), "{:?}", downs(&sim, 2));
}

#[test]
fn in_a_confederation_the_identifier_follows_the_local_as_and_members_see_nothing_of_it() {
    let mut sim = sim();
    let confederation =
        crate::speaker::Confederation { identifier: Asn(65100), members: [Asn(65003)].into_iter().collect() };
    let member = |n, asn| Config { confederation: Some(confederation.clone()), ..config(n, asn) };
    let local_as = Some(LocalAs { asn: Asn(65010), no_prepend: false, replace_as: false });
    let with_local_as = |asn| PeerConfig { local_as, ..open_peer(asn) };
    sim.add(
        node(1),
        with_peer(with_peer(member(1, 65001), 2, with_local_as(65002)), 3, with_local_as(65003)),
    );
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65010)));
    let mut config_3 = member(3, 65003);
    config_3.confederation.as_mut().unwrap().members = [Asn(65001)].into_iter().collect();
    sim.add(node(3), with_peer(config_3, 1, open_peer(65001)));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(3), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3)));
    sim.run(SOON);
    assert_eq!(path(&sim, 2, "10.3.0.0/24"), "65010 65100");
    assert_eq!(path(&sim, 3, "10.2.0.0/24"), "(65001) 65010 65002");
}

#[test]
fn what_replaces_numbers_in_a_path_is_the_one_that_the_peer_sees() {
    for (replace_as, told) in [(false, "65010 65001 65001"), (true, "65010 65010")] {
        let mut sim = migrating(false, replace_as);
        let mut changed = sim.nodes[&node(1)].config.clone();
        changed.peers.get_mut(&node(2)).unwrap().outbound.remove_private_as =
            Some(crate::speaker::RemovePrivateAs { all: true, replace: true });
        sim.configure(node(1), changed);
        sim.run(SOON);
        assert_eq!(path(&sim, 2, "10.3.0.0/24"), told, "replace_as {replace_as}");
    }
}
