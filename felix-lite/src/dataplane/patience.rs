//! How fast something is repaired that somebody keeps changing (docs/adr/0015).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many repairs of a thing in a row are made at once; then somebody means it, and they get slower.
const PATIENCE: u32 = 5;
/// The slowest repair.
const SLOWEST: Duration = Duration::from_secs(30);
/// After so long without a repair a quarrel is over.
const QUIET: Duration = Duration::from_secs(120);

/// Repairs in a row, of each thing.
#[derive(Debug)]
pub(super) struct Patience<K>(BTreeMap<K, Repairs>);

#[derive(Debug, Clone, Copy)]
struct Repairs {
    count: u32,
    last: Instant,
}

impl<K> Default for Patience<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Patience<K> {
    /// How many repairs in a row the next one of a thing makes, and how long it waits.
    pub(super) fn wait(&mut self, key: K, now: Instant) -> (u32, Duration) {
        let repairs = self.0.entry(key).or_insert(Repairs { count: 0, last: now });
        if now.duration_since(repairs.last) > QUIET {
            repairs.count = 0;
        }
        repairs.last = now;
        repairs.count = repairs.count.saturating_add(1);
        let wait = match repairs.count.checked_sub(PATIENCE + 1) {
            None => Duration::ZERO,
            Some(over) => SLOWEST.min(Duration::from_millis(100).saturating_mul(1 << over.min(16))),
        };
        (repairs.count, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_means_it_waits_longer_each_time_until_it_is_quiet() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut waits = |at: Duration| patience.wait("ipip", start + at).1;
        let first: Vec<u128> = (0..8).map(|_| waits(Duration::ZERO).as_millis()).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 100, 200, 400]);
        assert!((0..40).map(|_| waits(Duration::ZERO)).all(|wait| wait <= SLOWEST));
        assert_eq!(waits(QUIET + Duration::from_secs(1)), Duration::ZERO);
    }
}
