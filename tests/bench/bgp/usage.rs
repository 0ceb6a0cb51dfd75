//! CPU time and memory of processes, from `/proc`.

use std::fs;

/// What some processes have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Seconds on a CPU.
    pub(crate) cpu: f64,
    /// The most resident memory of each so far, added up, in MiB.
    pub(crate) peak: f64,
}

impl Usage {
    /// Of these processes and all that descend from them.
    pub(crate) fn of(roots: &[u32]) -> Self {
        family(roots).into_iter().fold(Self::default(), |sum, pid| Self {
            cpu: sum.cpu + cpu(&format!("/proc/{pid}/task")),
            peak: sum.peak + peak(pid),
        })
    }

    /// CPU seconds of the calling thread.
    pub(crate) fn of_this_thread() -> f64 {
        nanoseconds("/proc/thread-self/schedstat")
    }
}

fn cpu(tasks: &str) -> f64 {
    let tasks = fs::read_dir(tasks).into_iter().flatten().flatten();
    tasks.map(|task| nanoseconds(&format!("{}/schedstat", task.path().display()))).sum()
}

fn nanoseconds(schedstat: &str) -> f64 {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn peak(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}

fn family(roots: &[u32]) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut members = roots.to_vec();
    let mut at = 0;
    while let Some(member) = members.get(at).copied() {
        members.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| *pid));
        at += 1;
    }
    members
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent ...; the name may contain anything.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Do all of them still run?
pub(crate) fn alive(pids: &[u32]) -> bool {
    pids.iter().all(|pid| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        })
    })
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}
