use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bfd_core::{
    Authentication, AuthenticationKind, Datagram, Endpoint, Hops, Input, Key, Output, Packet, SessionConfig,
    State,
};

const SESSIONS: u8 = 4;

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

/// Session n: single hop, multihop, with a password, with SHA1.
fn key(n: u8) -> Key {
    Key::new(address(n), if n.is_multiple_of(2) { Hops::Single } else { Hops::Multi })
}

fn config(n: u8, change: u8) -> SessionConfig {
    let kind = match n {
        2 => Some(AuthenticationKind::SimplePassword),
        3 => Some(AuthenticationKind::MeticulousKeyedSha1),
        _ => None,
    };
    SessionConfig {
        desired_min_tx: Duration::from_millis(50 + u64::from(change) * 10),
        required_min_rx: Duration::from_millis(50 + u64::from(change % 7) * 100),
        detect_mult: change.max(1),
        passive: change % 5 == 4,
        min_ttl: 1,
        authentication: kind.and_then(|kind| Authentication::new(kind, 1, b"stone")),
    }
}

/// A sequence of events at an endpoint with four sessions: packets, time, changes of the configuration.
///
/// Each event is one octet that says what and with whom, one with a value, and for a packet the 24 octets of it.
pub fn bfd_events(octets: &[u8]) {
    #[allow(clippy::disallowed_methods)] // any point in time will do
    let mut now = Instant::now();
    let mut endpoint = Endpoint::new(now, 1);
    let mut wanted: BTreeMap<Key, SessionConfig> = (0..SESSIONS).map(|n| (key(n), config(n, 25))).collect();
    endpoint.handle(now, Input::Configure(&wanted));
    settle(&mut endpoint, now);
    let mut rest = octets;
    while let [what, value, more @ ..] = rest {
        rest = more;
        let n = what >> 4 & (SESSIONS - 1);
        match what & 3 {
            0 => {
                now += Duration::from_millis(u64::from(*value) * u64::from(*value));
                endpoint.handle(now, Input::Tick);
            }
            1 => {
                if value.is_multiple_of(3) {
                    wanted.remove(&key(n));
                } else {
                    wanted.insert(key(n), config(n, *value));
                }
                endpoint.handle(now, Input::Configure(&wanted));
            }
            _ => {
                let len = rest.len().min(usize::from(*value).clamp(24, 52));
                let (payload, after) = rest.split_at(len);
                rest = after;
                receive(&mut endpoint, now, n, payload, what & 4 != 0);
            }
        }
        settle(&mut endpoint, now);
    }
}

/// Hands over a packet; `known`: with the discriminator of the session, which the fuzzer cannot guess.
fn receive(endpoint: &mut Endpoint, now: Instant, n: u8, payload: &[u8], known: bool) {
    let mut octets = payload.to_vec();
    let number = endpoint.sessions().find(|view| view.key == key(n)).map(|view| view.discriminator);
    if let (true, Some(number), Some(place)) = (known, number, octets.get_mut(8..12)) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    let datagram = Datagram {
        hops: key(n).hops,
        source: address(n),
        destination: address(200),
        interface: 1,
        ttl: 255,
        payload: &octets,
    };
    endpoint.handle(now, Input::Received(datagram));
}

/// Takes every output, and checks what must hold between events.
fn settle(endpoint: &mut Endpoint, now: Instant) {
    let mut outputs = 0;
    while let Some(output) = endpoint.poll_output() {
        outputs += 1;
        assert!(outputs <= 4 * usize::from(SESSIONS), "outputs without end");
        if let Output::Transmit { packet, len, key, .. } = output {
            let packet = Packet::decode(&packet[..len]).expect("what we send is valid");
            assert!(!(packet.poll && packet.is_final), "P and F together");
            assert!(packet.state == State::Up || packet.desired_min_tx >= 1_000_000, "slow start");
            assert_eq!(
                packet.authenticated.is_empty(),
                !matches!(key.remote, addr if addr == address(2) || addr == address(3))
            );
        }
    }
    assert!(endpoint.len() <= usize::from(SESSIONS));
    for view in endpoint.sessions() {
        assert!(view.state != State::Up || view.remote.discriminator != 0, "{view:?}");
        assert!(view.history.len() <= 16);
    }
    // What is due now is done: the next look is later, or a shell would spin.
    endpoint.handle(now, Input::Tick);
    let more = std::iter::from_fn(|| endpoint.poll_output()).take(100).count();
    assert!(more < 100 && endpoint.poll_timeout().is_none_or(|at| at > now));
}
