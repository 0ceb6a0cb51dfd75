//! Every transition of RFC 5880 section 6.2, and what comes with it.

use super::*;

use State::{AdminDown, Down, Init, Up};

#[test]
fn every_transition_is_that_of_the_rfcs_table() {
    // State, what the other side says, next state, diagnostic if it is a new one.
    let signaled = Diagnostic::NeighborSignaledSessionDown;
    let none = Diagnostic::None;
    let table = [
        (Down, AdminDown, Down, none),
        (Down, Down, Init, none),
        (Down, Init, Up, none),
        (Down, Up, Down, none),
        (Init, AdminDown, Down, signaled),
        (Init, Down, Init, none),
        (Init, Init, Up, none),
        (Init, Up, Up, none),
        (Up, AdminDown, Down, signaled),
        (Up, Down, Down, signaled),
        (Up, Init, Up, none),
        (Up, Up, Up, none),
        (AdminDown, AdminDown, AdminDown, Diagnostic::AdministrativelyDown),
        (AdminDown, Down, AdminDown, Diagnostic::AdministrativelyDown),
        (AdminDown, Init, AdminDown, Diagnostic::AdministrativelyDown),
        (AdminDown, Up, AdminDown, Diagnostic::AdministrativelyDown),
    ];
    for (from, said, to, diagnostic) in table {
        let now = start();
        let mut session = session(config(300, 300, 3), now);
        bring_to(&mut session, from, now);
        let accepted = session.receive(now, &packet(said));
        assert_eq!(accepted.is_ok(), from != AdminDown, "{from} hears {said}");
        assert_eq!(session.state(), to, "{from} hears {said}");
        assert_eq!(session.view().diagnostic, diagnostic, "{from} hears {said}");
    }
}

#[test]
fn silence_ends_init_and_up_and_nothing_else() {
    for (from, to) in [(Down, Down), (Init, Down), (Up, Down), (AdminDown, AdminDown)] {
        let now = start();
        let mut session = session(config(300, 300, 3), now);
        bring_to(&mut session, from, now);
        let later = now + ms(900);
        session.tick(later - ms(1));
        assert_eq!(session.state(), from);
        session.tick(later);
        assert_eq!(session.state(), to);
        let expired = matches!(from, Init | Up);
        assert_eq!(session.view().diagnostic == Diagnostic::ControlDetectionTimeExpired, expired);
        if from != AdminDown {
            // What the other side's discriminator was is forgotten.
            assert_eq!(session.view().remote.discriminator, 0);
        }
    }
}

#[test]
fn an_operator_takes_down_from_every_state_and_lets_up_again() {
    for from in [Down, Init, Up] {
        let now = start();
        let mut session = session(config(300, 300, 3), now);
        bring_to(&mut session, from, now);
        session.take_down(now);
        assert_eq!(
            (session.state(), session.view().diagnostic),
            (AdminDown, Diagnostic::AdministrativelyDown)
        );
        let change = session.take_change().unwrap();
        assert!(!change.is_failure(), "{change:?}");
        session.configure(config(300, 300, 3), now);
        assert_eq!(session.state(), Down);
        session.receive(now, &packet(Init)).unwrap();
        assert_eq!(session.state(), Up);
    }
}

#[test]
fn leaving_up_is_a_failure_unless_an_operator_wanted_it() {
    for (said, failure) in [(Down, true), (AdminDown, false)] {
        let now = start();
        let mut session = session(config(300, 300, 3), now);
        bring_to(&mut session, Up, now);
        session.receive(now, &packet(said)).unwrap();
        let change = session.take_change().unwrap();
        assert_eq!((change.is_failure(), change.is_remote_admin_down()), (failure, !failure));
    }
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    let independent = Packet { control_plane_independent: true, ..packet(Up) };
    bring_to(&mut session, Up, now);
    session.receive(now, &independent).unwrap();
    session.tick(now + ms(900));
    let change = session.take_change().unwrap();
    assert!(change.is_failure() && change.remote_independent);
}

#[test]
fn a_change_of_state_is_told_at_once() {
    let now = start();
    let mut session = session(config(300, 300, 3), now);
    assert_eq!(one_sent(&mut session, now).state, Down);
    session.receive(now, &packet(Down)).unwrap();
    let first = one_sent(&mut session, now);
    assert_eq!((first.state, first.your_discriminator), (Init, 2));
    session.receive(now, &packet(Up)).unwrap();
    assert_eq!(one_sent(&mut session, now).state, Up);
    session.receive(now, &packet(Up)).unwrap();
    assert!(!session.wants_to_send());
}

#[test]
fn a_session_that_is_removed_says_so_three_times_and_is_over() {
    let mut now = start();
    let mut session = session(config(300, 300, 3), now);
    bring_to(&mut session, Up, now);
    session.take_down(now);
    for round in 0..3 {
        assert!(!session.is_over(), "round {round}");
        let last = one_sent(&mut session, now);
        assert_eq!((last.state, last.diagnostic), (AdminDown, Diagnostic::AdministrativelyDown));
        now += ms(1000);
        session.tick(now);
    }
    assert!(session.is_over());
}

#[test]
fn the_last_sixteen_changes_are_kept_in_order() {
    let mut now = start();
    let mut session = session(config(300, 300, 3), now);
    for _ in 0..20 {
        now += ms(1);
        session.receive(now, &packet(Init)).unwrap();
        now += ms(1);
        session.receive(now, &packet(Down)).unwrap();
    }
    let view = session.view();
    assert_eq!((view.counters.up, view.counters.down), (20, 20));
    assert_eq!(view.history.len(), 16);
    assert!(view.history.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].to == pair[1].from));
}
