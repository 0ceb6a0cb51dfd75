//! What PID 1 of a node must know; travels as one line of JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::topology::Bind;

/// A node as its PID 1 sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The host's name.
    pub hostname: String,
    /// The command to run after `start`; empty for a plain host.
    pub command: Vec<String>,
    /// The environment of that command, and of whatever is later run in the node.
    pub env: BTreeMap<String, String>,
    /// Kernel parameters by dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Bind mounts with absolute sources, parents before what lies below them.
    pub binds: Vec<Bind>,
    /// An empty directory on the host; the node's root is mounted there, seen by the node alone.
    pub scratch: PathBuf,
    /// The file on the host that takes the command's output.
    pub log: PathBuf,
}

/// Where a node keeps its environment for commands that are run in it later.
pub(super) const ENVIRONMENT: &str = "/run/lab/env.json";

/// Where a node writes what became of its command, once that has ended.
pub(super) const ENDED: &str = "/run/lab/ended";
