use std::time::Duration;

/// How long to stay in Idle after a failure (the idea of RFC 4271's IdleHoldTimer).
///
/// A peer that cannot be reached costs one SYN a second, so that one that comes back is up within about a second. A peer that
/// answers but with which no session comes about (wrong AS, NOTIFICATION) is tried less and less often.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    unreachable: u32,
    refused: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST_UNREACHABLE: Duration = Duration::from_millis(800);
    const FIRST_REFUSED: Duration = Duration::from_millis(500);
    const LONGEST_REFUSED: Duration = Duration::from_secs(15);

    /// The wait after the TCP connection could not be made or was lost.
    pub fn unreachable(&mut self) -> Duration {
        let wait = doubled(Self::FIRST, self.unreachable).min(Self::LONGEST_UNREACHABLE);
        self.unreachable = self.unreachable.saturating_add(1);
        wait
    }

    /// The wait after the session was refused or ended by a fault of one side.
    pub fn refused(&mut self) -> Duration {
        let wait = doubled(Self::FIRST_REFUSED, self.refused).min(Self::LONGEST_REFUSED);
        self.refused = self.refused.saturating_add(1);
        wait
    }

    /// The session has carried routes: the next failure is the first one again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first * 2u32.pow(times.min(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_peer_is_tried_about_once_a_second_for_ever() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.unreachable(), Duration::from_millis(100));
        for _ in 0..100 {
            assert!(backoff.unreachable() <= Duration::from_millis(800));
        }
    }

    #[test]
    fn a_refusing_peer_is_tried_less_and_less_often_until_a_session_was_up() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..7).map(|_| backoff.refused().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
        backoff.reset();
        assert_eq!(backoff.refused(), Duration::from_millis(500));
    }
}
