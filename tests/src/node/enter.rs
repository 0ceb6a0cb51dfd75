//! Running nodes, as `/proc` shows them, and the way into one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::spec::ENVIRONMENT;

/// The PID 1 of a running node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeProcess {
    /// Its number in the host's PID namespace.
    pub pid: i32,
}

impl NodeProcess {
    /// All running nodes of a lab, by name. Reads the command lines in `/proc`, so that it needs no file to be right.
    pub fn of_lab(lab: &str) -> BTreeMap<String, Self> {
        Self::all()
            .into_iter()
            .filter_map(|(owner, node, process)| (owner == lab).then_some((node, process)))
            .collect()
    }

    /// All running nodes of all labs: lab, node, process.
    pub fn all() -> Vec<(String, String, Self)> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&str> = std::str::from_utf8(&line).ok()?.split_terminator('\0').collect();
            match words.as_slice() {
                ["cairn-lab", "node-main", "--lab", lab, "--node", node] => {
                    Some(((*lab).to_owned(), (*node).to_owned(), Self { pid }))
                }
                _ => None,
            }
        });
        processes.collect()
    }

    /// Whether it is still there.
    pub fn is_alive(self) -> bool {
        // A zombie has no command line any more.
        std::fs::read(format!("/proc/{}/cmdline", self.pid)).is_ok_and(|line| !line.is_empty())
    }

    /// Ends the node with everything in it.
    ///
    /// # Errors
    /// Where the kernel refuses the signal; a node that is gone already is no error.
    pub fn kill(self) -> Result<()> {
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).context(format!("cannot kill process {}", self.pid)),
        }
    }
}

/// Moves this process into the namespaces of a node; its children are in the node's PID namespace too. With a `netns`, a path
/// in the node, the network namespace is that one (a pod's).
///
/// Needs a process of one thread. Returns the node's environment.
///
/// # Errors
/// Where the node or the network namespace is gone.
pub fn enter_namespaces(node: NodeProcess, netns: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let open = |name: &str| {
        File::open(format!("/proc/{}/ns/{name}", node.pid))
            .with_context(|| format!("process {} is gone", node.pid))
    };
    let spaces = [
        (open("net")?, CloneFlags::CLONE_NEWNET),
        (open("uts")?, CloneFlags::CLONE_NEWUTS),
        (open("ipc")?, CloneFlags::CLONE_NEWIPC),
        (open("pid")?, CloneFlags::CLONE_NEWPID),
        (open("mnt")?, CloneFlags::CLONE_NEWNS),
    ];
    for (space, flag) in spaces {
        setns(space, flag).with_context(|| format!("cannot enter a namespace of process {}", node.pid))?;
    }
    std::env::set_current_dir("/")?;
    if let Some(path) = netns {
        let space =
            File::open(path).with_context(|| format!("there is no network namespace {}", path.display()))?;
        setns(space, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", path.display()))?;
    }
    let text = std::fs::read_to_string(ENVIRONMENT).context("this is no node of the lab")?;
    Ok(serde_json::from_str(&text)?)
}
