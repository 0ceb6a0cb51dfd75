use super::*;
use crate::speaker::{Direction, Output, PrefixLimit, SoftReset};
use crate::wire::{CeaseError, Frame, Framer, MessageType, Notification};

#[test]
fn a_wrong_as_is_refused_with_both_numbers() {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65009)));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    sim.run(Duration::from_secs(2));
    let expected = "wrong AS: the peer says AS 65002, the configuration says AS 65009";
    assert!(downs(&sim, 1).iter().any(|reason| reason == expected), "{:?}", downs(&sim, 1));
    assert!(downs(&sim, 2).iter().any(|reason| reason.contains("Bad Peer AS")), "{:?}", downs(&sim, 2));
    assert_eq!(view(&sim, 1, 2).last_error.unwrap().1.to_string(), expected);
}

#[test]
fn a_duplicate_router_id_inside_the_as_is_refused() {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65001)));
    let twin = Config { router_id: "10.0.0.1".parse().unwrap(), ..config(2, 65001) };
    sim.add(node(2), with_peer(twin, 1, open_peer(65001)));
    sim.run(Duration::from_secs(2));
    assert!(
        downs(&sim, 1).iter().any(|reason| reason.contains("duplicate router id")),
        "{:?}",
        downs(&sim, 1)
    );
    assert!(!is_up(&sim, 1, 2));
}

#[test]
fn an_unknown_peer_is_told_that_it_is_not_welcome() {
    let mut sim = sim();
    sim.add(node(1), config(1, 65001));
    let speaker = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap();
    let conn = speaker.allocate_conn();
    let (local, remote) = ((node(1), 179).into(), (ip("192.0.2.1"), 40000).into());
    speaker.handle(sim.now, Input::ConnectionOpened { conn, direction: Direction::Inbound, local, remote });
    let last = Notification::cease(CeaseError::ConnectionRejected).encode();
    assert_eq!(speaker.poll_output(), Some(Output::Close { conn, last }));
}

#[test]
fn a_passive_side_waits_and_two_active_ones_end_with_one_session() {
    for (passive_1, passive_2) in [(true, false), (false, true), (false, false)] {
        let peer = |asn, passive| {
            let mut peer = open_peer(asn);
            peer.transport.passive = passive;
            peer
        };
        let mut sim = sim();
        sim.add(node(1), with_peer(config(1, 65001), 2, peer(65002, passive_1)));
        sim.add(node(2), with_peer(config(2, 65002), 1, peer(65001, passive_2)));
        assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
        sim.run(Duration::from_secs(60));
        assert!(is_up(&sim, 1, 2));
        assert_eq!((view(&sim, 1, 2).counters.established, view(&sim, 2, 1).counters.established), (1, 1));
        // Of two connections one is closed, with the reason (RFC 4486 subcode 7).
        let told = [view(&sim, 1, 2), view(&sim, 2, 1)].map(|peer| peer.notification_sent);
        let collision = Notification::cease(CeaseError::ConnectionCollisionResolution);
        let collided = told.iter().flatten().any(|sent| sent.notification == collision);
        assert_eq!(collided, !passive_1 && !passive_2, "{told:?}");
    }
}

#[test]
fn a_silent_peer_is_given_up_after_the_hold_time() {
    let mut sim = sim();
    let peer = |asn| {
        let mut peer = open_peer(asn);
        peer.timers.hold = Duration::from_secs(3);
        peer
    };
    sim.add(node(1), with_peer(config(1, 65001), 2, peer(65002)));
    sim.add(node(2), with_peer(config(2, 65002), 1, peer(65001)));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(is_up(&sim, 1, 2) && knows(&sim, 1, "10.2.0.0/24"));
    sim.set_cut(node(1), node(2), true);
    sim.run(Duration::from_millis(3100));
    assert!(!is_up(&sim, 1, 2) && !knows(&sim, 1, "10.2.0.0/24"));
    assert!(downs(&sim, 1).iter().any(|reason| reason.contains("Hold Timer Expired")));
}

