//! Commands in nodes and pods.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Lab, lab_program};

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether the exit code was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Both streams, for messages.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Lab {
    /// A command that will run in a node, or in a pod of it; its program and arguments are still to be added.
    ///
    /// # Errors
    /// Where the node does not run.
    pub fn command(&self, node: &str, pod: Option<&str>) -> Result<Command> {
        let process = self.process(node)?;
        let mut command = Command::new(lab_program()?);
        command.args(["enter", "--pid", &process.pid.to_string()]);
        if let Some(pod) = pod {
            command.args(["--netns", &crate::pod::netns(pod)]);
        }
        command.arg("--");
        Ok(command)
    }

    /// Runs a command in a node to its end.
    ///
    /// # Errors
    /// Where the node does not run; a command that fails is no error here.
    pub fn exec(&self, node: &str, words: &[impl AsRef<std::ffi::OsStr>]) -> Result<Output> {
        self.exec_in(node, None, words)
    }

    /// Runs a command in a pod of a node to its end.
    ///
    /// # Errors
    /// As [`Lab::exec`].
    pub fn exec_in(
        &self,
        node: &str,
        pod: Option<&str>,
        words: &[impl AsRef<std::ffi::OsStr>],
    ) -> Result<Output> {
        let mut command = self.command(node, pod)?;
        let output = command.args(words).stdin(Stdio::null()).output().context("cannot start cairn-lab")?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command line in a node and returns its standard output.
    ///
    /// # Errors
    /// Where the node does not run or the command fails; the message has the command's own words.
    pub fn run(&self, node: &str, line: &str) -> Result<String> {
        let output = self.exec(node, &crate::image::split(line))?;
        ensure!(output.success, "node {node}: `{line}` failed: {}", output.text().trim());
        Ok(output.stdout)
    }
}
