//! A running lab: bringing it up, finding it again, running commands in it, taking it down.

mod daemon;
mod down;
mod exec;
mod log;
mod network;
mod place;
mod up;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::image::Software;
use crate::node::NodeProcess;
use crate::topology::Topology;

pub use exec::Output;
pub use place::{STATE, lab_program, programs};
pub use up::{Families, Options};

/// A lab that was brought up, by this process or another.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    directory: PathBuf,
    nodes: BTreeMap<String, NodeProcess>,
}

impl Lab {
    /// Finds a running lab by its name.
    ///
    /// # Errors
    /// Where there is none, with the names of those there are.
    pub fn open(name: &str) -> Result<Self> {
        let directory = place::directory(name);
        let path = directory.join(place::TOPOLOGY);
        let Ok(text) = std::fs::read_to_string(&path) else {
            bail!("there is no lab `{name}`; running: {}", Self::names().join(", "));
        };
        let topology = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self { topology, nodes: NodeProcess::of_lab(name), directory })
    }

    /// Names of all labs that left a trace: state files or processes.
    pub fn names() -> Vec<String> {
        let entries = std::fs::read_dir(STATE).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.extend(NodeProcess::all().into_iter().map(|(lab, _, _)| lab));
        names.sort();
        names.dedup();
        names
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.topology.name
    }

    /// What was brought up.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where the lab keeps its state on the host: logs, volumes, captures.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// PID 1 of a node.
    ///
    /// # Errors
    /// Where the topology has no such node, or it does not run.
    pub fn process(&self, node: &str) -> Result<NodeProcess> {
        match self.nodes.get(node).copied().filter(|process| process.is_alive()) {
            Some(process) => Ok(process),
            None if self.topology.nodes.contains_key(node) => bail!("node {node} does not run"),
            None => {
                let names: Vec<&str> = self.topology.nodes.keys().map(String::as_str).collect();
                bail!("there is no node `{node}` in lab {}; there are: {}", self.name(), names.join(", "))
            }
        }
    }

    /// What a node runs.
    pub fn software(&self, node: &str) -> Option<Software> {
        self.topology.nodes.get(node).map(|node| Software::of(&node.image))
    }

    /// Names of the nodes that run a given software.
    pub fn running(&self, software: Software) -> Vec<String> {
        let all = self.topology.nodes.iter();
        all.filter(|(_, node)| Software::of(&node.image) == software).map(|(name, _)| name.clone()).collect()
    }
}
