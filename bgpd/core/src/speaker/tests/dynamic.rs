//! Peers of listen ranges.

use super::*;
use crate::speaker::{ListenRange, RemoteAs, Speaker, Surroundings, TakeOverError, Welcome};

/// A speaker at node 1 that takes whoever comes from 10.0.0.0/24, and nobody else.
fn listening(limit: u32, remote_as: &[(u32, u32)]) -> Config {
    let remote_as: Vec<_> = remote_as.iter().map(|(first, last)| Asn(*first)..=Asn(*last)).collect();
    let mut peer = open_peer(remote_as[0].start().0);
    peer.transport.passive = true;
    peer.remote_as = RemoteAs::OneOf(remote_as);
    let range = ListenRange { prefix: prefix("10.0.0.0/24"), limit, peer };
    Config { listen_ranges: vec![range], ..config(1, 65001) }
}

fn peers(sim: &Sim, n: u8) -> Vec<IpAddr> {
    let mut peers: Vec<_> = sim.nodes[&node(n)].speaker.as_ref().unwrap().peer_addresses().collect();
    peers.sort();
    peers
}

/// Node n of AS 65000 + n, which connects to node 1.
fn join(sim: &mut Sim, n: u8) {
    sim.add(node(n), with_peer(config(n, 65000 + u32::from(n)), 1, open_peer(65001)));
}

fn settled(sim: &mut Sim, up: &[u8]) -> bool {
    sim.run_until(Duration::from_secs(5), |sim| up.iter().all(|n| is_up(sim, 1, *n)))
}

#[test]
fn whoever_connects_from_a_range_is_a_peer_until_its_session_ends() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65009)]));
    for n in [2, 3] {
        join(&mut sim, n);
        originate(&mut sim, n, &[&format!("10.{n}.0.0/24")]);
    }
    assert!(settled(&mut sim, &[2, 3]));
    sim.run(SOON);
    assert_eq!(peers(&sim, 1), [node(2), node(3)]);
    assert_eq!(view(&sim, 1, 3).asn, Asn(65003), "the AS is the one in its OPEN");
    assert!(knows(&sim, 2, "10.3.0.0/24") && knows(&sim, 3, "10.2.0.0/24"));
    sim.kill(node(3));
    sim.run(SOON);
    assert_eq!(peers(&sim, 1), [node(2)], "a peer without a session is gone");
    assert!(!knows(&sim, 2, "10.3.0.0/24"));
    sim.start(node(3));
    assert!(settled(&mut sim, &[2, 3]));
    assert_eq!(view(&sim, 2, 1).counters.established, 1, "the other one has noticed nothing");
}

#[test]
fn a_range_takes_no_more_than_its_limit_and_has_room_again_when_one_goes() {
    let mut sim = sim();
    sim.add(node(1), listening(2, &[(65002, 65009)]));
    for n in [2, 3] {
        join(&mut sim, n);
    }
    assert!(settled(&mut sim, &[2, 3]));
    join(&mut sim, 4);
    sim.run(Duration::from_secs(5));
    assert_eq!(peers(&sim, 1), [node(2), node(3)]);
    assert!(
        downs(&sim, 4).iter().any(|reason| reason.contains("Connection Rejected")),
        "{:?}",
        downs(&sim, 4)
    );
    sim.kill(node(2));
    assert!(sim.run_until(Duration::from_secs(30), |sim| is_up(sim, 1, 4)));
    let speaker = sim.nodes[&node(1)].speaker.as_ref().unwrap();
    assert_eq!(speaker.welcomes(node(9)), Welcome::Full);
    assert_eq!(speaker.welcomes(node(4)), Welcome::Yes);
    assert_eq!(speaker.welcomes(ip("192.0.2.1")), Welcome::No);
}

