//! Two clocks: the time of day, which is told to others, and one that nobody sets, which counts how long an address has rested.
//!
//! The time of day may jump by hours, back and forth: a machine without a battery, an operator's mistake. What this process has released itself
//! rests by the steady clock. What others released, or an earlier process, is known by the time of day alone.

use std::time::{Duration, Instant, SystemTime};

use cairn_api::Timestamp;

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The time of day, for others.
    pub(crate) wall: Timestamp,
    /// The time since some moment.
    pub(crate) steady: Duration,
}

/// The machine's clocks.
pub(crate) fn system_clock() -> impl Fn() -> Now + Send + Sync + 'static {
    let begin = Instant::now();
    move || Now { wall: SystemTime::now().into(), steady: begin.elapsed() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use cairn_api::kinds::{Allocation, AllocationState};

    use super::*;
    use crate::block::Claimant;

    const COOLDOWN: Duration = Duration::from_secs(60);
    const DAY: u64 = 86_400;

    /// Does an address that was released at noon rest, by these clocks?
    fn rests(wall: u64, steady: u64, released: Option<u64>) -> bool {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let resting: BTreeMap<_, _> =
            released.map(|at| (address, Duration::from_secs(at))).into_iter().collect();
        let now = Now { wall: Timestamp::from_unix(wall), steady: Duration::from_secs(steady) };
        let entry = Allocation {
            address,
            node: "n1".to_owned(),
            state: AllocationState::Released,
            handle: String::new(),
            pod: String::new(),
            since: Timestamp::from_unix(DAY),
        };
        Claimant { node: "n1", now, cooldown: COOLDOWN, resting: &resting }.rests(&entry)
    }

    #[test]
    fn whoever_sets_the_time_of_day_ends_no_rest() {
        for wall in [0, DAY - 3600, DAY, DAY + 3600, 2 * DAY] {
            assert!(rests(wall, 159, Some(100)), "time of day {wall}");
        }
    }

    #[test]
    fn rest_ends_also_where_the_time_of_day_is_far_off() {
        for wall in [0, DAY - 3600, DAY + 60, 2 * DAY] {
            assert!(!rests(wall, 160, Some(100)), "time of day {wall}");
        }
    }

    #[test]
    fn what_others_released_rests_by_the_time_of_day() {
        assert!(rests(DAY + 59, 0, None) && rests(DAY - 120, 0, None));
        assert!(!rests(DAY + 60, 0, None) && !rests(DAY - 121, 0, None));
    }
}
