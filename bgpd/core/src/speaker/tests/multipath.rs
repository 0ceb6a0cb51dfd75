use super::*;
use crate::speaker::BestPathConfig;

/// Node 1 in AS 65001 with two external peers, 2 in AS 65002 and 3 in the other AS given.
fn fan(best_path: BestPathConfig, other: u32) -> Sim {
    let mut sim = sim();
    let center = Config { best_path, ..config(1, 65001) };
    sim.add(node(1), with_peer(with_peer(center, 2, open_peer(65002)), 3, open_peer(other)));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    sim.add(node(3), with_peer(config(3, other), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 1, 3)));
    for n in [2, 3] {
        originate(&mut sim, n, &["10.9.0.0/24"]);
    }
    sim.run(SOON);
    sim
}

fn hops(sim: &Sim) -> Vec<IpAddr> {
    sim.nodes[&node(1)].routes[&prefix("10.9.0.0/24")].next_hops.to_vec()
}

fn several(relax: bool) -> BestPathConfig {
    BestPathConfig { max_paths_ebgp: 4, multipath_relax: relax, ..BestPathConfig::default() }
}

#[test]
fn equal_paths_of_one_neighbour_as_are_used_together_and_shrink_with_a_loss() {
    let mut sim = fan(several(false), 65002);
    assert_eq!(hops(&sim), [node(2), node(3)]);
    sim.kill(node(2));
    sim.run(SOON);
    assert_eq!(hops(&sim), [node(3)]);
    sim.start(node(2));
    sim.run(Duration::from_secs(2));
    originate(&mut sim, 2, &["10.9.0.0/24"]);
    sim.run(SOON);
    assert_eq!(hops(&sim), [node(2), node(3)]);
}

#[test]
fn paths_of_different_as_need_relaxation() {
    assert_eq!(hops(&fan(several(false), 65003)), [node(2)]);
    assert_eq!(hops(&fan(several(true), 65003)), [node(2), node(3)]);
}

#[test]
fn switching_multipath_off_and_on_is_reported_and_resets_nobody() {
    let mut sim = fan(several(true), 65003);
    let mut config = sim.nodes[&node(1)].config.clone();
    config.best_path = BestPathConfig::default();
    sim.configure(node(1), config.clone());
    assert_eq!(hops(&sim), [node(2)]);
    config.best_path = several(true);
    sim.configure(node(1), config);
    assert_eq!(hops(&sim), [node(2), node(3)]);
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}
