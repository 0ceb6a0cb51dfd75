//! The virtual machine that a suite runs in: its files are the host's, so that the test program runs there as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// The exit code of `cairn-vm run` when the machine itself failed.
pub(super) const FAILED: i32 = 125;

/// A machine that can be started.
pub(super) struct Machine {
    program: PathBuf,
    /// Where scenarios leave their traces: the one directory that outlives a machine.
    traces: PathBuf,
}

impl Machine {
    /// Fetches the kernel unless it is there.
    pub(super) fn prepare(programs: &Path) -> Result<Self> {
        let program = programs.join("cairn-vm");
        let kernel = process::capture(Command::new(&program).arg("prepare"))?;
        println!("  {}", kernel.trim_end());
        let traces = workspace::root().join("tests/out");
        std::fs::create_dir_all(&traces).with_context(|| format!("cannot make {}", traces.display()))?;
        Ok(Self { program, traces })
    }

    /// A command whose arguments, still to be added, are program and arguments inside.
    pub(super) fn command(&self, seconds: u64, directory: &Path, env: &[(&str, &Path)]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["run", "--seconds", &seconds.to_string()]);
        command.arg("--directory").arg(directory).arg("--share").arg(&self.traces);
        let own = [("CAIRN_LAB_OUT", self.traces.as_path())];
        for (name, value) in env.iter().chain(&own) {
            command.arg("--env").arg(format!("{name}={}", value.display()));
        }
        command.arg("--");
        command
    }
}
