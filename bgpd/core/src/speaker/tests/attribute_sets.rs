//! Attribute sets are kept as long as a path has them, and not much longer.

use super::*;

/// Routes of the peer. Each has a set of its own.
const ROUTES: u32 = 10_000;
/// A table so small is not looked through.
const FEW: usize = 1024;

/// Node 2 announces its routes, with sets that no other round has.
fn announce(sim: &mut Sim, round: u32) {
    let route = |n: u32| {
        let prefix = Prefix::new(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap();
        OriginatedRoute { med: Some(round * ROUTES + n), ..OriginatedRoute::new(prefix) }
    };
    let routes = (0..ROUTES).map(route).collect();
    sim.input(node(2), Input::Originate { owner: "test".to_owned(), routes, replace: true });
    sim.run(Duration::from_secs(1));
}

/// Paths and sets of node 1.
fn sizes(sim: &Sim) -> (usize, usize) {
    let statistics = sim.nodes[&node(1)].speaker.as_ref().unwrap().statistics();
    (statistics.paths, statistics.attribute_sets)
}

/// Node 1 has the routes.
fn full() -> Sim {
    let mut sim = pair(65002);
    announce(&mut sim, 0);
    let (paths, sets) = sizes(&sim);
    assert_eq!(paths, ROUTES as usize);
    assert!(sets >= paths, "{sets} sets for {paths} paths");
    sim
}

#[test]
fn sets_that_are_replaced_without_end_are_forgotten() {
    let mut sim = full();
    for round in 1..20 {
        announce(&mut sim, round);
        let (paths, sets) = sizes(&sim);
        assert_eq!(paths, ROUTES as usize);
        assert!(sets <= 4 * paths, "round {round}: {sets} sets for {paths} paths");
    }
}

#[test]
fn sets_are_forgotten_with_the_routes_that_are_withdrawn() {
    let mut sim = full();
    let none = Input::Originate { owner: "test".to_owned(), routes: Vec::new(), replace: true };
    sim.input(node(2), none);
    sim.run(Duration::from_secs(1));
    let (paths, sets) = sizes(&sim);
    assert!(paths == 0 && sets <= FEW, "{sets} sets for {paths} paths");
    // And so they are once more.
    announce(&mut sim, 1);
    sim.input(node(2), Input::Originate { owner: "test".to_owned(), routes: Vec::new(), replace: true });
    sim.run(Duration::from_secs(1));
    assert!(sizes(&sim).1 <= FEW, "{:?}", sizes(&sim));
}

#[test]
fn sets_are_forgotten_with_the_peer() {
    let mut sim = full();
    sim.input(node(1), Input::StopPeer { peer: node(2), text: String::new() });
    sim.run(Duration::from_secs(1));
    let (paths, sets) = sizes(&sim);
    assert!(paths == 0 && sets <= FEW, "{sets} sets for {paths} paths");
}
