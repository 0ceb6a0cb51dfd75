//! How long to wait before the next try, so that a store that comes back is not run over by all nodes at once.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first wait, and the longest. With jitter a wait is between half of its value and all of it.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double from one failure to the next: half a second at first, half a minute at most, each cut by up to a half at random.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Forgets the failures.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Did the last try fail?
    pub const fn is_failing(self) -> bool {
        self.failures > 0
    }

    /// Counts a failure, and says how long to wait.
    pub fn failed(&mut self) -> Duration {
        let wait = jittered(delay(self.failures), random());
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// The wait after so many failures before this one.
fn delay(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST)
}

/// Between half of the time and all of it.
pub(crate) fn jittered(time: Duration, random: u32) -> Duration {
    time / 2 + (time / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Different for each call and process. It spreads load and decides nothing.
#[allow(clippy::cast_possible_truncation)] // any 32 bits do
pub(crate) fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew_after_success() {
        let waits: Vec<u64> = (0..8).map(|failures| delay(failures).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(delay(u32::MAX), LONGEST);
        let mut backoff = Backoff::default();
        let before = (0..9).map(|_| backoff.failed()).max().unwrap_or_default();
        assert!(backoff.is_failing() && backoff.failed() >= LONGEST / 2 && before <= LONGEST);
        backoff.succeeded();
        assert!(!backoff.is_failing() && backoff.failed() <= FIRST);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        assert_eq!(jittered(LONGEST, 0), LONGEST / 2);
        assert_eq!(jittered(LONGEST, u32::MAX), LONGEST);
        assert_ne!(random(), random(), "one in four thousand million fails by chance");
    }
}
