use std::time::Duration;

/// A small deterministic source of numbers (splitmix64): discriminators and the jitter of transmissions.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The upper half of a number: 32 good bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The time to the next packet (RFC 5880 section 6.8.7): 75 % to 100 % of the interval, with a multiplier of 1 only to 90 %.
    ///
    /// The wheel rounds up to its tick, so that tick is taken off the upper end.
    pub(crate) fn shorten(&mut self, interval: Duration, multiplier: u8) -> Duration {
        let low = interval * 3 / 4;
        let high = if multiplier == 1 { interval * 9 / 10 } else { interval };
        let room = high.saturating_sub(low).saturating_sub(crate::wheel::TICK);
        // 256 steps are plenty to keep sessions from falling into step.
        low + room / 255 * u32::from(self.next().to_be_bytes()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_keeps_within_the_bounds_of_the_rfc_for_every_multiplier() {
        let mut random = Random::new(7);
        for (multiplier, most) in [(1, 90), (2, 100), (3, 100), (255, 100)] {
            for millis in [50, 300, 1000] {
                let interval = Duration::from_millis(millis);
                for _ in 0..1000 {
                    let time = random.shorten(interval, multiplier);
                    assert!(time >= interval * 75 / 100, "{time:?} of {interval:?}");
                    assert!(time + crate::wheel::TICK <= interval * most / 100, "{time:?} of {interval:?}");
                }
            }
        }
    }
}
