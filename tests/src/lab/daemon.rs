//! Processes of a node by name, and signals to them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Lab;

/// How long a killed process may take to end.
const ENDS: Duration = Duration::from_secs(30);

impl Lab {
    /// Numbers, in the host's PID namespace, of the processes of a node that have this name.
    ///
    /// # Errors
    /// Where the node does not run.
    pub fn processes(&self, node: &str, name: &str) -> Result<Vec<i32>> {
        let space = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = space(self.process(node)?.pid).with_context(|| format!("node {node} is gone"))?;
        let entries = std::fs::read_dir("/proc")?.flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        Ok(numbers.filter(|pid| is_named(*pid, name) && space(*pid).as_ref() == Some(&own)).collect())
    }

    /// Sends a signal to the one process of a node that has this name, and waits for its end.
    ///
    /// # Errors
    /// Where there is no such process, or several, or it does not end.
    pub fn end_process(&self, node: &str, name: &str, signal: Signal) -> Result<()> {
        let pid = match self.processes(node, name)?.as_slice() {
            [pid] => *pid,
            found => bail!("node {node}: {} processes are named {name}", found.len()),
        };
        kill(Pid::from_raw(pid), signal).with_context(|| format!("node {node}: cannot signal {name}"))?;
        let deadline = Instant::now() + ENDS;
        while is_named(pid, name) || has_threads(pid) {
            if Instant::now() > deadline {
                bail!("node {node}: {name} does not end on {signal}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Whether threads are left of a process whose first one may have ended: they hold its sockets, and whoever comes after it cannot bind these.
fn has_threads(pid: i32) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
}

/// Whether a process runs and has this name; the kernel keeps 15 characters of it.
fn is_named(pid: i32, name: &str) -> bool {
    let name = name.get(..15).unwrap_or(name);
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        // pid (name) state ...; the name may contain anything, the state of a process that has ended is Z.
        let inside = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        inside.is_some_and(|(found, rest)| found == name && !rest.trim_start().starts_with('Z'))
    })
}
