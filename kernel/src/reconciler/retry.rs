use std::time::Duration;

/// How long a refused object waits before it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for BackOff {
    /// 100 ms, doubled each time, up to 30 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

impl BackOff {
    /// The wait after so many failures in a row; the first failure is number 1.
    pub fn after(self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let back_off = BackOff::default();
        let waits: Vec<_> = [1, 2, 3, 9, 10, 33, u32::MAX].map(|n| back_off.after(n).as_millis()).into();
        assert_eq!(waits, [100, 200, 400, 25_600, 30_000, 30_000, 30_000]);
    }
}
