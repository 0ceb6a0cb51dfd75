//! Best-path options, seen from outside.

use super::*;
use crate::rib::Step;
use crate::speaker::{BestPathConfig, RouteSource};

const PREFIX: &str = "10.9.0.0/24";

/// Node 1 in AS 65001 with the external peers 2 and 3; 4 is behind 2, in AS 65004.
fn fan(best_path: BestPathConfig, (second, third): (u32, u32)) -> Sim {
    let mut sim = sim();
    let center = Config { best_path, ..config(1, 65001) };
    sim.add(node(1), with_peer(with_peer(center, 2, open_peer(second)), 3, open_peer(third)));
    sim.add(node(2), with_peer(with_peer(config(2, second), 1, open_peer(65001)), 4, open_peer(65004)));
    sim.add(node(3), with_peer(config(3, third), 1, open_peer(65001)));
    sim.add(node(4), with_peer(config(4, 65004), 2, open_peer(second)));
    let links = [(1, 2), (1, 3), (2, 4)];
    assert!(sim.run_until(Duration::from_secs(2), |sim| links.iter().all(|(a, b)| is_up(sim, *a, *b))));
    sim
}

fn with_med(sim: &mut Sim, n: u8, med: Option<u32>) {
    let route = OriginatedRoute { med, ..OriginatedRoute::new(prefix(PREFIX)) };
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false });
    sim.run(SOON);
}

fn decision(sim: &Sim) -> (IpAddr, Option<Step>) {
    let best = &explain(sim, 1, PREFIX)[0];
    (best.route.next_hop.addr, best.decided_by)
}

fn reconfigure(sim: &mut Sim, change: impl FnOnce(&mut Config)) {
    let mut config = sim.nodes[&node(1)].config.clone();
    change(&mut config);
    sim.configure(node(1), config);
    sim.run(SOON);
}

#[test]
fn the_higher_weight_wins_before_all_else_and_takes_effect_without_a_new_session() {
    let mut sim = fan(BestPathConfig::default(), (65002, 65003));
    originate(&mut sim, 4, &[PREFIX]);
    originate(&mut sim, 3, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(decision(&sim), (node(3), Some(Step::AsPathLength)));
    reconfigure(&mut sim, |config| config.peers.get_mut(&node(2)).unwrap().weight = 10);
    assert_eq!(decision(&sim), (node(2), Some(Step::Weight)));
    reconfigure(&mut sim, |config| config.peers.get_mut(&node(3)).unwrap().weight = 11);
    assert_eq!(decision(&sim), (node(3), Some(Step::Weight)));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}

#[test]
fn the_length_of_the_path_can_be_left_out() {
    let mut sim = fan(BestPathConfig::default(), (65002, 65003));
    originate(&mut sim, 4, &[PREFIX]);
    originate(&mut sim, 3, &[PREFIX]);
    sim.run(SOON);
    reconfigure(&mut sim, |config| config.best_path.as_path_ignore = true);
    assert_eq!(decision(&sim), (node(2), Some(Step::RouterId)));
}

#[test]
fn a_missing_med_is_the_lowest_or_the_highest() {
    let mut sim = fan(BestPathConfig::default(), (65002, 65002));
    with_med(&mut sim, 2, Some(5));
    with_med(&mut sim, 3, None);
    assert_eq!(decision(&sim), (node(3), Some(Step::Med)));
    reconfigure(&mut sim, |config| config.best_path.med_missing_as_worst = true);
    assert_eq!(decision(&sim), (node(2), Some(Step::Med)));
}

#[test]
fn med_is_compared_between_neighbours_only_if_that_is_wanted() {
    let mut sim = fan(BestPathConfig::default(), (65002, 65003));
    with_med(&mut sim, 2, Some(5));
    with_med(&mut sim, 3, Some(4));
    assert_eq!(decision(&sim), (node(2), Some(Step::RouterId)));
    reconfigure(&mut sim, |config| config.best_path.always_compare_med = true);
    assert_eq!(decision(&sim), (node(3), Some(Step::Med)));
}

#[test]
fn routes_without_local_pref_have_the_default_here_and_for_internal_peers() {
    let mut sim = fan(BestPathConfig::default(), (65002, 65003));
    reconfigure(&mut sim, |config| {
        config.peers.insert(node(5), open_peer(65001));
    });
    sim.add(node(5), with_peer(config(5, 65001), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 1, 5)));
    originate(&mut sim, 2, &[PREFIX]);
    sim.run(SOON);
    let told = |sim: &Sim| explain(sim, 5, PREFIX)[0].route.attributes.local_pref;
    assert_eq!(told(&sim), Some(100));
    reconfigure(&mut sim, |config| config.best_path.default_local_pref = 50);
    assert_eq!(told(&sim), Some(50));
    // Node 5's own says 100 to its internal peer.
    originate(&mut sim, 5, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(decision(&sim), (node(5), Some(Step::LocalPref)));
}

#[test]
fn of_two_owners_of_a_prefix_the_name_decides_whoever_came_first() {
    for order in [["b", "a"], ["a", "b"]] {
        let mut sim = sim();
        sim.add(node(1), config(1, 65001));
        let own = |sim: &mut Sim, owner: &str| {
            let routes = vec![OriginatedRoute::new(prefix(PREFIX))];
            sim.input(node(1), Input::Originate { owner: owner.to_owned(), routes, replace: false });
            sim.run(SOON);
        };
        let best = |sim: &Sim| {
            let best = explain(sim, 1, PREFIX).into_iter().find(|path| path.best).unwrap();
            (best.source, best.decided_by)
        };
        let named = |name: &str| (RouteSource::Local(name.into()), Some(Step::OwnerName));
        order.iter().for_each(|owner| own(&mut sim, owner));
        assert_eq!(best(&sim), named("a"), "{order:?}");
        // One more between them, and one in front of them.
        own(&mut sim, "aa");
        assert_eq!(best(&sim), named("a"), "{order:?}");
        own(&mut sim, "A");
        assert_eq!(best(&sim), named("A"), "{order:?}");
        let gone = Input::Withdraw { owner: "A".to_owned(), prefixes: vec![prefix(PREFIX)] };
        sim.input(node(1), gone);
        sim.run(SOON);
        assert_eq!(best(&sim), named("a"), "{order:?}");
    }
}
