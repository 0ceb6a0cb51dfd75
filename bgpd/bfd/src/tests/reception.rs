//! RFC 5880 section 6.8.6, the rules that need a session or an endpoint. Those that need only the packet are in `packet/tests.rs`.

use std::collections::BTreeMap;

use super::*;
use crate::{Datagram, Discard, Endpoint, Input, Output};

const HERE: &str = "192.0.2.1";

fn endpoint(now: Instant, sessions: &[(Key, SessionConfig)]) -> Endpoint {
    let mut endpoint = Endpoint::new(now, 3);
    let sessions: BTreeMap<_, _> = sessions.iter().cloned().collect();
    endpoint.handle(now, Input::Configure(&sessions));
    drain(&mut endpoint);
    endpoint
}

fn drain(endpoint: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

/// A packet from the session's remote address on its link.
fn arrive(
    endpoint: &mut Endpoint,
    now: Instant,
    packet: &Packet<'_>,
    change: impl FnOnce(&mut Datagram<'_>),
) {
    let mut octets = [0; MAX_PACKET];
    let len = packet.encode(&mut octets);
    let mut datagram = Datagram {
        hops: Hops::Single,
        source: ip("192.0.2.2"),
        destination: ip(HERE),
        interface: 4,
        ttl: 255,
        payload: &octets[..len],
    };
    change(&mut datagram);
    endpoint.handle(now, Input::Received(datagram));
}

fn state(endpoint: &Endpoint) -> State {
    endpoint.sessions().next().unwrap().state
}

fn first(state: State) -> Packet<'static> {
    Packet { your_discriminator: 0, ..packet(state) }
}

#[test]
fn a_discriminator_that_no_session_has_is_discarded() {
    let now = start();
    let mut endpoint = endpoint(now, &[(key(), config(300, 300, 3))]);
    let own = endpoint.sessions().next().unwrap().discriminator;
    let other = Packet { your_discriminator: own ^ 1, ..packet(State::Down) };
    arrive(&mut endpoint, now, &other, |_| ());
    assert_eq!(endpoint.discards().of(Discard::NoSession), 1);
    assert_eq!(state(&endpoint), State::Down);
}

#[test]
fn a_discriminator_names_the_session_whatever_the_source_address() {
    let now = start();
    let mut endpoint = endpoint(now, &[(key(), config(300, 300, 3))]);
    let own = endpoint.sessions().next().unwrap().discriminator;
    let known = Packet { your_discriminator: own, ..packet(State::Down) };
    arrive(&mut endpoint, now, &known, |datagram| datagram.source = ip("198.51.100.9"));
    assert_eq!(state(&endpoint), State::Init);
    // But not a packet to the port of the other kind.
    arrive(&mut endpoint, now, &known, |datagram| datagram.hops = Hops::Multi);
    assert_eq!(endpoint.discards().of(Discard::NoSession), 1);
}

#[test]
fn without_a_discriminator_the_address_decides() {
    let now = start();
    let mut endpoint = endpoint(now, &[(key(), config(300, 300, 3))]);
    arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.source = ip("192.0.2.3"));
    arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.hops = Hops::Multi);
    assert_eq!(endpoint.discards().of(Discard::NoSession), 2);
    arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.source = ip("::ffff:192.0.2.2"));
    assert_eq!(state(&endpoint), State::Init);
}

#[test]
fn a_session_of_an_interface_or_an_address_gets_only_its_own() {
    let now = start();
    let remote = ip("fe80::2");
    let of = |interface: Option<u32>, local: Option<&str>| Key {
        interface,
        local: local.map(ip),
        ..Key::new(remote, Hops::Single)
    };
    let keys = [of(Some(4), None), of(Some(5), None), of(None, Some("fe80::9"))];
    let mut endpoint = endpoint(now, &keys.map(|key| (key, config(300, 300, 3))));
    let up = |endpoint: &Endpoint| {
        endpoint.sessions().filter(|view| view.state == State::Init).map(|view| view.key).collect::<Vec<_>>()
    };
    arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.source = remote);
    assert_eq!(up(&endpoint), [keys[0]]);
    arrive(&mut endpoint, now, &first(State::Down), |datagram| {
        (datagram.source, datagram.interface, datagram.destination) = (remote, 6, ip("fe80::9"));
    });
    assert_eq!(up(&endpoint).len(), 2);
    arrive(&mut endpoint, now, &first(State::Down), |datagram| {
        (datagram.source, datagram.interface) = (remote, 6);
    });
    assert_eq!(endpoint.discards().of(Discard::NoSession), 1);
}

