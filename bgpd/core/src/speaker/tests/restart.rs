use cairn_net::Family;

use super::*;
use crate::speaker::{GracefulRestartConfig, ShutdownMode};

fn graceful(config: Config) -> Config {
    Config { graceful_restart: Some(GracefulRestartConfig::default()), ..config }
}

/// Node 1 and node 2, both with graceful restart, each with a route of its own.
fn graceful_pair() -> Sim {
    let mut sim = sim();
    sim.add(node(1), graceful(with_peer(config(1, 65001), 2, open_peer(65002))));
    sim.add(node(2), graceful(with_peer(config(2, 65002), 1, open_peer(65001))));
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    originate(&mut sim, 2, &["10.2.0.0/24", "10.2.1.0/24", "fd02::/64"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 2, "10.1.0.0/24"));
    sim
}

#[test]
fn routes_of_a_restarting_peer_are_kept_and_what_it_does_not_repeat_goes() {
    let mut sim = graceful_pair();
    let reports = sim.nodes[&node(1)].reports.len();
    sim.kill(node(2));
    sim.run(Duration::from_secs(20));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
    assert_eq!(view(&sim, 1, 2).families[0].counts.stale, 2);
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24", "fd02::/64"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24") && knows(&sim, 1, "fd02::/64"));
    assert_eq!(view(&sim, 1, 2).families[0].counts.stale, 0);
    // Nothing but the route that is gone was ever reported.
    assert_eq!(sim.nodes[&node(1)].reports[reports..], [prefix("10.2.1.0/24")]);
    assert!(knows(&sim, 2, "10.1.0.0/24"));
}

#[test]
fn a_peer_that_stays_away_loses_its_routes_after_its_restart_time() {
    let mut sim = graceful_pair();
    sim.kill(node(2));
    sim.run(Duration::from_secs(119));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    sim.run(Duration::from_secs(2));
    assert!(!knows(&sim, 1, "10.2.0.0/24"));
}

#[test]
fn a_second_restart_in_a_row_keeps_the_routes_too() {
    let mut sim = graceful_pair();
    for _ in 0..3 {
        sim.kill(node(2));
        sim.run(Duration::from_secs(2));
        sim.start(node(2));
        // Up, but killed again before it has said anything.
        assert!(sim.run_until(Duration::from_secs(2), |sim| state(sim, 1, 2) == Some(State::Established)));
        sim.kill(node(2));
        sim.run(SOON);
        assert!(knows(&sim, 1, "10.2.0.0/24"));
    }
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24"));
}

#[test]
fn a_power_loss_is_a_restart_as_well() {
    let mut sim = graceful_pair();
    sim.crash(node(2));
    sim.run(Duration::from_secs(5));
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24"));
}

#[test]
fn a_daemon_that_ends_leaves_its_routes_or_takes_them_along_as_configured() {
    for (shutdown, kept) in [(ShutdownMode::KeepRoutes, true), (ShutdownMode::Cease, false)] {
        let mut sim = graceful_pair();
        let config = Config { shutdown, ..sim.nodes[&node(2)].config.clone() };
        sim.configure(node(2), config);
        sim.input(node(2), Input::Shutdown { text: "upgrade".to_owned() });
        sim.run(SOON);
        assert_eq!(knows(&sim, 1, "10.2.0.0/24"), kept);
        assert_eq!(sim.nodes[&node(2)].routes.len(), 5, "forwarding goes on");
    }
}

#[test]
fn selection_waits_for_the_peers_that_can_be_reached_and_for_nobody_else() {
    let mut sim = sim();
    // 9 does not exist: nobody answers.
    let center = with_peer(
        with_peer(with_peer(config(1, 65001), 2, open_peer(65002)), 3, open_peer(65003)),
        9,
        open_peer(65009),
    );
    sim.add(node(1), graceful(center));
    sim.add(node(2), graceful(with_peer(config(2, 65002), 1, open_peer(65001))));
    sim.add(node(3), graceful(with_peer(config(3, 65003), 1, open_peer(65001))));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 3, "10.2.0.0/24"));
    sim.kill(node(1));
    sim.run(Duration::from_secs(1));
    sim.start(node(1));
    let begin = sim.now;
    assert!(sim.run_until(Duration::from_secs(10), |sim| sim.nodes[&node(1)].complete.len() == 2));
    assert!(sim.now - begin < Duration::from_secs(2), "{:?}", sim.now - begin);
    // Complete means complete.
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "10.3.0.0/24"));
    sim.run(SOON);
    assert!(knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 2, "10.3.0.0/24"));
    assert_eq!(view(&sim, 2, 1).families[0].counts.stale, 0);
}

#[test]
fn without_any_peer_the_table_is_complete_at_once() {
    let mut sim = sim();
    sim.add(node(1), graceful(config(1, 65001)));
    assert_eq!(sim.nodes[&node(1)].complete.iter().copied().collect::<Vec<_>>(), Family::ALL);
}
