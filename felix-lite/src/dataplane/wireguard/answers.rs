//! Whether a peer still answers, by what the kernel counts.
//!
//! Packets to a node's own address have another way than the tunnel, and must take it when the node has lost its key: otherwise it could never tell
//! the new one. A handshake with this node's key shows that a peer is there. From then on he is taken to be, until much was sent to him
//! and nothing came back for a while: whoever gets data answers with data, or with a keepalive after 10 s, and a new handshake is tried after 15 s.

use std::time::{Duration, Instant};

use cairn_kernel::wireguard::PeerState;

/// More octets than keepalives and handshakes take in that time, and no more than a connection that gets no answer.
const MUCH: u64 = 512;
/// How long nobody answers to them: a handshake was tried meanwhile.
const SILENCE: Duration = Duration::from_secs(20);

/// What was seen of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    /// The handshake that says nothing: with another key of this node.
    old: Option<Duration>,
    handshake: Option<Duration>,
    received: u64,
    /// What had been sent when something was received last.
    sent: u64,
    /// Since when much more was sent.
    waiting: Option<Instant>,
}

impl Answers {
    /// Of a peer that was not known, `rekeyed` if this node had another key a moment ago.
    pub(super) fn first(state: &PeerState, rekeyed: bool) -> Self {
        Self {
            old: state.last_handshake.filter(|_| rekeyed),
            handshake: state.last_handshake,
            received: state.received,
            sent: state.sent,
            waiting: None,
        }
    }

    /// Of a peer that is made now.
    pub(super) const fn none() -> Self {
        Self { old: None, handshake: None, received: 0, sent: 0, waiting: None }
    }

    /// What the kernel says now.
    #[must_use]
    pub(super) fn next(self, state: &PeerState, now: Instant) -> Self {
        if state.received != self.received || state.last_handshake != self.handshake {
            return Self { old: self.old, ..Self::first(state, false) };
        }
        let much = state.sent.saturating_sub(self.sent) > MUCH;
        Self { waiting: self.waiting.or(Some(now)).filter(|_| much), ..self }
    }

    /// Was there a handshake with the key that this node has?
    pub(super) fn has_answered(&self) -> bool {
        self.handshake.is_some() && self.handshake != self.old
    }

    /// May packets go to him that have another way?
    pub(super) fn is_there(&self, now: Instant) -> bool {
        self.has_answered() && self.waiting.is_none_or(|since| now.duration_since(since) < SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use cairn_kernel::wireguard::{Peer, PublicKey};

    use super::*;

    fn state(handshake: Option<u64>, received: u64, sent: u64) -> PeerState {
        let peer =
            Peer { public_key: PublicKey([1; 32]), endpoint: None, keepalive: 0, allowed_ips: Vec::new() };
        PeerState { peer, last_handshake: handshake.map(Duration::from_secs), received, sent }
    }

    #[test]
    fn a_handshake_is_an_answer_unless_it_was_with_another_key() {
        let now = Instant::now();
        assert!(!Answers::none().is_there(now));
        assert!(!Answers::first(&state(None, 0, 148), false).is_there(now));
        assert!(Answers::first(&state(Some(5), 92, 148), false).is_there(now));
        let rekeyed = Answers::first(&state(Some(5), 92, 148), true);
        assert!(!rekeyed.is_there(now));
        assert!(!rekeyed.next(&state(Some(5), 500, 148), now).is_there(now), "packets under the old key");
        assert!(rekeyed.next(&state(Some(6), 592, 148), now).is_there(now));
    }

    #[test]
    fn who_gets_much_and_sends_nothing_is_not_there_until_he_sends() {
        let (now, later) = (Instant::now(), |seconds| Instant::now() + Duration::from_secs(seconds));
        let peer = Answers::first(&state(Some(5), 1000, 1000), false);
        let quiet = peer.next(&state(Some(5), 1000, 1000 + MUCH), now);
        assert!(
            quiet.next(&state(Some(5), 1000, 1000 + MUCH), later(100)).is_there(later(200)),
            "keepalives alone"
        );
        let asked = quiet.next(&state(Some(5), 1000, 1001 + MUCH), now);
        assert!(asked.is_there(later(19)) && !asked.is_there(later(21)));
        let asked = asked.next(&state(Some(5), 1000, 9000), later(10));
        assert!(!asked.is_there(later(21)), "since the first packet");
        assert!(asked.next(&state(Some(5), 1032, 9000), later(30)).is_there(later(60)));
    }
}