#[test]
fn a_single_hop_packet_has_a_time_to_live_of_255() {
    let now = start();
    let mut endpoint = endpoint(now, &[(key(), config(300, 300, 3))]);
    for ttl in [0, 1, 64, 254] {
        arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.ttl = ttl);
    }
    let view = endpoint.sessions().next().unwrap();
    assert_eq!((view.state, view.counters.discarded.of(Discard::Ttl)), (State::Down, 4));
    arrive(&mut endpoint, now, &first(State::Down), |_| ());
    assert_eq!(state(&endpoint), State::Init);
}

#[test]
fn a_multihop_packet_has_at_least_the_configured_time_to_live() {
    let now = start();
    let multi = Key::new(ip("192.0.2.2"), Hops::Multi);
    let mut endpoint = endpoint(now, &[(multi, SessionConfig { min_ttl: 250, ..config(300, 300, 3) })]);
    let come = |endpoint: &mut Endpoint, ttl| {
        arrive(endpoint, now, &first(State::Down), |datagram| {
            (datagram.hops, datagram.ttl) = (Hops::Multi, ttl);
        });
    };
    come(&mut endpoint, 249);
    assert_eq!(state(&endpoint), State::Down);
    come(&mut endpoint, 250);
    assert_eq!(state(&endpoint), State::Init);
}

#[test]
fn unreadable_packets_are_counted_by_their_reason() {
    let now = start();
    let mut endpoint = endpoint(now, &[(key(), config(300, 300, 3))]);
    arrive(&mut endpoint, now, &Packet { detect_mult: 0, ..first(State::Down) }, |_| ());
    arrive(&mut endpoint, now, &first(State::Down), |datagram| datagram.payload = &[]);
    assert_eq!(endpoint.discards().to_string(), "length 1, detect multiplier zero 1");
    assert!(drain(&mut endpoint).is_empty());
}

#[test]
fn a_discarded_packet_does_not_keep_a_session_up() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    let signed = Packet { authenticated: &[0; 26], ..packet(State::Up) };
    let late = now + ms(800);
    assert_eq!(session.receive(late, &signed), Err(Discard::AuthenticationUnexpected));
    session.tick(now + ms(900));
    assert_eq!(session.state(), State::Down);
}

#[test]
fn a_poll_is_answered_at_once_and_beside_the_periodic_packets() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    let due = session.transmit_due;
    session.receive(now, &Packet { poll: true, ..packet(State::Up) }).unwrap();
    let answer = one_sent(&mut session, now + ms(1));
    assert!(answer.is_final && !answer.poll);
    assert_eq!(session.transmit_due, due);
}

#[test]
fn a_final_ends_the_poll() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    session.receive(now, &packet(State::Init)).unwrap();
    assert!(one_sent(&mut session, now).poll);
    session.receive(now, &Packet { is_final: true, ..packet(State::Up) }).unwrap();
    session.tick(now + ms(300));
    assert!(!one_sent(&mut session, now + ms(300)).poll);
}

#[test]
fn demand_mode_of_the_other_side_stops_periodic_packets_but_not_answers_and_polls() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    let demand = |poll| Packet { demand: true, poll, ..packet(State::Up) };
    session.receive(now, &demand(false)).unwrap();
    session.tick(now + ms(800));
    assert!(!session.wants_to_send());
    assert_eq!((session.transmit_due, session.view().transmit_interval), (None, None));
    session.receive(now + ms(800), &demand(true)).unwrap();
    assert!(one_sent(&mut session, now + ms(800)).is_final);
    // A changed value is still asked about.
    session.configure(config(200, 300, 3), now + ms(801));
    assert!(one_sent(&mut session, now + ms(801)).poll);
    assert!(session.transmit_due.is_some());
    session.receive(now + ms(802), &Packet { is_final: true, ..demand(false) }).unwrap();
    assert_eq!(session.transmit_due, None);
    // Demand mode ends with the Up state.
    session.receive(now + ms(803), &Packet { state: State::Down, ..demand(false) }).unwrap();
    assert!(session.wants_to_send());
}

#[test]
fn a_required_min_rx_of_zero_stops_periodic_packets() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    session.receive(now, &Packet { required_min_rx: 0, ..packet(State::Up) }).unwrap();
    session.tick(now + ms(500));
    assert!(!session.wants_to_send());
    session.receive(now + ms(500), &packet(State::Up)).unwrap();
    assert!(session.transmit_due.is_some());
}

#[test]
fn a_passive_side_begins_with_the_other() {
    let now = start();
    let mut session = session(SessionConfig { passive: true, ..config(300, 300, 3) }, now);
    session.tick(now + ms(5000));
    assert!(!session.wants_to_send());
    session.receive(now, &first(State::Down)).unwrap();
    assert_eq!(one_sent(&mut session, now).state, State::Init);
}

#[test]
fn no_echo_and_no_control_plane_independence_is_promised() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    let packet = one_sent(&mut session, now);
    assert_eq!(
        (packet.required_min_echo_rx, packet.control_plane_independent, packet.demand),
        (0, false, false)
    );
}
