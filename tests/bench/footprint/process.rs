//! Memory, CPU time and wake-ups of processes, from `/proc`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_lab::Lab;

/// What one process has used.
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) mebibytes: f64,
    /// CPU time in nanoseconds and voluntary context switches of each thread, by its number.
    threads: BTreeMap<String, (u64, u64)>,
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
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?;
            let path = thread.path();
            // A thread that ends meanwhile is none.
            let Ok(schedule) = read(&format!("{}/schedstat", path.display())) else { continue };
            let Ok(status) = read(&format!("{}/status", path.display())) else { continue };
            let run: u64 = schedule.split(' ').next().unwrap_or_default().parse().context("schedstat")?;
            let switches: u64 = field(&status, "voluntary_ctxt_switches:")?;
            threads.insert(thread.file_name().to_string_lossy().into_owned(), (run, switches));
        }
        Ok(Self { mebibytes: f64::from(kibibytes) / 1024.0, threads })
    }

    /// CPU time and voluntary context switches since an earlier look. Threads that have ended since then are left out: what
    /// they did in between is not known any more.
    pub(crate) fn since(&self, before: &Self) -> (Duration, u64) {
        let mut spent = (0, 0);
        for (thread, (run, switches)) in &self.threads {
            let (run_before, switches_before) = before.threads.get(thread).copied().unwrap_or_default();
            spent.0 += run.saturating_sub(run_before);
            spent.1 += switches.saturating_sub(switches_before);
        }
        (Duration::from_nanos(spent.0), spent.1)
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
