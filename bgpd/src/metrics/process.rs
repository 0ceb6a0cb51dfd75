//! What the kernel says about this process. A value that cannot be read is left out.

use std::fs;

use super::names as name;
use super::text::Text;

/// Clock ticks in a second of /proc: fixed on every Linux (proc(5), sysconf(3)).
const TICKS: f64 = 100.0;

pub(super) fn write(text: &mut Text) {
    if let Some(kibibytes) = resident() {
        text.plain(name::PROCESS_MEMORY, kibibytes * 1024);
    }
    if let Some((cpu, start)) = times() {
        text.plain(name::PROCESS_CPU, cpu);
        if let Some(boot) = boot_time() {
            text.plain(name::PROCESS_START, boot + start);
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        text.plain(name::PROCESS_FDS, files.count());
    }
}

/// Resident memory in KiB.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// CPU seconds, and seconds from the machine's start to the process'.
fn times() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; what follows is field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some(((ticks(11)? + ticks(12)?) / TICKS, ticks(19)? / TICKS))
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