#[test]
fn hold_time_zero_keeps_a_silent_session() {
    let mut sim = sim();
    let mut quiet = open_peer(65002);
    quiet.timers.hold = Duration::ZERO;
    sim.add(node(1), with_peer(config(1, 65001), 2, quiet));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    sim.run(Duration::from_secs(2));
    let before = view(&sim, 1, 2).counters.keepalives_sent;
    sim.run(Duration::from_secs(3600));
    assert!(is_up(&sim, 1, 2));
    assert_eq!(view(&sim, 1, 2).counters.keepalives_sent, before);
}

#[test]
fn a_peer_that_comes_back_is_up_within_about_a_second() {
    for away in [Duration::from_millis(300), Duration::from_secs(7), Duration::from_secs(400)] {
        let mut sim = pair(65002);
        sim.kill(node(2));
        sim.run(away);
        // It only listens, so that it is us who has to find it.
        let node_2 = sim.nodes.get_mut(&node(2)).unwrap();
        node_2.config.peers.get_mut(&node(1)).unwrap().transport.passive = true;
        sim.start(node(2));
        let back = sim.now;
        assert!(sim.run_until(Duration::from_millis(1100), |sim| is_up(sim, 1, 2)), "{:?}", sim.now - back);
    }
}

#[test]
fn a_peer_that_lost_power_is_welcome_at_once_though_its_old_session_looks_alive() {
    let mut sim = pair(65002);
    sim.run(Duration::from_secs(10));
    sim.crash(node(2));
    sim.run(Duration::from_secs(5));
    assert_eq!(state(&sim, 1, 2), Some(State::Established));
    sim.start(node(2));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)), "{:?}", downs(&sim, 1));
}

#[test]
fn an_operator_stops_with_a_text_and_starts_again() {
    let mut sim = pair(65002);
    sim.input(node(1), Input::StopPeer { peer: node(2), text: "maintenance".to_owned() });
    sim.run(SOON);
    assert!(
        downs(&sim, 2).iter().any(|reason| reason.contains("Administrative Shutdown")),
        "{:?}",
        downs(&sim, 2)
    );
    sim.run(Duration::from_secs(30));
    assert_eq!(state(&sim, 1, 2), Some(State::Idle));
    assert_eq!(view(&sim, 1, 2).notes, ["maintenance"]);
    sim.input(node(1), Input::StartPeer { peer: node(2) });
    assert!(sim.run_until(Duration::from_secs(1), |sim| is_up(sim, 1, 2)));
    sim.input(node(1), Input::ResetPeer { peer: node(2), text: String::new() });
    sim.run(SOON);
    assert!(sim.run_until(Duration::from_secs(1), |sim| is_up(sim, 1, 2)));
}

#[test]
fn more_prefixes_than_allowed_end_the_session_until_somebody_looks() {
    let mut sim = sim();
    let limited = PeerConfig { max_prefixes: Some(PrefixLimit::new(2, 75)), ..open_peer(65002) };
    sim.add(node(1), with_peer(config(1, 65001), 2, limited));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    originate(&mut sim, 2, &["10.2.0.0/24", "10.2.1.0/24"]);
    sim.run(Duration::from_secs(5));
    assert!(is_up(&sim, 1, 2));
    originate(&mut sim, 2, &["10.2.2.0/24"]);
    sim.run(Duration::from_secs(60));
    assert!(!is_up(&sim, 1, 2));
    assert!(sim.nodes[&node(1)].routes.is_empty());
    assert!(
        view(&sim, 1, 2).notes[0].contains("more than the 2 ipv4 prefixes"),
        "{:?}",
        view(&sim, 1, 2).notes
    );
}

