//! RFC 5880 section 6.7.

use super::*;
use crate::{Authentication, AuthenticationKind, Discard};

use AuthenticationKind::{KeyedSha1, MeticulousKeyedSha1, SimplePassword};

fn with(kind: AuthenticationKind, key_id: u8, secret: &str) -> SessionConfig {
    SessionConfig {
        authentication: Some(Authentication::new(kind, key_id, secret.as_bytes()).unwrap()),
        ..config(300, 300, 3)
    }
}

/// What a session with this configuration sends next.
fn next(session: &mut Session, now: &mut Instant) -> Vec<u8> {
    loop {
        if let Some(octets) = sent(session, *now).pop() {
            return octets;
        }
        *now += ms(1);
        session.tick(*now);
    }
}

fn give(session: &mut Session, now: Instant, octets: &[u8]) -> Result<(), Discard> {
    let packet = Packet::decode(octets)?;
    session.receive(now, &packet)
}

#[test]
fn two_sides_with_the_same_key_come_up_by_every_method() {
    for kind in [SimplePassword, KeyedSha1, MeticulousKeyedSha1] {
        let mut now = start();
        let mut a = Session::new(key(), with(kind, 3, "stone"), 1, 1, now);
        let mut b = Session::new(key(), with(kind, 3, "stone"), 2, 2, now);
        for _ in 0..6 {
            let octets = next(&mut a, &mut now);
            give(&mut b, now, &octets).unwrap();
            let octets = next(&mut b, &mut now);
            give(&mut a, now, &octets).unwrap();
        }
        assert_eq!((a.state(), b.state()), (State::Up, State::Up), "{kind}");
    }
}

#[test]
fn another_secret_key_or_method_and_none_at_all_are_discarded() {
    let mut now = start();
    let mut receiver = session(with(KeyedSha1, 1, "stone"), now);
    let failed = Err(Discard::AuthenticationFailed);
    for (other, expected) in [
        (with(KeyedSha1, 1, "heap"), failed),
        (with(KeyedSha1, 2, "stone"), failed),
        (with(MeticulousKeyedSha1, 1, "stone"), failed),
        (with(SimplePassword, 1, "stone"), failed),
        (config(300, 300, 3), Err(Discard::AuthenticationMissing)),
        (with(KeyedSha1, 1, "stone"), Ok(())),
    ] {
        let mut sender = Session::new(key(), other, 2, 9, now);
        let octets = next(&mut sender, &mut now);
        assert_eq!(give(&mut receiver, now, &octets), expected);
    }
    let mut plain = session(config(300, 300, 3), now);
    let mut sender = Session::new(key(), with(KeyedSha1, 1, "stone"), 2, 9, now);
    let octets = next(&mut sender, &mut now);
    assert_eq!(give(&mut plain, now, &octets), Err(Discard::AuthenticationUnexpected));
}

#[test]
fn a_changed_octet_anywhere_is_noticed_by_sha1() {
    let mut now = start();
    let mut sender = Session::new(key(), with(KeyedSha1, 1, "stone"), 2, 9, now);
    let octets = next(&mut sender, &mut now);
    for at in 0..octets.len() {
        let mut receiver = session(with(KeyedSha1, 1, "stone"), now);
        let mut forged = octets.clone();
        forged[at] ^= 0x08;
        assert!(give(&mut receiver, now, &forged).is_err(), "octet {at}");
    }
}

#[test]
fn a_replayed_packet_is_discarded_until_the_window_is_forgotten() {
    for (kind, same_again) in
        [(KeyedSha1, Ok(())), (MeticulousKeyedSha1, Err(Discard::AuthenticationSequence))]
    {
        let mut now = start();
        let mut sender = Session::new(key(), with(kind, 1, "stone"), 2, 9, now);
        let mut receiver = session(with(kind, 1, "stone"), now);
        let old = next(&mut sender, &mut now);
        give(&mut receiver, now, &old).unwrap();
        assert_eq!(give(&mut receiver, now, &old), same_again, "{kind}");
        let new = next(&mut sender, &mut now);
        give(&mut receiver, now, &new).unwrap();
        assert_eq!(give(&mut receiver, now, &old), Err(Discard::AuthenticationSequence), "{kind}");
        // Twice the detection time (three seconds in slow start) without a packet: the other side may have begun anew.
        let later = now + ms(6001);
        receiver.tick(later);
        assert_eq!(give(&mut receiver, later, &old), Ok(()), "{kind}");
    }
}

#[test]
fn a_jump_beyond_three_times_the_multiplier_is_discarded() {
    let mut now = start();
    let mut sender = Session::new(key(), with(MeticulousKeyedSha1, 1, "stone"), 2, 9, now);
    let mut receiver = session(with(MeticulousKeyedSha1, 1, "stone"), now);
    let first = next(&mut sender, &mut now);
    give(&mut receiver, now, &first).unwrap();
    let mut later = Vec::new();
    for _ in 0..10 {
        later = next(&mut sender, &mut now.clone());
        // Only its number counts here: the receiver's clock stands still.
        sender.tick(now + ms(1_000_000));
    }
    assert_eq!(give(&mut receiver, now, &later), Err(Discard::AuthenticationSequence));
}

#[test]
fn a_forged_packet_does_not_move_the_window() {
    let mut now = start();
    let mut sender = Session::new(key(), with(MeticulousKeyedSha1, 1, "stone"), 2, 9, now);
    let mut receiver = session(with(MeticulousKeyedSha1, 1, "stone"), now);
    let first = next(&mut sender, &mut now);
    give(&mut receiver, now, &first).unwrap();
    let second = next(&mut sender, &mut now);
    let mut forged = second.clone();
    forged[31] = forged[31].wrapping_add(5);
    assert!(give(&mut receiver, now, &forged).is_err());
    assert_eq!(give(&mut receiver, now, &second), Ok(()));
}

#[test]
fn secrets_have_1_to_16_or_20_octets_and_are_never_printed() {
    assert!(Authentication::new(SimplePassword, 1, b"").is_none());
    assert!(Authentication::new(SimplePassword, 1, &[b'x'; 17]).is_none());
    assert!(Authentication::new(KeyedSha1, 1, &[b'x'; 20]).is_some());
    assert!(Authentication::new(KeyedSha1, 1, &[b'x'; 21]).is_none());
    assert!(!format!("{:?}", with(KeyedSha1, 1, "stone")).contains("stone"));
}
