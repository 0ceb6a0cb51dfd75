//! What runs on a node beside the programs that were started from here.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Cluster;

impl Cluster {
    /// Kills a daemon of a node, which runs in a container of the node's own network; kubelet starts it again.
    ///
    /// # Errors
    /// It does not run there, or several do.
    pub fn kill_daemon(&self, node: &str, name: &str) -> Result<()> {
        let own = network(self.lab.process(node)?.pid).with_context(|| format!("node {node} is gone"))?;
        let entries = fs::read_dir("/proc")?.flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_it = |pid: &i32| {
            let called = fs::read_to_string(format!("/proc/{pid}/comm"));
            called.is_ok_and(|called| called.trim_end() == name) && network(*pid).as_ref() == Some(&own)
        };
        let found: Vec<i32> = numbers.filter(is_it).collect();
        ensure!(found.len() == 1, "node {node}: {} processes are named {name}", found.len());
        for pid in found {
            kill(Pid::from_raw(pid), Signal::SIGKILL)
                .with_context(|| format!("node {node}: cannot kill {name}"))?;
        }
        Ok(())
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

/// The network namespace of a process.
fn network(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}
