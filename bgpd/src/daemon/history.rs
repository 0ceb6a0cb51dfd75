//! What happened to each neighbour, as far back as [`KEPT`] events go.
//!
//! A neighbour that does not come up fails in the same way every few seconds. Such failures are one event with a count, so that they push
//! nothing else out.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use bgp_core::fsm::State;
use bgp_core::speaker::PeerChange;
use bgpd_api::peer::{EventKind, HistoryEvent};

/// Events kept for a neighbour.
const KEPT: usize = 128;
/// Longest text kept. Unit: characters. A peer's words may be part of it.
const MAX_TEXT: usize = 512;

/// The events of all neighbours.
#[derive(Default)]
pub(super) struct History {
    events: HashMap<IpAddr, VecDeque<HistoryEvent>>,
}

impl History {
    /// The speaker has said something about a neighbour.
    pub(super) fn peer_changed(&mut self, peer: IpAddr, change: &PeerChange) {
        let (kind, text) = match change {
            PeerChange::State { from, to } => {
                // `Up` follows, and says more.
                if *to == State::Established {
                    return;
                }
                (EventKind::State, format!("{from} -> {to}"))
            }
            PeerChange::Up { router_id, asn } => {
                (EventKind::Up, format!("established with AS {asn}, router id {router_id}"))
            }
            PeerChange::Down { reason, was_up: true } => (EventKind::Down, reason.to_string()),
            PeerChange::Down { reason, was_up: false } => (EventKind::Failure, reason.to_string()),
            PeerChange::Warning { text } => (EventKind::Warning, text.clone()),
        };
        self.add(peer, kind, text);
    }

    /// Somebody did something about a neighbour.
    pub(super) fn operator(&mut self, peer: IpAddr, text: &str) {
        self.add(peer, EventKind::Operator, text.to_owned());
    }

    fn add(&mut self, peer: IpAddr, kind: EventKind, mut text: String) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        // No text has more characters than octets.
        if text.len() > MAX_TEXT
            && let Some((end, _)) = text.char_indices().nth(MAX_TEXT)
        {
            text.truncate(end);
        }
        let events = self.events.entry(peer).or_default();
        if kind != EventKind::State && repeats(events, kind, &text, now) {
            return;
        }
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(HistoryEvent { time: now, kind, text, count: 1, last_time: now });
    }

    /// Forgets neighbours that are no longer there.
    pub(super) fn retain(&mut self, mut exists: impl FnMut(IpAddr) -> bool) {
        self.events.retain(|peer, _| exists(*peer));
    }

    /// The events of a neighbour, the oldest first.
    pub(super) fn of(&self, peer: IpAddr) -> Vec<HistoryEvent> {
        self.events.get(&peer).into_iter().flatten().cloned().collect()
    }
}

/// Counts an event onto the last one, if that is the same but for changes of state in between, which then go.
fn repeats(events: &mut VecDeque<HistoryEvent>, kind: EventKind, text: &str, now: Duration) -> bool {
    let Some(place) = events.iter().rposition(|event| event.kind != EventKind::State) else { return false };
    let Some(last) = events.get_mut(place).filter(|last| last.kind == kind && last.text == text) else {
        return false;
    };
    last.count += 1;
    last.last_time = now;
    events.truncate(place + 1);
    true
}

#[cfg(test)]
mod tests {
    use bgp_core::speaker::DownReason;

    use super::*;

    fn peer() -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    fn failure(text: &str) -> PeerChange {
        PeerChange::Down { reason: DownReason::ConnectFailed(text.to_owned()), was_up: false }
    }

    fn texts(history: &History) -> Vec<(EventKind, u64)> {
        history.of(peer()).iter().map(|event| (event.kind, event.count)).collect()
    }

    #[test]
    fn the_same_failure_is_counted_and_another_one_is_listed() {
        let mut history = History::default();
        for _ in 0..1000 {
            history.peer_changed(peer(), &PeerChange::State { from: State::Idle, to: State::Connect });
            history.peer_changed(peer(), &failure("refused"));
        }
        assert_eq!(texts(&history), [(EventKind::State, 1), (EventKind::Failure, 1000)]);
        history.peer_changed(peer(), &failure("unreachable"));
        history.operator(peer(), "reset by hand");
        let expected = [
            (EventKind::State, 1),
            (EventKind::Failure, 1000),
            (EventKind::Failure, 1),
            (EventKind::Operator, 1),
        ];
        assert_eq!(texts(&history), expected);
    }

    #[test]
    fn a_flood_of_different_events_pushes_the_oldest_out() {
        let mut history = History::default();
        for number in 0..10 * KEPT {
            history
                .peer_changed(peer(), &PeerChange::Warning { text: format!("{number}{}", "x".repeat(5000)) });
        }
        let events = history.of(peer());
        assert_eq!(events.len(), KEPT);
        assert!(events[0].text.starts_with(&format!("{}x", 9 * KEPT)));
        assert!(events.iter().all(|event| event.text.chars().count() == MAX_TEXT));
        // What is long in octets alone is kept, and nothing is cut amid a character.
        for count in [MAX_TEXT, MAX_TEXT + 1] {
            history.operator(peer(), &"\u{e9}".repeat(count));
            assert_eq!(history.of(peer()).last().map(|event| event.text.chars().count()), Some(MAX_TEXT));
        }
        history.retain(|_| false);
        assert!(history.of(peer()).is_empty());
    }
}
