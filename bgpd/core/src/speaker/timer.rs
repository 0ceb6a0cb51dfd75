use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::peer::PeerId;

/// When to look at which peer. An entry may be out of date: a timer that is started again and again (the hold timer, with every
/// message) costs nothing here until it would have expired.
#[derive(Debug, Default)]
pub(super) struct TimerQueue(BinaryHeap<Reverse<(Instant, PeerId)>>);

impl TimerQueue {
    pub(super) fn push(&mut self, at: Instant, peer: PeerId) {
        self.0.push(Reverse((at, peer)));
    }

    /// The earliest entry.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry whose time has come.
    pub(super) fn expired(&mut self, now: Instant) -> Option<PeerId> {
        let due = self.next()? <= now;
        due.then(|| self.0.pop()).flatten().map(|Reverse((_, peer))| peer)
    }
}