#[test]
fn an_as_that_is_not_on_the_list_is_refused_and_leaves_no_peer() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65003), (65007, 65007)]));
    for n in [2, 5, 7] {
        join(&mut sim, n);
    }
    assert!(settled(&mut sim, &[2, 7]));
    sim.run(Duration::from_secs(5));
    assert!(downs(&sim, 5).iter().any(|reason| reason.contains("Bad Peer AS")), "{:?}", downs(&sim, 5));
    assert!(!is_up(&sim, 1, 5));
    sim.kill(node(5));
    sim.run(Duration::from_secs(1));
    assert_eq!(peers(&sim, 1), [node(2), node(7)]);
}

#[test]
fn a_configured_peer_in_a_range_is_no_dynamic_one_and_the_longest_range_counts() {
    let mut sim = sim();
    let mut config = listening(10, &[(65002, 65009)]);
    let mut narrow = config.listen_ranges[0].clone();
    narrow.prefix = prefix("10.0.0.3/32");
    narrow.peer.remote_as = RemoteAs::OneOf(vec![Asn(65100)..=Asn(65100)]);
    config.listen_ranges.push(narrow);
    sim.add(node(1), with_peer(config, 2, open_peer(65002)));
    for n in [2, 3] {
        join(&mut sim, n);
    }
    assert!(settled(&mut sim, &[2]));
    sim.run(Duration::from_secs(3));
    assert!(!is_up(&sim, 1, 3), "its range wants another AS");
    sim.kill(node(2));
    sim.run(SOON);
    assert!(peers(&sim, 1).contains(&node(2)), "a configured peer stays");
}

#[test]
fn a_new_configuration_ends_what_is_in_no_range_and_touches_nobody_else() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65009)]));
    for n in [2, 3, 4] {
        join(&mut sim, n);
    }
    assert!(settled(&mut sim, &[2, 3, 4]));
    // AS 65004 is struck off the list; node 3 becomes a configured peer; for node 2 only a description changes.
    let mut changed = listening(10, &[(65002, 65003)]);
    changed.listen_ranges[0].peer.description = "a rack".to_owned();
    let changed = with_peer(changed, 3, open_peer(65003));
    sim.configure(node(1), changed.clone());
    sim.run(SOON);
    assert!(is_up(&sim, 1, 2) && !is_up(&sim, 1, 4));
    assert_eq!(view(&sim, 1, 2).counters.established, 1);
    assert_eq!(view(&sim, 1, 2).description, "a rack");
    assert!(settled(&mut sim, &[2, 3]));
    assert_eq!(view(&sim, 2, 1).counters.established, 1);
    assert!(
        downs(&sim, 4).iter().any(|reason| reason.contains("Peer De-configured")),
        "{:?}",
        downs(&sim, 4)
    );
    // Without any range the dynamic one goes, the configured one stays.
    sim.configure(node(1), Config { listen_ranges: Vec::new(), ..changed });
    sim.run(SOON);
    assert_eq!(peers(&sim, 1), [node(3)]);
    assert!(is_up(&sim, 1, 3));
}

#[test]
fn stale_routes_of_a_dynamic_peer_are_kept_and_it_with_them() {
    let mut sim = sim();
    let restart = Some(crate::speaker::GracefulRestartConfig {
        restart_time: Duration::from_secs(60),
        ..Default::default()
    });
    sim.add(node(1), Config { graceful_restart: restart.clone(), ..listening(10, &[(65002, 65009)]) });
    let config_2 = Config { graceful_restart: restart, ..config(2, 65002) };
    sim.add(node(2), with_peer(config_2, 1, open_peer(65001)));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 1, 2)));
    assert!(sim.run_until(Duration::from_secs(40), |sim| knows(sim, 1, "10.2.0.0/24")));
    sim.kill(node(2));
    sim.run(Duration::from_secs(30));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    assert_eq!(peers(&sim, 1), [node(2)]);
    sim.run(Duration::from_secs(40));
    assert!(!knows(&sim, 1, "10.2.0.0/24"));
    assert_eq!(peers(&sim, 1), [] as [IpAddr; 0]);
}

