use proptest::prelude::*;

use super::*;
use crate::speaker::tests::*;
use crate::speaker::{
    BfdConfig, BfdState, Config, GracefulRestartConfig, Input, PeerConfig, RouteView, Speaker,
};
use std::time::Duration;

use crate::nexthop::{Gateway, KernelRoute, KernelTarget, NextHopTracking};
use crate::sim::Sim;
use crate::wire::{Community, Message};

/// Node 1 reflects for 3, and speaks with 2, an external peer, over which it has learned most.
fn center() -> Sim {
    let mut sim = sim();
    let client = || {
        let mut peer = open_peer(65001);
        peer.route_reflector_client = true;
        peer
    };
    let center = with_peer(with_peer(config(1, 65001), 2, open_peer(65002)), 3, client());
    // Nobody is there.
    sim.add(node(1), with_peer(center, 9, open_peer(65009)));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    sim.add(node(3), with_peer(config(3, 65001), 1, open_peer(65001)));
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    originate(&mut sim, 2, &["10.2.0.0/24", "10.2.1.0/24", "10.4.0.0/24", "fd02::/64"]);
    originate(&mut sim, 3, &["10.3.0.0/24", "10.4.0.0/24", "fd03::/64"]);
    sim.run(Duration::from_secs(40));
    assert!(knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 2, "fd03::/64"));
    sim
}

/// All that a node's tables hold, by prefix.
fn tables(sim: &Sim, n: u8) -> Vec<Vec<RouteView>> {
    let prefixes = sim.nodes[&node(n)].routes.keys();
    prefixes.map(|prefix| sim.nodes[&node(n)].speaker.as_ref().unwrap().explain(*prefix)).collect()
}

/// OPENs and UPDATEs that the peers of node 1 have received from it, and how often their sessions came up.
fn heard(sim: &Sim) -> Vec<[u64; 3]> {
    let count = |n| {
        let counters = view(sim, n, 1).counters;
        [counters.opens_received, counters.updates_received, counters.established]
    };
    [2, 3].map(count).to_vec()
}

#[test]
fn peers_notice_nothing_and_the_new_process_knows_all() {
    let mut sim = center();
    let (before, heard_before) = (tables(&sim, 1), heard(&sim));
    let peers = |sim: &Sim| [2, 3].map(|n| (view(sim, 1, n).session, view(sim, 1, n).families));
    let peers_before = peers(&sim);
    let reports = sim.nodes[&node(1)].reports.len();
    sim.take_over(node(1)).unwrap();
    assert_eq!(tables(&sim, 1), before);
    assert_eq!(peers(&sim), peers_before);
    sim.run(Duration::from_secs(300));
    assert_eq!(heard(&sim), heard_before, "nothing but KEEPALIVEs");
    assert_eq!(sim.nodes[&node(1)].reports.len(), reports, "the Loc-RIB has not changed");
    assert!(is_up(&sim, 1, 2) && is_up(&sim, 1, 3));
    // And it goes on as if nothing had happened.
    originate(&mut sim, 1, &["10.1.1.0/24"]);
    withdraw(&mut sim, 1, &["10.1.0.0/24"]);
    withdraw(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    assert!(knows(&sim, 2, "10.1.1.0/24") && !knows(&sim, 2, "10.1.0.0/24"));
    assert!(!knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 3, "10.2.0.0/24"));
    // A peer that was away is found by the new process.
    sim.add(node(9), with_peer(config(9, 65009), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 9)));
}

#[test]
fn keepalives_come_in_time_and_a_silent_peer_is_noticed() {
    let mut sim = center();
    for _ in 0..20 {
        // Each time shortly before one is due.
        sim.run(Duration::from_secs(25));
        sim.take_over(node(1)).unwrap();
    }
    sim.run(Duration::from_secs(1));
    assert!(is_up(&sim, 1, 2) && is_up(&sim, 1, 3));
    assert_eq!(view(&sim, 2, 1).counters.established, 1);
    sim.set_cut(node(1), node(2), true);
    sim.take_over(node(1)).unwrap();
    sim.run(Duration::from_secs(91));
    assert!(!is_up(&sim, 1, 2) && !knows(&sim, 1, "10.2.0.0/24"));
}

#[test]
fn what_a_peer_has_not_read_yet_is_told_by_the_new_process() {
    let mut sim = center();
    sim.stall(node(1));
    originate(&mut sim, 1, &["10.1.1.0/24", "fd01:1::/64"]);
    withdraw(&mut sim, 1, &["10.1.0.0/24"]);
    sim.input(node(1), Input::SoftReset { peer: Some(node(3)), way: crate::speaker::SoftReset::Out });
    sim.run(SOON);
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert!(!knows(&sim, 2, "10.1.1.0/24") && knows(&sim, 2, "10.1.0.0/24"), "still stalled");
    sim.unstall(node(1));
    sim.run(SOON);
    for n in [2, 3] {
        assert!(knows(&sim, n, "10.1.1.0/24") && knows(&sim, n, "fd01:1::/64"));
        assert!(!knows(&sim, n, "10.1.0.0/24"));
    }
}

