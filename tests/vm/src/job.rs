//! What the guest is to do: written by the host into the initial RAM disk, read there by PID 1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;

/// Where it lies in the initial RAM disk.
pub(crate) const PATH: &str = "/job.json";

/// Name of the guest's port for standard output.
pub(crate) const OUTPUT: &str = "cairn.output";
/// Name of the guest's port for standard error.
pub(crate) const ERRORS: &str = "cairn.errors";
/// Name of the guest's port for [`Report`]s, a line of JSON each.
pub(crate) const REPORTS: &str = "cairn.reports";
/// The 9p export with the host's root.
pub(crate) const ROOT: &str = "root";

/// Variables of the host that the command sees.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A command and its surroundings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Program and arguments.
    pub(crate) words: Vec<String>,
    /// All of the environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The working directory.
    pub(crate) directory: PathBuf,
    /// Directories of the host that can be written to; each has the 9p export [`share`].
    pub(crate) shares: Vec<PathBuf>,
    /// Where on the host the kernel's modules are: what is to be `/lib/modules`.
    pub(crate) modules: PathBuf,
}

/// The 9p export of a share.
pub(crate) fn share(index: usize) -> String {
    format!("share{index}")
}

/// What the guest says of itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The command is about to start.
    Up {
        /// Seconds since the kernel started.
        seconds: f64,
    },
    /// The command has ended.
    Ended {
        /// Its exit code; 128 and the signal's number where it was killed.
        code: u8,
    },
    /// The command could not be run.
    Fault {
        /// Why.
        reason: String,
    },
}

impl Job {
    /// Works out what the command line leaves open.
    pub(crate) fn new(
        kernel: &Kernel,
        words: Vec<String>,
        env: &[String],
        shares: Vec<PathBuf>,
        directory: Option<PathBuf>,
    ) -> Result<Self> {
        let kept = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let mut environment: BTreeMap<String, String> = kept.collect();
        for text in env {
            let (name, value) =
                text.split_once('=').with_context(|| format!("--env {text}: the form is NAME=VALUE"))?;
            environment.insert(name.to_owned(), value.to_owned());
        }
        let absolute = |path: PathBuf| {
            path.canonicalize().with_context(|| format!("cannot give the guest {}", path.display()))
        };
        let directory = match directory {
            Some(path) => absolute(path)?,
            None => std::env::current_dir().context("there is no current directory")?,
        };
        let shares = shares.into_iter().map(absolute).collect::<Result<_>>()?;
        Ok(Self { words, env: environment, directory, shares, modules: kernel.modules() })
    }
}
