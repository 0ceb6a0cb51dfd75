//! RFC 5880 sections 6.8.2 to 6.8.4 and 6.8.7: negotiation, slow start, Poll Sequences, detection times.

use super::*;

/// Intervals between packets when the other side keeps saying that it is Up, in milliseconds.
fn intervals(session: &mut Session, mut now: Instant, count: usize) -> Vec<u128> {
    let mut last = now;
    let mut all = Vec::new();
    while all.len() < count {
        now += ms(1);
        session.receive(now, &Packet { is_final: true, ..packet(session.state()) }).unwrap();
        session.tick(now);
        if !sent(session, now).is_empty() {
            all.push(now.duration_since(last).as_millis());
            last = now;
        }
    }
    all
}

#[test]
fn one_packet_a_second_until_up() {
    let mut now = start();
    let mut session = session(config(50, 50, 3), now);
    assert_eq!(one_sent(&mut session, now).desired_min_tx, 1_000_000);
    for _ in 0..10 {
        let due = session.transmit_due.unwrap();
        assert!((ms(750)..=ms(1000)).contains(&(due - now)), "{:?}", due - now);
        now = due;
        session.tick(now);
        one_sent(&mut session, now);
    }
    session.receive(now, &packet(State::Init)).unwrap();
    assert_eq!(one_sent(&mut session, now).desired_min_tx, 50_000);
    // And again after a failure.
    session.receive(now, &packet(State::Down)).unwrap();
    assert_eq!(one_sent(&mut session, now).desired_min_tx, 1_000_000);
}

#[test]
fn the_slower_of_what_one_sends_and_the_other_wants_is_used() {
    for (own, wanted, used) in [(300, 50, 300), (50, 300, 300), (100, 100, 100)] {
        let now = start();
        let mut session = session(config(own, 300, 3), now);
        bring_to(&mut session, State::Up, now);
        session.receive(now, &Packet { required_min_rx: wanted * 1000, ..packet(State::Up) }).unwrap();
        assert_eq!(session.view().transmit_interval, Some(ms(used)));
    }
}

#[test]
fn the_detection_time_is_the_others_multiplier_times_the_slower_interval() {
    for (required, sends, multiplier, expected) in
        [(300, 50, 3, 900), (50, 300, 3, 900), (50, 50, 3, 150), (50, 50, 1, 50), (50, 50, 255, 12750)]
    {
        let now = start();
        let mut session = session(config(300, required, 7), now);
        bring_to(&mut session, State::Up, now);
        let said = Packet { desired_min_tx: sends * 1000, detect_mult: multiplier, ..packet(State::Up) };
        session.receive(now, &said).unwrap();
        assert_eq!(session.view().detection_time, Some(ms(expected)));
        session.tick(now + ms(expected) - ms(1));
        assert_eq!(session.state(), State::Up);
        session.tick(now + ms(expected));
        assert_eq!(session.state(), State::Down);
    }
}

#[test]
fn the_largest_times_and_multipliers_of_the_wire_overflow_nothing() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    let huge = Packet {
        desired_min_tx: u32::MAX,
        required_min_rx: u32::MAX,
        detect_mult: 255,
        ..packet(State::Init)
    };
    session.receive(now, &huge).unwrap();
    assert_eq!(session.state(), State::Up);
    assert!(session.view().detection_time.unwrap() > Duration::from_secs(1_000_000));
    sent(&mut session, now);
}

#[test]
fn packets_are_jittered_by_up_to_a_quarter() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    let all = intervals(&mut session, now, 100);
    assert!(all[1..].iter().all(|interval| (225..=300).contains(interval)), "{all:?}");
    assert!(all.iter().any(|interval| *interval < 250) && all.iter().any(|interval| *interval > 275));
}

#[test]
fn a_longer_transmit_interval_waits_for_the_final() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    session.configure(config(2000, 300, 3), now);
    let asked = one_sent(&mut session, now);
    assert!(asked.poll && asked.desired_min_tx == 2_000_000);
    assert_eq!(session.view().transmit_interval, Some(ms(300)));
    session.receive(now, &Packet { is_final: true, ..packet(State::Up) }).unwrap();
    assert_eq!(session.view().transmit_interval, Some(ms(2000)));
    assert_eq!(session.state(), State::Up);
}

#[test]
fn a_shorter_transmit_interval_counts_at_once() {
    let now = start();
    let mut session = session(config(1000, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    session.configure(config(300, 300, 3), now);
    assert!(one_sent(&mut session, now).poll);
    assert_eq!(session.view().transmit_interval, Some(ms(300)));
}

#[test]
fn a_shorter_detection_time_waits_for_the_final() {
    let now = start();
    let mut session = session(config(300, 1000, 3), now);
    bring_to(&mut session, State::Up, now);
    session.configure(config(300, 300, 3), now);
    assert_eq!(session.view().detection_time, Some(ms(3000)));
    session.receive(now, &Packet { is_final: true, ..packet(State::Up) }).unwrap();
    assert_eq!(session.view().detection_time, Some(ms(900)));
}

#[test]
fn a_change_during_a_poll_is_asked_about_after_it() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    session.configure(config(400, 300, 3), now);
    session.configure(config(500, 300, 3), now);
    // This may answer the first question.
    session.receive(now, &Packet { is_final: true, ..packet(State::Up) }).unwrap();
    assert!(session.view().polling);
    assert_eq!(session.view().transmit_interval, Some(ms(300)));
    session.receive(now, &Packet { is_final: true, ..packet(State::Up) }).unwrap();
    assert!(!session.view().polling);
    assert_eq!(session.view().transmit_interval, Some(ms(500)));
}

#[test]
fn a_shorter_wish_of_the_other_side_counts_for_the_packet_that_is_already_waiting() {
    let now = start();
    let mut session = session(config(50, 300, 3), now);
    bring_to(&mut session, State::Up, now);
    session.receive(now, &Packet { required_min_rx: 10_000_000, ..packet(State::Up) }).unwrap();
    assert!(session.transmit_due.unwrap() > now + ms(7000));
    session.receive(now + ms(10), &Packet { required_min_rx: 50_000, ..packet(State::Up) }).unwrap();
    assert!(session.transmit_due.unwrap() <= now + ms(50));
}
