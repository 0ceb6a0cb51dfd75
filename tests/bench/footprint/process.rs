//! Memory, CPU time and wake-ups of processes, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_lab::Lab;

/// What one process has used.
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) mebibytes: f64,
    /// CPU time of all threads since the start.
    pub(crate) cpu: Duration,
    /// How often any of its threads was put on a CPU after it had slept.
    pub(crate) wakeups: u32,
}

impl Usage {
    /// Reads processes of node1 by name.
    pub(crate) fn of_all(lab: &Lab, names: &[&str]) -> Result<Vec<Self>> {
        names.iter().map(|name| Self::of(lab, name)).collect()
    }

    fn of(lab: &Lab, name: &str) -> Result<Self> {
        let pid = match lab.processes("node1", name)?.as_slice() {
            [pid] => *pid,
            found => bail!("{} processes are named {name}", found.len()),
        };
        let kibibytes: u32 = field(&read(&format!("/proc/{pid}/status"))?, "VmRSS:")?;
        let (mut nanoseconds, mut wakeups) = (0_u64, 0_u32);
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            let schedule = read(&format!("{}/schedstat", thread.display()))?;
            let run: u64 = schedule.split(' ').next().unwrap_or_default().parse().context("schedstat")?;
            nanoseconds += run;
            wakeups +=
                field::<u32>(&read(&format!("{}/status", thread.display()))?, "voluntary_ctxt_switches:")?;
        }
        Ok(Self { mebibytes: f64::from(kibibytes) / 1024.0, cpu: Duration::from_nanos(nanoseconds), wakeups })
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.to_owned())
}

fn field<T: std::str::FromStr>(text: &str, name: &str) -> Result<T> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let word = line.split_whitespace().next().unwrap_or_default();
    word.parse().ok().with_context(|| format!("{name} {word}"))
}
