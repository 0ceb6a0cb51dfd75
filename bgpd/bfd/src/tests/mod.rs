//! Behaviours of sessions and of whole systems.

mod authentication;
mod endpoint;
mod handover;
mod machine;
mod reception;
mod simulation;
mod timers;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{Diagnostic, Hops, Key, MAX_PACKET, Packet, Session, SessionConfig, State};

/// Any point in time will do.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key() -> Key {
    Key::new(ip("192.0.2.2"), Hops::Single)
}

/// Intervals in milliseconds.
fn config(tx: u64, rx: u64, detect_mult: u8) -> SessionConfig {
    SessionConfig { desired_min_tx: ms(tx), required_min_rx: ms(rx), detect_mult, ..SessionConfig::default() }
}

/// A session with discriminator 1.
fn session(config: SessionConfig, now: Instant) -> Session {
    Session::new(key(), config, 1, 42, now)
}

/// What the other side says, with discriminator 2, 300 ms and a multiplier of 3.
fn packet(state: State) -> Packet<'static> {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3,
        my_discriminator: 2,
        your_discriminator: 1,
        desired_min_tx: 300_000,
        required_min_rx: 300_000,
        required_min_echo_rx: 0,
        authenticated: &[],
    }
}

/// Brings a session to a state by the shortest way, and sends what it has to say.
fn bring_to(session: &mut Session, state: State, now: Instant) {
    match state {
        State::AdminDown => {
            session.receive(now, &packet(State::Down)).unwrap();
            session.take_down(now);
        }
        State::Down => {}
        State::Init => session.receive(now, &packet(State::Down)).unwrap(),
        State::Up => {
            session.receive(now, &packet(State::Init)).unwrap();
            // The peer confirms the change from slow start.
            let is_final = true;
            session.receive(now, &Packet { is_final, ..packet(State::Up) }).unwrap();
        }
    }
    assert_eq!(session.state(), state);
    session.take_change();
    sent(session, now);
}

/// Everything that a session wants to send now.
fn sent(session: &mut Session, now: Instant) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while session.wants_to_send() {
        let mut out = [0; MAX_PACKET];
        let len = session.transmit(now, &mut out);
        all.push(out[..len].to_vec());
        assert!(all.len() < 10, "sends without end");
    }
    all
}

/// The one packet that a session sends now.
fn one_sent(session: &mut Session, now: Instant) -> Packet<'static> {
    let all = sent(session, now);
    assert_eq!(all.len(), 1, "one packet");
    let packet = Packet::decode(&all[0]).unwrap();
    Packet { authenticated: &[], ..packet }
}
