//! What runs on a node beside the programs that were started from here.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cluster, cgroup};

/// How long the processes of a node that loses power may take to end.
const ENDS: Duration = Duration::from_secs(30);

impl Cluster {
    /// Kills a program that was started from here: a part of Kubernetes, or containerd. Whatever it started goes on.
    ///
    /// # Errors
    /// It does not run there.
    pub fn kill_program(&self, node: &str, name: &str) -> Result<()> {
        self.lab.end_process(node, name, Signal::SIGKILL)
    }

    /// The process of a daemon of a node, which runs in a container of the node's own network.
    ///
    /// # Errors
    /// It does not run there, or several do.
    pub fn daemon(&self, node: &str, name: &str) -> Result<i32> {
        let own = network(self.lab.process(node)?.pid).with_context(|| format!("node {node} is gone"))?;
        let is_it = |pid: &i32| {
            let called = fs::read_to_string(format!("/proc/{pid}/comm"));
            called.is_ok_and(|called| called.trim_end() == name) && network(*pid).as_ref() == Some(&own)
        };
        let found: Vec<i32> = numbers()?.filter(is_it).collect();
        match found.as_slice() {
            [pid] => Ok(*pid),
            found => bail!("node {node}: {} processes are named {name}", found.len()),
        }
    }

    /// Kills a daemon of a node; kubelet starts it again.
    ///
    /// # Errors
    /// It does not run there, or several do.
    pub fn kill_daemon(&self, node: &str, name: &str) -> Result<()> {
        let pid = Pid::from_raw(self.daemon(node, name)?);
        kill(pid, Signal::SIGKILL).with_context(|| format!("node {node}: cannot kill {name}"))
    }

    /// Ends whatever runs on a node and in its pods, as when its machine loses power. What is on its disk and in its kernel stays.
    ///
    /// # Errors
    /// Something does not end.
    pub fn power_off(&self, node: &str) -> Result<()> {
        let init = self.lab.process(node)?.pid;
        let space = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = space(init).with_context(|| format!("node {node} is gone"))?;
        let deadline = Instant::now() + ENDS;
        loop {
            // kubelet and containerd are in the node's space of processes, pods in spaces of their own.
            let mut left: BTreeSet<i32> = cgroup::processes(self.lab.name(), node)?;
            left.extend(numbers()?.filter(|pid| space(*pid).as_ref() == Some(&own)));
            left.retain(|pid| *pid != init && lives(*pid));
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "node {node}: these processes do not end: {left:?}");
            for pid in left {
                // One that has ended meanwhile is what is wanted.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has a node's kubelet run a pod that the API server need not know.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_static_pod(&self, node: &str, name: &str, manifest: &str) -> Result<()> {
        let path = self.static_pod(node, name);
        fs::write(&path, manifest).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Has a node's kubelet end such a pod.
    ///
    /// # Errors
    /// There is no such file.
    pub fn remove_static_pod(&self, node: &str, name: &str) -> Result<()> {
        let path = self.static_pod(node, name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    fn static_pod(&self, node: &str, name: &str) -> PathBuf {
        self.state.join(node).join("etc/manifests").join(format!("{name}.json"))
    }
}

/// The numbers of all processes of the machine.
fn numbers() -> Result<impl Iterator<Item = i32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()))
}

/// Whether a process runs: one that has ended and that nobody has asked for yet has no command line.
fn lives(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The network namespace of a process.
fn network(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}