#[test]
fn a_soft_reset_asks_for_and_sends_everything_without_touching_the_session() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(SOON);
    let before = (view(&sim, 1, 2).counters, view(&sim, 2, 1).counters);
    sim.input(node(1), Input::SoftReset { peer: None, way: SoftReset::Both });
    sim.run(SOON);
    let after = (view(&sim, 1, 2).counters, view(&sim, 2, 1).counters);
    assert_eq!(after.0.route_refreshes_sent, before.0.route_refreshes_sent + 2);
    assert_eq!(after.0.updates_sent, before.0.updates_sent + 1);
    assert_eq!(after.1.updates_sent, before.1.updates_sent + 1);
    assert_eq!(after.0.established, 1);
}

/// Speaks BGP by hand to node 1, which has node 2 as a passive peer; returns what it answers to each message.
fn answers(messages: &[&[u8]]) -> Vec<Frame> {
    let mut sim = sim();
    let mut peer = open_peer(65002);
    peer.transport.passive = true;
    sim.add(node(1), with_peer(config(1, 65001), 2, peer));
    let now = sim.now;
    let speaker = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap();
    let conn = speaker.allocate_conn();
    let (local, remote) = ((node(1), 179).into(), (node(2), 40000).into());
    speaker.handle(now, Input::ConnectionOpened { conn, direction: Direction::Inbound, local, remote });
    let mut framer = Framer::default();
    for message in messages {
        speaker.handle(now, Input::Received { conn, bytes: message.to_vec().into() });
    }
    while let Some(output) = speaker.poll_output() {
        let mut out = Vec::new();
        match output {
            Output::Transmit { conn } => {
                speaker.transmit(conn, usize::MAX, &mut out);
            }
            Output::Close { last, .. } => out.push(last),
            _ => {}
        }
        out.iter().for_each(|bytes| framer.push(bytes));
    }
    std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
}

/// A name, what the peer sends, and code and subcode of the answer.
type Case<'a> = (&'a str, Vec<&'a [u8]>, [u8; 2]);

#[test]
fn each_fault_gets_its_notification() {
    let marker = [0xff; 16];
    let message = |kind: u8, body: &[u8]| {
        let len = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
        [&marker[..], &len, &[kind], body].concat()
    };
    let open = message(1, &[4, 0xfd, 0xea, 0, 90, 10, 0, 0, 2, 0]);
    let short_hold = message(1, &[4, 0xfd, 0xea, 0, 1, 10, 0, 0, 2, 0]);
    let keepalive = message(4, &[]);
    let update = message(2, &[0, 0, 0, 0]);
    let cases: [Case<'_>; 8] = [
        ("marker", vec![&[0; 19]], [1, 1]),
        ("length", vec![&[0xff; 19]], [1, 2]),
        ("UPDATE in OpenSent", vec![&update], [5, 1]),
        ("KEEPALIVE in OpenSent", vec![&keepalive], [5, 1]),
        ("UPDATE in OpenConfirm", vec![&open, &update], [5, 2]),
        ("OPEN in OpenConfirm", vec![&open, &open], [5, 2]),
        ("OPEN in Established", vec![&open, &keepalive, &open], [5, 3]),
        ("hold time", vec![&short_hold], [2, 6]),
    ];
    for (name, messages, expected) in cases {
        let answers = answers(&messages);
        let last = answers.last().unwrap();
        assert_eq!(last.kind, MessageType::Notification, "{name}");
        assert_eq!(last.body[..2], expected, "{name}");
    }
}

#[test]
fn a_reset_by_the_end_that_connects_is_followed_by_another_session() {
    let mut sim = sim();
    let mut waits = open_peer(65002);
    waits.transport.passive = true;
    sim.add(node(1), with_peer(config(1, 65001), 2, waits));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    for _ in 0..3 {
        assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 1, 2)), "{:?}", downs(&sim, 2));
        sim.input(node(2), Input::ResetPeer { peer: node(1), text: String::new() });
        assert!(!is_up(&sim, 1, 2));
    }
    // While nothing is up, too.
    sim.kill(node(1));
    sim.run(Duration::from_secs(1));
    sim.input(node(2), Input::ResetPeer { peer: node(1), text: String::new() });
    sim.start(node(1));
    assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 1, 2)), "{:?}", downs(&sim, 2));
}