#[test]
fn half_a_message_is_not_lost() {
    let mut sim = center();
    let now = sim.now;
    let config = sim.nodes[&node(1)].config.clone();
    let speaker = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap();
    let conn = speaker.hand_over().unwrap().connections[0];
    let message = Message::keepalive();
    speaker.handle(now, Input::Received { conn, bytes: message.slice(..7) });
    let handed = speaker.hand_over().unwrap();
    let (mut new, taken) = Speaker::take_over(now, &config, Surroundings::default(), &handed.state).unwrap();
    let received = |speaker: &Speaker| speaker.peer(taken[0].peer).unwrap().counters.keepalives_received;
    let before = received(&new);
    new.handle(now, Input::Received { conn: taken[0].conn, bytes: message.slice(7..) });
    assert_eq!(received(&new), before + 1);
}

#[test]
fn stale_routes_keep_their_deadline_and_stopped_peers_stay_down() {
    let mut sim = sim();
    let graceful =
        |config: Config| Config { graceful_restart: Some(GracefulRestartConfig::default()), ..config };
    let center = with_peer(with_peer(config(1, 65001), 2, open_peer(65002)), 3, open_peer(65003));
    sim.add(node(1), graceful(center));
    sim.add(node(2), graceful(with_peer(config(2, 65002), 1, open_peer(65001))));
    sim.add(node(3), graceful(with_peer(config(3, 65003), 1, open_peer(65001))));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    sim.input(node(1), Input::StopPeer { peer: node(3), text: "cable".to_owned() });
    sim.kill(node(2));
    sim.run(Duration::from_secs(60));
    sim.take_over(node(1)).unwrap();
    assert!(explain(&sim, 1, "10.2.0.0/24")[0].stale);
    sim.run(Duration::from_secs(58));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    sim.run(Duration::from_secs(3));
    assert!(!knows(&sim, 1, "10.2.0.0/24"));
    assert!(!is_up(&sim, 1, 3));
    sim.input(node(1), Input::StartPeer { peer: node(3) });
    assert!(sim.run_until(Duration::from_secs(5), |sim| is_up(sim, 1, 3)));
}

#[test]
fn what_bfd_said_is_known_to_the_new_process() {
    let mut sim = sim();
    let watched =
        |n: u8| PeerConfig { bfd: Some(BfdConfig { strict: true }), ..open_peer(65000 + u32::from(n)) };
    sim.add(node(1), [2, 3].into_iter().fold(config(1, 65001), |config, n| with_peer(config, n, watched(n))));
    let other = |n: u8| with_peer(config(n, 65000 + u32::from(n)), 1, open_peer(65001));
    let said = |sim: &mut Sim, n, state| sim.input(node(1), Input::Bfd { peer: node(n), state });
    said(&mut sim, 2, BfdState::Up);
    sim.run(Duration::from_secs(1));
    sim.add(node(2), other(2));
    sim.run(Duration::from_secs(40));
    assert!(is_up(&sim, 1, 2));
    let before = view(&sim, 2, 1).counters.opens_received;
    sim.take_over(node(1)).unwrap();
    sim.add(node(3), other(3));
    sim.run(Duration::from_secs(40));
    assert!(is_up(&sim, 1, 2) && !is_up(&sim, 1, 3), "the one goes on, the other one still waits");
    assert_eq!(view(&sim, 2, 1).counters.opens_received, before);
    said(&mut sim, 3, BfdState::Up);
    sim.run(Duration::from_secs(40));
    assert!(is_up(&sim, 1, 3));
    said(&mut sim, 2, BfdState::Failed { reason: "silence".to_owned(), independent: false });
    sim.run(Duration::from_secs(40));
    assert!(!is_up(&sim, 1, 2) && is_up(&sim, 1, 3));
}

