//! Octets that are a state, and octets that are none.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Damaged, Datagram, Endpoint, Input};

/// An endpoint with a session that is up, one that is up behind routers, one that nobody answers, and one that says goodbye.
fn endpoint(now: Instant) -> (Endpoint, BTreeMap<Key, SessionConfig>) {
    let mut wanted: BTreeMap<Key, SessionConfig> = [
        (Key::new(ip("192.0.2.1"), Hops::Single), config(300, 300, 3)),
        (Key::new(ip("2001:db8::2"), Hops::Multi), config(300, 300, 3)),
        (
            Key { local: Some(ip("192.0.2.9")), ..Key::new(ip("192.0.2.3"), Hops::Single) },
            config(300, 300, 3),
        ),
        (Key { interface: Some(7), ..Key::new(ip("fe80::4"), Hops::Single) }, config(300, 300, 3)),
    ]
    .into();
    let mut endpoint = Endpoint::new(now, 1);
    endpoint.handle(now, Input::Configure(&wanted));
    for (remote, state) in
        [("192.0.2.1", State::Init), ("2001:db8::2", State::Init), ("fe80::4", State::Init)]
    {
        let views: Vec<_> = endpoint.sessions().collect();
        let view = views.iter().find(|view| view.key.remote == ip(remote)).unwrap();
        let mut out = [0; MAX_PACKET];
        let your_discriminator = view.discriminator;
        let len = Packet { your_discriminator, ..packet(state) }.encode(&mut out);
        let datagram = Datagram {
            hops: view.key.hops,
            source: view.key.remote,
            destination: ip("192.0.2.9"),
            interface: 7,
            ttl: 255,
            payload: &out[..len],
        };
        endpoint.handle(now, Input::Received(datagram));
    }
    wanted.retain(|key, _| key.interface.is_none());
    endpoint.handle(now, Input::Configure(&wanted));
    while endpoint.poll_output().is_some() {}
    (endpoint, wanted)
}

#[test]
fn a_state_holds_all_that_can_be_seen_of_the_sessions_that_are_wanted() {
    let now = start();
    let (old, wanted) = endpoint(now);
    let (state, names) = old.hand_over();
    let (new, taken) = Endpoint::take_over(now, 2, &wanted, &state).unwrap();
    assert_eq!((names.len(), taken.iter().flatten().count()), (3, 3));
    let views: Vec<_> = old.sessions().filter(|view| view.state != State::AdminDown).collect();
    assert_eq!(views.iter().filter(|view| view.state == State::Up).count(), 2);
    assert_eq!(new.sessions().collect::<Vec<_>>(), views);
    assert_eq!(old.hand_over().0, state, "writing changes nothing");
}

#[test]
fn a_session_that_is_not_configured_here_is_left_out_and_another_one_begins() {
    let now = start();
    let (old, mut wanted) = endpoint(now);
    let (state, _) = old.hand_over();
    let gone = Key::new(ip("192.0.2.1"), Hops::Single);
    let config = wanted.remove(&gone).unwrap();
    wanted.insert(Key::new(ip("192.0.2.77"), Hops::Single), config);
    let (mut new, taken) = Endpoint::take_over(now, 2, &wanted, &state).unwrap();
    assert_eq!(taken.iter().filter(|name| name.is_none()).count(), 1);
    new.handle(now, Input::Configure(&wanted));
    assert_eq!(
        new.sessions().map(|view| view.key).collect::<Vec<_>>(),
        wanted.into_keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_state_that_is_cut_short_or_of_another_version_is_refused() {
    let now = start();
    let (old, wanted) = endpoint(now);
    let (mut state, _) = old.hand_over();
    let take = |state: &[u8]| Endpoint::take_over(now, 2, &wanted, state).map(drop);
    for len in 0..state.len() {
        assert!(matches!(take(&state[..len]), Err(Damaged(_))), "{len}");
    }
    state.push(0);
    assert!(matches!(take(&state), Err(Damaged(_))));
    state.pop();
    assert_eq!(take(&state), Ok(()));
    state[0] += 1;
    assert!(matches!(take(&state), Err(Damaged(_))));
}

proptest! {
    #[test]
    fn a_damaged_state_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut now = start();
        let (old, wanted) = endpoint(now);
        let (mut state, _) = old.hand_over();
        for (place, value) in changes {
            let place = place.index(state.len());
            state[place] = value;
        }
        // Some changes mean another sane state.
        if let Ok((mut new, _)) = Endpoint::take_over(now, 2, &wanted, &state) {
            new.handle(now, Input::Configure(&wanted));
            for _ in 0..50 {
                while new.poll_output().is_some() {}
                now += ms(100);
                new.handle(now, Input::Tick);
            }
        }
    }
}