#[test]
fn a_dynamic_peer_that_an_operator_stops_stays_down_until_it_is_started() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65009)]));
    join(&mut sim, 2);
    assert!(settled(&mut sim, &[2]));
    sim.input(node(1), Input::StopPeer { peer: node(2), text: "cable".to_owned() });
    sim.run(Duration::from_secs(20));
    assert!(!is_up(&sim, 1, 2));
    sim.input(node(1), Input::StartPeer { peer: node(2) });
    assert!(sim.run_until(Duration::from_secs(30), |sim| is_up(sim, 1, 2)));
}

#[test]
fn peers_of_a_range_notice_nothing_of_a_new_process_and_go_when_they_end() {
    let mut sim = sim();
    sim.add(node(1), listening(2, &[(65002, 65009)]));
    for n in [2, 3] {
        join(&mut sim, n);
        originate(&mut sim, n, &[&format!("10.{n}.0.0/24")]);
    }
    assert!(settled(&mut sim, &[2, 3]));
    sim.run(Duration::from_secs(40));
    let heard = |sim: &Sim| [2, 3].map(|n| view(sim, n, 1).counters.updates_received);
    let before = heard(&sim);
    for _ in 0..3 {
        sim.take_over(node(1)).unwrap();
        sim.run(Duration::from_secs(60));
    }
    assert_eq!(peers(&sim, 1), [node(2), node(3)]);
    assert_eq!(view(&sim, 1, 3).asn, Asn(65003), "the AS is still the one in its OPEN");
    assert_eq!(heard(&sim), before);
    assert!([2, 3].iter().all(|n| view(&sim, *n, 1).counters.established == 1));
    assert!(knows(&sim, 2, "10.3.0.0/24") && knows(&sim, 3, "10.2.0.0/24"));
    assert_eq!(sim.nodes[&node(1)].speaker.as_ref().unwrap().welcomes(node(4)), Welcome::Full);
    sim.kill(node(3));
    sim.run(SOON);
    assert_eq!(peers(&sim, 1), [node(2)], "it is no configured one");
    assert!(!knows(&sim, 2, "10.3.0.0/24"));
    join(&mut sim, 4);
    assert!(settled(&mut sim, &[2, 4]), "there is room again");
}

#[test]
fn of_a_range_only_who_has_a_session_or_is_kept_is_there_after_a_take_over() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65009)]));
    for n in [2, 3] {
        join(&mut sim, n);
    }
    assert!(settled(&mut sim, &[2, 3]));
    sim.input(node(1), Input::StopPeer { peer: node(2), text: "cable".to_owned() });
    sim.run(SOON);
    // Its connection is made, and has no session yet.
    join(&mut sim, 4);
    assert!(sim.run_until(Duration::from_secs(5), |sim| peers(sim, 1).contains(&node(4))));
    assert!(!is_up(&sim, 1, 4));
    sim.take_over(node(1)).unwrap();
    assert_eq!(peers(&sim, 1), [node(2), node(3)]);
    sim.run(Duration::from_secs(20));
    assert!(is_up(&sim, 1, 3) && !is_up(&sim, 1, 2), "an operator has stopped it");
    assert!(sim.run_until(Duration::from_secs(30), |sim| is_up(sim, 1, 4)));
}

#[test]
fn a_session_with_one_of_a_range_needs_that_range() {
    let mut sim = sim();
    sim.add(node(1), listening(10, &[(65002, 65009)]));
    join(&mut sim, 2);
    assert!(settled(&mut sim, &[2]));
    let state = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap().hand_over().unwrap().state;
    let take =
        |config: &Config| Speaker::take_over(sim.now, config, Surroundings::default(), &state).map(drop);
    assert_eq!(take(&listening(10, &[(65002, 65009)])), Ok(()));
    let refused = Err(TakeOverError::UnknownPeer(node(2)));
    let mut other = listening(10, &[(65002, 65009)]);
    other.listen_ranges[0].prefix = prefix("10.0.0.0/16");
    for config in [config(1, 65001), listening(10, &[(65003, 65009)]), listening(0, &[(65002, 65009)]), other]
    {
        assert_eq!(take(&config), refused);
    }
}
