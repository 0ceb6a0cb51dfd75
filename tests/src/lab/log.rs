//! What the nodes print.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Lab;

/// Lines that an error message quotes of each log.
const TAIL: usize = 15;

impl Lab {
    /// The file that takes what a node's command prints.
    pub fn log_path(&self, node: &str) -> PathBuf {
        self.directory().join(format!("{node}.log"))
    }

    /// All that a node's command has printed.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn log(&self, node: &str) -> Result<String> {
        let path = self.log_path(node);
        let text = std::fs::read(&path).with_context(|| format!("there is no {}", path.display()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The last lines of every node's log.
    pub fn tails(&self) -> String {
        let mut text = String::new();
        for node in self.topology().nodes.keys() {
            let log = self.log(node).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                text.push_str(&format!("{node}: {line}\n"));
            }
        }
        text
    }
}
