use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_net::{Asn, Families};
use proptest::prelude::*;

use super::*;
use crate::speaker::{Config, ConnId, Direction, DownReason, PeerConfig};
use crate::wire::{CeaseError, MessageType, Notification, Open};

fn settings_for(asn: u32, id: &str, peer: u32, delay_open: bool, passive: bool) -> Settings {
    let local = Config::new(Asn(asn), id.parse().unwrap());
    let mut config = PeerConfig { families: Families::ALL, ..PeerConfig::new(Asn(peer)) };
    config.transport.passive = passive;
    config.timers.delay_open = delay_open.then_some(Duration::from_secs(2));
    crate::speaker::settings_for_tests(&local, &config)
}

fn peer_open() -> Open {
    settings_for(65002, "10.0.0.2", 65001, false, false).open
}

#[derive(Debug, Clone)]
enum Step {
    Give(Event),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Step> {
    let notification = Notification::cease(CeaseError::Unspecific);
    let wrong = Open { asn: Asn(1), ..peer_open() };
    let reason = "gone".to_owned();
    let stop = Event::Stop { notification: Some(notification.clone()), reason: DownReason::Deconfigured };
    prop_oneof![
        3 => Just(Step::Give(Event::Start)),
        1 => Just(Step::Give(stop)),
        4 => Just(Step::Give(Event::ConnectionOpened(ConnId(1)))),
        1 => Just(Step::Give(Event::ConnectFailed(reason.clone()))),
        1 => Just(Step::Give(Event::ConnectionClosed(reason))),
        4 => Just(Step::Give(Event::OpenReceived(Box::new(peer_open())))),
        1 => Just(Step::Give(Event::OpenReceived(Box::new(wrong)))),
        4 => Just(Step::Give(Event::KeepaliveReceived)),
        1 => Just(Step::Give(Event::RoutesReceived(MessageType::Update))),
        1 => Just(Step::Give(Event::NotificationReceived(notification.clone()))),
        1 => Just(Step::Give(Event::MessageFault(notification))),
        4 => (0..120_000u64).prop_map(Step::Wait),
    ]
}

/// What must hold after any event (RFC 4271 section 8.2.2).
fn check(fsm: &Fsm, actions: &[Action]) -> Result<(), TestCaseError> {
    let timers = fsm.timers();
    match fsm.state() {
        State::Idle => {
            prop_assert!(fsm.conn().is_none() && fsm.agreement().is_none());
            let running = [timers.connect_retry, timers.hold, timers.keepalive, timers.delay_open];
            prop_assert!(running.iter().all(Option::is_none));
        }
        State::Connect | State::Active => {
            prop_assert!(timers.hold.is_none() && timers.keepalive.is_none() && timers.idle_hold.is_none());
            prop_assert_eq!(timers.delay_open.is_some(), fsm.conn().is_some());
        }
        State::OpenSent => {
            prop_assert!(fsm.conn().is_some() && timers.hold.is_some() && fsm.agreement().is_none());
        }
        State::OpenConfirm | State::Established => {
            prop_assert!(fsm.conn().is_some() && timers.hold.is_some() && timers.keepalive.is_some());
            prop_assert!(fsm.agreement().is_some());
        }
    }
    // Nothing is sent after the connection is closed, and it is closed once.
    let close = actions.iter().position(|action| matches!(action, Action::Close(_)));
    if let Some(close) = close {
        let later = |action: &Action| matches!(action, Action::Send(_) | Action::Close(_) | Action::Up);
        prop_assert!(!actions[close + 1..].iter().any(later), "{actions:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_sequence_of_events_keeps_states_and_timers_in_step(
        steps in proptest::collection::vec(event(), 1..60), delay_open: bool, passive: bool, accepting: bool,
    ) {
        let settings = Arc::new(settings_for(65001, "10.0.0.1", 65002, delay_open, passive));
        let mut fsm = if accepting {
            Fsm::accepting(settings, Jitter::new(1))
        } else {
            Fsm::connecting(settings, Jitter::new(1))
        };
        #[allow(clippy::disallowed_methods)] // any point in time will do
        let mut now = Instant::now();
        for step in steps {
            let mut actions = Vec::new();
            match step {
                Step::Give(event) => fsm.handle(now, event, &mut actions),
                Step::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds);
                    // One timer at a time, as the speaker does.
                    fsm.tick(now, &mut actions);
                    prop_assert!(fsm.timers().next().is_none_or(|at| at > now));
                    actions.clear();
                }
            }
            check(&fsm, &actions)?;
        }
    }
}

#[test]
fn an_accepting_machine_sends_its_open_at_once_and_never_connects() {
    let settings = Arc::new(settings_for(65001, "10.0.0.1", 65002, false, false));
    let mut fsm = Fsm::accepting(settings, Jitter::new(1));
    assert_eq!(fsm.direction(), Direction::Inbound);
    #[allow(clippy::disallowed_methods)] // any point in time will do
    let now = Instant::now();
    let mut actions = Vec::new();
    fsm.handle(now, Event::ConnectionOpened(ConnId(1)), &mut actions);
    fsm.handle(now, Event::OpenReceived(Box::new(peer_open())), &mut actions);
    fsm.handle(now, Event::KeepaliveReceived, &mut actions);
    assert_eq!(fsm.state(), State::Established);
    assert!(matches!(actions[..], [Action::Send(_), Action::Send(_), Action::Up]));
    fsm.handle(now, Event::ConnectionClosed(String::new()), &mut actions);
    assert!(fsm.timers().next().is_none());
}
