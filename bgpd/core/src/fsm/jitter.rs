use std::time::Duration;

/// A small deterministic source of jitter (splitmix64): the same seed gives the same times in every run.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// From a seed, such as a mix of both router ids.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A time of 75 % to 100 % of the given one (RFC 4271 section 10).
    pub fn shorten(&mut self, time: Duration) -> Duration {
        // 256 steps are plenty to spread peers.
        let step = (self.next() >> 56) as u32;
        time * 3 / 4 + time / 4 * step / 255
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jittered_time_is_three_quarters_to_all_of_it() {
        let mut jitter = Jitter::new(1);
        let whole = Duration::from_secs(30);
        for _ in 0..1000 {
            let time = jitter.shorten(whole);
            assert!(time >= whole * 3 / 4 && time <= whole, "{time:?}");
        }
    }
}
