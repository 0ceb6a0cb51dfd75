//! What an endpoint does with its configuration.

use std::collections::BTreeMap;

use super::*;
use crate::{Endpoint, Input, Output, SessionId};

fn drain(endpoint: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

fn keys(count: u8) -> BTreeMap<Key, SessionConfig> {
    (1..=count).map(|n| (Key::new(IpAddr::from([10, 0, 0, n]), Hops::Single), config(300, 300, 3))).collect()
}

fn transmissions(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Transmit { .. })).count()
}

#[test]
fn the_same_configuration_again_does_nothing() {
    let now = start();
    let mut endpoint = Endpoint::new(now, 1);
    endpoint.handle(now, Input::Configure(&keys(3)));
    assert_eq!(transmissions(&drain(&mut endpoint)), 3);
    endpoint.handle(now, Input::Configure(&keys(3)));
    assert_eq!(drain(&mut endpoint), []);
}

#[test]
fn discriminators_are_unique_and_not_zero() {
    let now = start();
    let mut endpoint = Endpoint::new(now, 1);
    endpoint.handle(now, Input::Configure(&keys(250)));
    let mut all: Vec<u32> = endpoint.sessions().map(|view| view.discriminator).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.len() == 250 && all[0] != 0);
}

#[test]
fn a_session_that_nobody_answers_is_forgotten_at_once_and_its_place_used_again() {
    let now = start();
    let mut endpoint = Endpoint::new(now, 1);
    endpoint.handle(now, Input::Configure(&keys(2)));
    drain(&mut endpoint);
    endpoint.handle(now, Input::Configure(&keys(1)));
    let outputs = drain(&mut endpoint);
    assert!(outputs.contains(&Output::Forgotten { session: SessionId(1) }), "{outputs:?}");
    assert_eq!(endpoint.len(), 1);
    endpoint.handle(now, Input::Configure(&keys(2)));
    let outputs = drain(&mut endpoint);
    assert!(matches!(outputs[..], [Output::Transmit { session: SessionId(1), .. }]), "{outputs:?}");
}

#[test]
fn the_timeout_is_never_later_than_what_is_due() {
    let mut now = start();
    let mut endpoint = Endpoint::new(now, 1);
    endpoint.handle(now, Input::Configure(&keys(20)));
    drain(&mut endpoint);
    let mut packets = 0;
    for _ in 0..200 {
        let at = endpoint.poll_timeout().unwrap();
        assert!(at >= now && at <= now + ms(1001), "{:?}", at - now);
        now = at;
        endpoint.handle(now, Input::Tick);
        packets += transmissions(&drain(&mut endpoint));
    }
    assert!(packets >= 190, "{packets} packets for 200 looks");
}
