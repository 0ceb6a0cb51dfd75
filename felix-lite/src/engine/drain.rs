//! The clock of a node that is being emptied: the core is told once it has waited.

use std::time::Duration;

use felix_core::{DrainCause, Update};
use tokio::time::Instant;
use tracing::info;

use super::Engine;

/// Since when the node is being emptied, and why.
///
/// After a restart the wait begins anew, for nobody knows how long it was: then blocks that nothing uses are announced once more, which harms
/// nobody, while to withdraw too early what others still use would.
#[derive(Debug, Default)]
pub(super) struct DrainClock {
    causes: Vec<DrainCause>,
    wait: Duration,
    since: Option<Instant>,
    /// What the core was told.
    waited: bool,
    /// When to look again.
    next: Option<Instant>,
}

impl DrainClock {
    /// Takes the causes that there are now, none where the node is not being emptied. Where they are others than before, or the wait is over,
    /// begins or has another length: whether the node has waited.
    pub(super) fn look(&mut self, causes: Vec<DrainCause>, wait: Duration, now: Instant) -> Option<bool> {
        let before = (self.waited, std::mem::replace(&mut self.causes, causes));
        if before.1 != self.causes {
            report(&self.causes);
        }
        let other_wait = std::mem::replace(&mut self.wait, wait) != wait && !self.causes.is_empty();
        self.since = if self.causes.is_empty() { None } else { Some(self.since.unwrap_or(now)) };
        let end = self.since.map(|since| since + wait);
        self.waited = end.is_some_and(|end| end <= now);
        self.next = end.filter(|_| !self.waited);
        (before.0 != self.waited || before.1 != self.causes || other_wait).then_some(self.waited)
    }

    /// When to look again, if that is to be at some time.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Engine {
    /// Tells the core, and whoever reports, what is new. The wait begins once all is announced that there is to announce.
    pub(super) fn look_at_drain_clock(&mut self) {
        if !self.progress.is_picture_told() {
            return;
        }
        let (causes, wait) = (self.state.drain_causes(), self.state.drain_wait());
        if let Some(waited) = self.drain_clock.look(causes, wait, Instant::now()) {
            self.state.apply(Update::DrainWaited(waited));
            self.news.send_replace(());
        }
    }
}

fn report(causes: &[DrainCause]) {
    if causes.is_empty() {
        info!("the node is no longer being emptied: all is announced as before");
        return;
    }
    let why: Vec<String> = causes.iter().map(ToString::to_string).collect();
    info!(why = why.join(", "), "the node is being emptied: all is announced with GRACEFUL_SHUTDOWN");
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    #[test]
    fn the_wait_begins_once_and_ends_once() {
        let (mut clock, begin) = (DrainClock::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let cordoned = || vec![DrainCause::Cordoned];
        assert_eq!((clock.look(Vec::new(), WAIT, at(0)), clock.next()), (None, None));
        assert_eq!(clock.look(cordoned(), WAIT, at(1)), Some(false));
        assert_eq!(clock.look(cordoned(), WAIT, at(2)), None);
        // Another cause is news, and does not begin it anew.
        let more = vec![DrainCause::ShuttingDown, DrainCause::Cordoned];
        assert_eq!(clock.look(more, WAIT, at(20)), Some(false));
        assert_eq!(clock.next(), Some(at(31)));
        assert_eq!(clock.look(cordoned(), WAIT, at(31)), Some(true));
        assert_eq!((clock.look(cordoned(), WAIT, at(32)), clock.next()), (None, None));
        // A longer one is waited for, also afterwards.
        assert_eq!(clock.look(cordoned(), WAIT * 2, at(33)), Some(false));
        assert_eq!(clock.next(), Some(at(61)));
        assert_eq!(clock.look(cordoned(), WAIT * 2, at(61)), Some(true));
        assert_eq!(clock.look(Vec::new(), WAIT, at(62)), Some(false));
        assert_eq!(clock.look(cordoned(), WAIT, at(70)), Some(false));
        assert_eq!(clock.next(), Some(at(100)), "from the beginning");
        assert_eq!(clock.look(cordoned(), Duration::ZERO, at(70)), Some(true));
    }
}
