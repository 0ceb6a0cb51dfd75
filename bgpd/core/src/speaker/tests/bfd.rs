//! RFC 5882: what the speaker makes of what BFD says.

use super::*;
use crate::speaker::{BfdConfig, BfdState, GracefulRestartConfig};
use crate::wire::{CeaseError, NotificationCode};

fn failed(independent: bool) -> BfdState {
    BfdState::Failed { reason: "Control Detection Time Expired".to_owned(), independent }
}

fn say(sim: &mut Sim, n: u8, peer: u8, state: BfdState) {
    sim.input(node(n), Input::Bfd { peer: node(peer), state });
}

/// Node 1 has BFD with node 2.
fn world(strict: bool, graceful: bool) -> Sim {
    let mut sim = sim();
    let restart = |config| match graceful {
        true => Config { graceful_restart: Some(GracefulRestartConfig::default()), ..config },
        false => config,
    };
    let watched = PeerConfig { bfd: Some(BfdConfig { strict }), ..open_peer(65002) };
    sim.add(node(1), restart(with_peer(config(1, 65001), 2, watched)));
    sim.add(node(2), restart(with_peer(config(2, 65002), 1, open_peer(65001))));
    originate(&mut sim, 2, &["10.2.0.0/24", "fd02::/64"]);
    sim
}

#[test]
fn a_failed_path_ends_the_session_at_once_with_its_own_subcode() {
    for graceful in [false, true] {
        let mut sim = world(false, graceful);
        sim.run(Duration::from_secs(10));
        say(&mut sim, 1, 2, BfdState::Up);
        assert!(knows(&sim, 1, "10.2.0.0/24"));
        say(&mut sim, 1, 2, failed(false));
        // No time has passed: the routes are gone, graceful restart or not.
        assert!(!is_up(&sim, 1, 2) && !knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "fd02::/64"));
        assert_eq!(downs(&sim, 1).last().unwrap(), "BFD down: Control Detection Time Expired");
        sim.run(SOON);
        let told = downs(&sim, 2);
        let subcode = NotificationCode::Cease(CeaseError::BfdDown).to_string();
        assert!(told.iter().any(|reason| reason.contains(&subcode)), "{told:?}");
    }
}

#[test]
fn without_strict_a_session_comes_back_before_bfd_does() {
    let mut sim = world(false, false);
    sim.run(Duration::from_secs(2));
    say(&mut sim, 1, 2, BfdState::Up);
    say(&mut sim, 1, 2, failed(false));
    sim.run(Duration::from_secs(5));
    assert!(is_up(&sim, 1, 2));
}

#[test]
fn the_side_that_connects_tries_again_after_a_failure() {
    for passive in [1, 2] {
        let peer = |n: u8, asn| {
            let mut peer = PeerConfig { bfd: Some(BfdConfig::default()), ..open_peer(asn) };
            peer.transport.passive = n == passive;
            peer
        };
        let mut sim = sim();
        sim.add(node(1), with_peer(config(1, 65001), 2, peer(1, 65002)));
        sim.add(node(2), with_peer(config(2, 65002), 1, peer(2, 65001)));
        sim.run(Duration::from_secs(2));
        assert!(is_up(&sim, 1, 2));
        say(&mut sim, 1, 2, BfdState::Up);
        say(&mut sim, 1, 2, failed(false));
        sim.run(Duration::from_secs(5));
        assert!(is_up(&sim, 1, 2), "passive: {passive}");
        assert_eq!(view(&sim, 1, 2).counters.established, 2);
    }
}

#[test]
fn a_strict_peer_waits_for_bfd_each_time() {
    let mut sim = world(true, false);
    sim.run(Duration::from_secs(10));
    assert_eq!(state(&sim, 1, 2), Some(State::Idle));
    assert_eq!(view(&sim, 1, 2).notes, ["waits for BFD (strict)"]);
    say(&mut sim, 1, 2, BfdState::Up);
    sim.run(Duration::from_secs(2));
    assert!(is_up(&sim, 1, 2) && view(&sim, 1, 2).notes.is_empty());
    say(&mut sim, 1, 2, failed(false));
    sim.run(Duration::from_secs(60));
    assert_eq!(state(&sim, 1, 2), Some(State::Idle));
    say(&mut sim, 1, 2, BfdState::Up);
    sim.run(Duration::from_secs(20));
    assert!(is_up(&sim, 1, 2));
}

#[test]
fn bfd_that_the_peers_operator_took_down_neither_ends_nor_holds_a_session() {
    let mut sim = world(true, false);
    say(&mut sim, 1, 2, BfdState::AdminDown);
    sim.run(Duration::from_secs(3));
    assert!(is_up(&sim, 1, 2));
    say(&mut sim, 1, 2, BfdState::Up);
    say(&mut sim, 1, 2, BfdState::AdminDown);
    sim.run(Duration::from_secs(3));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
}

#[test]
fn a_strict_peer_that_the_operator_stopped_does_not_begin_with_bfd() {
    let mut sim = world(true, false);
    sim.input(node(1), Input::StopPeer { peer: node(2), text: String::new() });
    say(&mut sim, 1, 2, BfdState::Up);
    sim.run(Duration::from_secs(5));
    assert!(!is_up(&sim, 1, 2));
    sim.input(node(1), Input::StartPeer { peer: node(2) });
    sim.run(Duration::from_secs(5));
    assert!(is_up(&sim, 1, 2));
}

#[test]
fn removing_bfd_ends_the_wait_and_leaves_a_session_alone() {
    let mut sim = world(true, false);
    sim.run(Duration::from_secs(2));
    let without = with_peer(config(1, 65001), 2, open_peer(65002));
    sim.input(node(1), Input::Configure(Box::new(without.clone())));
    sim.run(Duration::from_secs(2));
    assert!(is_up(&sim, 1, 2));
    let watched = PeerConfig { bfd: Some(BfdConfig { strict: true }), ..open_peer(65002) };
    sim.input(node(1), Input::Configure(Box::new(with_peer(config(1, 65001), 2, watched))));
    sim.input(node(1), Input::Configure(Box::new(without)));
    sim.run(Duration::from_secs(2));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
    // And what is said of a peer without BFD counts for nothing.
    say(&mut sim, 1, 2, failed(true));
    assert!(is_up(&sim, 1, 2));
}

#[test]
fn while_a_peer_restarts_its_silence_takes_routes_only_if_its_bfd_is_independent() {
    for independent in [false, true] {
        let mut sim = world(false, true);
        sim.run(Duration::from_secs(10));
        say(&mut sim, 1, 2, BfdState::Up);
        sim.kill(node(2));
        sim.run(SOON);
        assert!(knows(&sim, 1, "10.2.0.0/24"), "kept over the restart");
        say(&mut sim, 1, 2, failed(independent));
        sim.run(SOON);
        assert_eq!(knows(&sim, 1, "10.2.0.0/24"), !independent);
        assert_eq!(knows(&sim, 1, "fd02::/64"), !independent);
    }
}
