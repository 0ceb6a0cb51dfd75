use super::*;
use crate::speaker::{LimitAction, PrefixLimit};

/// Node 1 limits node 2; both are up.
fn limited(limit: PrefixLimit) -> Sim {
    let mut sim = sim();
    let peer = PeerConfig { max_prefixes: Some(limit), ..open_peer(65002) };
    sim.add(node(1), with_peer(config(1, 65001), 2, peer));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    sim
}

fn warnings(sim: &Sim) -> Vec<String> {
    let text = |change: &PeerChange| match change {
        PeerChange::Warning { text } => Some(text.clone()),
        _ => None,
    };
    sim.nodes[&node(1)].changes.iter().filter_map(|(_, _, change)| text(change)).collect()
}

const FOUR: [&str; 4] = ["10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24", "10.2.3.0/24"];

#[test]
fn a_warning_is_given_once_each_time_the_threshold_is_passed() {
    let mut sim = limited(PrefixLimit::new(4, 50));
    originate(&mut sim, 2, &FOUR[..2]);
    sim.run(SOON);
    assert_eq!(warnings(&sim), [""; 0]);
    originate(&mut sim, 2, &FOUR[2..]);
    sim.run(SOON);
    assert_eq!(warnings(&sim).len(), 1, "{:?}", warnings(&sim));
    withdraw(&mut sim, 2, &FOUR[..3]);
    sim.run(SOON);
    // It takes an announcement for the table to be looked at.
    originate(&mut sim, 2, &FOUR[..1]);
    sim.run(SOON);
    originate(&mut sim, 2, &FOUR);
    sim.run(SOON);
    assert_eq!(warnings(&sim).len(), 2, "{:?}", warnings(&sim));
    assert!(is_up(&sim, 1, 2));
}

#[test]
fn a_limit_that_only_warns_keeps_the_session() {
    let mut sim = limited(PrefixLimit { action: LimitAction::Warn, ..PrefixLimit::new(2, 100) });
    originate(&mut sim, 2, &FOUR);
    sim.run(Duration::from_secs(5));
    assert!(is_up(&sim, 1, 2) && FOUR.iter().all(|text| knows(&sim, 1, text)));
    assert_eq!(warnings(&sim), ["4 ipv4 prefixes, near or beyond the limit of 2"]);
}

#[test]
fn a_limit_with_a_restart_time_begins_anew_after_it() {
    let action = LimitAction::RestartAfter(Duration::from_secs(60));
    let mut sim = limited(PrefixLimit { action, ..PrefixLimit::new(2, 100) });
    originate(&mut sim, 2, &FOUR);
    sim.run(SOON);
    let told = downs(&sim, 2);
    assert!(told.iter().any(|reason| reason.contains("Maximum Number of Prefixes Reached")), "{told:?}");
    withdraw(&mut sim, 2, &FOUR[2..]);
    sim.run(Duration::from_secs(58));
    assert_eq!(state(&sim, 1, 2), Some(State::Idle));
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 2)));
    sim.run(SOON);
    assert!(knows(&sim, 1, FOUR[0]));
}

#[test]
fn an_operator_need_not_wait_for_the_restart_time() {
    let action = LimitAction::RestartAfter(Duration::from_hours(1));
    let mut sim = limited(PrefixLimit { action, ..PrefixLimit::new(2, 100) });
    originate(&mut sim, 2, &FOUR);
    sim.run(SOON);
    withdraw(&mut sim, 2, &FOUR[1..]);
    sim.input(node(1), Input::StartPeer { peer: node(2) });
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 2)));
    sim.run(Duration::from_hours(2));
    assert_eq!(view(&sim, 1, 2).counters.established, 2);
}

#[test]
fn the_restart_time_goes_on_in_a_process_that_takes_over() {
    let action = LimitAction::RestartAfter(Duration::from_secs(60));
    let mut sim = limited(PrefixLimit { action, ..PrefixLimit::new(2, 100) });
    originate(&mut sim, 2, &FOUR);
    sim.run(SOON);
    withdraw(&mut sim, 2, &FOUR[1..]);
    sim.run(Duration::from_secs(30));
    sim.take_over(node(1)).unwrap();
    sim.run(Duration::from_secs(25));
    assert_eq!(state(&sim, 1, 2), Some(State::Idle));
    assert!(sim.run_until(Duration::from_secs(15), |sim| is_up(sim, 1, 2)));
}
