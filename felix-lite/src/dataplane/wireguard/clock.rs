//! Whether the time of day went back.
//!
//! WireGuard writes the time of day into each handshake that it begins, and a peer takes none that is not newer than the last one of the same key
//! (TAI64N, section 5.1 of WireGuard's paper). So a node whose clock is set back by hours keeps its sessions for three minutes and can begin
//! none from then on, until its clock has caught up or it has another key.

use std::time::{Duration, Instant};

/// Less is nothing to act on: a handshake that is refused is begun again every five seconds.
const MARGIN: Duration = Duration::from_secs(5);

/// The time of day beside the clock that nobody sets.
#[derive(Debug)]
pub(super) struct Clock {
    /// Both, as they were read last. The time of day is counted from 1970.
    last: (Duration, Instant),
    /// The time of day that it had been when it was set back: peers take handshakes from then on.
    reached: Option<Duration>,
}

impl Clock {
    /// Nothing is known of earlier times.
    pub(super) const fn new(day: Duration, now: Instant) -> Self {
        Self { last: (day, now), reached: None }
    }

    /// Reads both clocks; until which time of day peers refuse handshakes, if they do.
    pub(super) fn read(&mut self, day: Duration, now: Instant) -> Option<Duration> {
        let (before, at) = std::mem::replace(&mut self.last, (day, now));
        let expected = before.saturating_add(now.duration_since(at));
        if expected.saturating_sub(day) > MARGIN {
            self.reached = self.reached.max(Some(expected));
        }
        self.reached = self.reached.filter(|reached| *reached > day);
        self.reached
    }

    /// There is another key, which nobody has seen a handshake of.
    pub(super) const fn renew(&mut self) {
        self.reached = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// Reads a clock of which nothing was known, at these times: seconds that have gone by, and the time of day.
    fn told(times: &[(u64, u64)]) -> Vec<Option<u64>> {
        let (start, day) = (Instant::now(), Duration::from_secs);
        let mut clock = Clock::new(day(100 * HOUR), start);
        let read = |(passed, now): &(u64, u64)| {
            clock.read(day(*now), start + Duration::from_secs(*passed)).map(|until| until.as_secs())
        };
        times.iter().map(read).collect()
    }

    #[test]
    fn a_clock_that_goes_on_or_ahead_or_back_by_little_is_nothing_to_tell() {
        let start = 100 * HOUR;
        let times = [(10, start + 10), (20, start + 18), (30, start + HOUR), (40, start + HOUR + 5)];
        assert_eq!(told(&times), [None; 4]);
    }

    #[test]
    fn one_that_is_set_back_is_told_of_until_it_has_caught_up() {
        let start = 100 * HOUR;
        let times = [
            (10, start + 4),
            (20, start - HOUR),
            (30, start - HOUR + 10),
            (40, start + 13),
            (50, start + 23),
        ];
        let until = Some(start + 14);
        assert_eq!(told(&times), [Some(start + 10), until, until, until, None]);
    }

    #[test]
    fn another_key_is_taken_at_once() {
        let (start, day) = (Instant::now(), Duration::from_secs(100 * HOUR));
        let mut clock = Clock::new(day, start);
        let back = day - Duration::from_secs(HOUR);
        assert_eq!(clock.read(back, start), Some(day));
        clock.renew();
        assert_eq!(clock.read(back, start), None);
    }
}
