use std::time::Instant;

use super::Event;

/// Deadlines of a state machine; `None`: the timer does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timers {
    /// Next start after a failure.
    pub idle_hold: Option<Instant>,
    /// End of the connection attempt, or the next one.
    pub connect_retry: Option<Instant>,
    /// End of patience with a silent peer.
    pub hold: Option<Instant>,
    /// Next KEEPALIVE.
    pub keepalive: Option<Instant>,
    /// End of waiting for the peer's OPEN.
    pub delay_open: Option<Instant>,
}

impl Timers {
    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        [self.idle_hold, self.connect_retry, self.hold, self.keepalive, self.delay_open]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes a timer that has expired, and names the event. Call until `None`.
    ///
    /// A KEEPALIVE goes first, so that it is sent even where the hold timer of the peer is about to end all.
    pub fn expire(&mut self, now: Instant) -> Option<Event> {
        let mut take = |timer: fn(&mut Self) -> &mut Option<Instant>| {
            let timer = timer(self);
            timer.is_some_and(|deadline| deadline <= now).then(|| *timer = None).is_some()
        };
        if take(|timers| &mut timers.keepalive) {
            Some(Event::KeepaliveTimerExpired)
        } else if take(|timers| &mut timers.hold) {
            Some(Event::HoldTimerExpired)
        } else if take(|timers| &mut timers.delay_open) {
            Some(Event::DelayOpenTimerExpired)
        } else if take(|timers| &mut timers.connect_retry) {
            Some(Event::ConnectRetryTimerExpired)
        } else if take(|timers| &mut timers.idle_hold) {
            Some(Event::IdleHoldTimerExpired)
        } else {
            None
        }
    }
}
