//! Wall and CPU time of one call.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;

/// What calls took.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Of each.
    pub(crate) walls: Vec<Duration>,
    /// Of all together.
    pub(crate) cpu: Duration,
}

/// CPU time, user and system, of this process or of the children that it waited for, until now.
pub(crate) fn usage(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let total = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(total.num_microseconds().try_into()?))
}

/// CPU time of a process until now, with all its threads, also those that ended.
pub(crate) fn process_cpu(pid: u32) -> Result<Duration> {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("no such process")?;
    Ok(clock.now()?.into())
}

/// The value that this share of the values, in ascending order, does not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
