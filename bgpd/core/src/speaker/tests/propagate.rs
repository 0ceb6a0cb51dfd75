use super::*;

#[test]
fn a_session_comes_up_and_routes_of_both_families_come_and_go() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    sim.run(Duration::from_millis(50));
    assert!(knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "fd01::/64"));
    let routes = &sim.nodes[&node(2)].routes;
    assert_eq!(routes[&prefix("10.1.0.0/24")].next_hops[..], [node(1)]);
    assert_eq!(routes[&prefix("fd01::/64")].next_hops[..], [ip("fd00::1")]);
    withdraw(&mut sim, 1, &["10.1.0.0/24"]);
    sim.run(Duration::from_millis(50));
    assert!(!knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "fd01::/64"));
}

#[test]
fn a_late_joiner_gets_the_whole_table_and_its_end() {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65002)));
    originate(&mut sim, 1, &["10.1.0.0/24", "10.2.0.0/24", "fd01::/64"]);
    sim.run(Duration::from_secs(5));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(1), |sim| sim.nodes[&node(2)].routes.len() == 3));
    sim.run(Duration::from_millis(50));
    let view = sim.nodes[&node(2)].speaker.as_ref().unwrap().peer(node(1)).unwrap();
    assert!(view.families.iter().all(|family| family.end_of_rib), "{view:?}");
    let view = sim.nodes[&node(1)].speaker.as_ref().unwrap().peer(node(2)).unwrap();
    assert_eq!(view.families.iter().map(|family| family.advertised).collect::<Vec<_>>(), [2, 1]);
}