#[test]
fn routes_of_our_own_keep_what_was_said_about_them() {
    let mut sim = center();
    let route = crate::speaker::OriginatedRoute {
        next_hop: Some(ip("192.0.2.9")),
        local_pref: Some(7),
        med: Some(9),
        communities: vec![Community::NO_PEER, Community(4711)],
        large_communities: vec![crate::wire::LargeCommunity { global: 1, local1: 2, local2: 3 }],
        ..crate::speaker::OriginatedRoute::new(prefix("10.9.0.0/24"))
    };
    let originate = |sim: &mut Sim, routes| {
        sim.input(node(1), Input::Originate { owner: "felix".to_owned(), routes, replace: true });
        sim.run(SOON);
    };
    originate(&mut sim, vec![route.clone()]);
    let heard_before = heard(&sim);
    sim.take_over(node(1)).unwrap();
    // A client that comes back with the same routes changes nothing.
    originate(&mut sim, vec![route]);
    assert_eq!(heard(&sim), heard_before);
    originate(&mut sim, vec![]);
    assert!(!knows(&sim, 2, "10.9.0.0/24"));
}

#[test]
fn a_speaker_that_is_starting_goes_on_itself() {
    let now = sim().now;
    let mut speaker = Speaker::new(now);
    assert_eq!(speaker.hand_over(), Err(HandOverError::NotConfigured));
    let config =
        with_peer(Config::new(cairn_net::Asn(65001), "10.0.0.1".parse().unwrap()), 2, open_peer(65002));
    speaker.handle(now, Input::Configure(Box::new(config)));
    assert_eq!(speaker.hand_over(), Err(HandOverError::Starting));
}

#[test]
fn a_take_over_while_connections_are_made_and_closed_confuses_none_of_them() {
    let mut sim = center();
    sim.add(node(9), with_peer(config(9, 65009), 1, open_peer(65001)));
    // Both connect: at some of these moments a SYN is on its way, at others one of two connections loses.
    for _ in 0..60 {
        sim.take_over(node(1)).unwrap();
        sim.run(Duration::from_millis(1));
    }
    assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 1, 9)));
    for n in 4..8 {
        // The routes come over the connections that they are for.
        originate(&mut sim, 1, &[&format!("10.1.{n}.0/24")]);
        sim.run(SOON);
        assert!([2, 3, 9].into_iter().all(|peer| knows(&sim, peer, &format!("10.1.{n}.0/24"))));
        sim.take_over(node(1)).unwrap();
    }
    assert!([2, 3].into_iter().all(|n| view(&sim, n, 1).counters.established == 1));
    // The end of a connection that is on its way is heard by the new process.
    sim.kill(node(2));
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert!(!is_up(&sim, 1, 2) && is_up(&sim, 1, 3));
}

/// A state of [`center`], which knows the kernel's routes, and the configuration that it belongs to.
fn state() -> (Vec<u8>, Config) {
    let mut sim = center();
    let config = sim.nodes[&node(1)].config.clone();
    sim.configure(node(1), Config { next_hop_tracking: Some(NextHopTracking::default()), ..config });
    let gateway = Gateway { address: Some(node(7)), interface: 2, onlink: true };
    let on_link = Gateway { address: None, interface: 3, onlink: false };
    let targets =
        [KernelTarget::Gateways([on_link, gateway].into()), KernelTarget::Blackhole, KernelTarget::Refused];
    let route = |target| KernelRoute { metric: 7, protocol: 4, target };
    let networks = ["10.0.0.0/8", "172.16.0.0/12", "2001:db8::/32"].map(prefix);
    sim.set_kernel(node(1), networks.into_iter().zip(targets.map(route)).collect());
    sim.run(SOON);
    let config = sim.nodes[&node(1)].config.clone();
    let handed = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap().hand_over().unwrap();
    (handed.state.to_vec(), config)
}

fn take(config: &Config, state: &[u8]) -> Result<usize, TakeOverError> {
    let now = sim().now;
    Speaker::take_over(now, config, Surroundings::default(), state).map(|(_, taken)| taken.len())
}

#[test]
fn a_state_of_another_version_or_for_another_configuration_is_refused() {
    let (mut state, mut config) = state();
    assert_eq!(take(&config, &state), Ok(2));
    config.peers.remove(&node(9));
    assert_eq!(take(&config, &state), Ok(2), "a peer without session needs no place");
    let without = config.peers.remove(&node(3)).unwrap();
    assert_eq!(take(&config, &state), Err(TakeOverError::UnknownPeer(node(3))));
    config.peers.insert(node(3), without);
    state[3] = 77;
    assert_eq!(take(&config, &state), Err(TakeOverError::Version { found: 77 }));
}

#[test]
fn a_state_that_is_cut_short_is_refused() {
    let (mut state, config) = state();
    for len in 0..state.len() {
        assert!(take(&config, &state[..len]).is_err(), "{len}");
    }
    state.push(0);
    assert!(take(&config, &state).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_state_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (mut state, config) = state();
        for (place, value) in changes {
            let place = place.index(state.len());
            state[place] = value;
        }
        // Taken or refused: some changes mean another sane state.
        let _ = take(&config, &state);
    }
}
