//! How fast a device is repaired that somebody keeps changing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use felix_core::TunnelKind;

/// So many repairs of a device in a row are made at once; then somebody means it, and they get slower.
const PATIENCE: u32 = 5;
/// The slowest repair.
const SLOWEST: Duration = Duration::from_secs(30);
/// After so long without a repair a quarrel is over.
const QUIET: Duration = Duration::from_secs(120);

/// Repairs in a row, of each device.
#[derive(Debug, Default)]
pub(super) struct Patience(BTreeMap<TunnelKind, Repairs>);

#[derive(Debug, Clone, Copy)]
struct Repairs {
    count: u32,
    last: Instant,
}

impl Patience {
    /// How long the next repair of a device waits.
    pub(super) fn wait(&mut self, kind: TunnelKind, now: Instant) -> Duration {
        let repairs = self.0.entry(kind).or_insert(Repairs { count: 0, last: now });
        if now.duration_since(repairs.last) > QUIET {
            repairs.count = 0;
        }
        repairs.last = now;
        repairs.count = repairs.count.saturating_add(1);
        match repairs.count.checked_sub(PATIENCE + 1) {
            None => Duration::ZERO,
            Some(over) => SLOWEST.min(Duration::from_millis(100).saturating_mul(1 << over.min(16))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_means_it_waits_longer_each_time_until_it_is_quiet() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut waits = |at: Duration| patience.wait(TunnelKind::Ipip, start + at);
        let first: Vec<u128> = (0..8).map(|_| waits(Duration::ZERO).as_millis()).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 100, 200, 400]);
        assert!((0..40).map(|_| waits(Duration::ZERO)).all(|wait| wait <= SLOWEST));
        assert_eq!(waits(QUIET + Duration::from_secs(1)), Duration::ZERO);
    }
}
