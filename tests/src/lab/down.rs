//! The end of a lab.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Lab, place};
use crate::node::NodeProcess;
use crate::topology::check_name;

/// How long the kernel may take to end a node's processes.
const ENDS: Duration = Duration::from_secs(30);

impl Lab {
    /// Takes this lab down.
    ///
    /// # Errors
    /// As [`Lab::down_by_name`].
    pub fn down(&self) -> Result<()> {
        Self::down_by_name(self.name()).map(|_| ())
    }

    /// Ends every node of a lab, also of one whose lab program was killed, and removes its state. Returns how many nodes
    /// there were.
    ///
    /// # Errors
    /// What is no name of a lab. Where a node does not end in time.
    pub fn down_by_name(name: &str) -> Result<usize> {
        check_name(name)?;
        let deadline = Instant::now() + ENDS;
        let directory = place::directory(name);
        let mut ended = 0;
        loop {
            let nodes = NodeProcess::of_lab(name);
            for node in nodes.values() {
                node.kill()?;
            }
            for (node, process) in &nodes {
                while process.is_alive() {
                    ensure!(Instant::now() < deadline, "node {node} (process {}) does not end", process.pid);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            ended += nodes.len();
            match std::fs::remove_dir_all(&directory) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                // A node that was just being born when its lab was given up still writes, for a moment.
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
                }
            }
        }
        // Another lab may be there; then the directory is not empty, and stays.
        let _ = std::fs::remove_dir(place::STATE);
        Ok(ended)
    }

    /// Kills one node with everything in it, as if its power had failed.
    ///
    /// # Errors
    /// Where it does not run, or does not end in time.
    pub fn kill_node(&self, node: &str) -> Result<()> {
        let process = self.process(node)?;
        process.kill()?;
        let deadline = Instant::now() + ENDS;
        while process.is_alive() {
            ensure!(Instant::now() < deadline, "node {node} does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}
