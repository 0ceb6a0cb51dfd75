//! Memory and CPU time of a process.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// What a process has used until now.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time of all threads, those that have ended included.
    pub(crate) cpu: Duration,
    /// Resident memory, in MiB: now, and at most.
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

impl Usage {
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let mebibytes = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            let kibibytes: u32 = word.with_context(|| format!("{path}: no {name}"))?.parse()?;
            Ok(f64::from(kibibytes) / 1024.0)
        };
        let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid))
            .with_context(|| format!("no process {pid}"))?;
        Ok(Self {
            cpu: Duration::from(clock.now()?),
            resident: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }

    /// CPU time since an earlier look at the same process, in seconds.
    pub(crate) fn cpu_since(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64()
    }
}
