//! A command that goes on beside others and takes only the processor time that they leave.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process;

/// A command under way. Dropping it before its end kills it; what it started itself ends with its own parts.
pub(crate) struct Beside {
    child: Child,
    shown: String,
    /// What it printed, kept away from what else is printed meanwhile.
    printed: File,
}

impl Beside {
    /// Starts it, with the lowest priority (nice(1)).
    pub(crate) fn start(command: &Command) -> Result<Self> {
        let shown = process::shown(command);
        let printed = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            nice.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => nice.env(name, value),
                None => nice.env_remove(name),
            };
        }
        nice.stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
        let child = nice.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        Ok(Self { child, shown, printed })
    }

    /// Waits for its end; anything but exit code 0 is an error that has what it printed.
    pub(crate) fn finish(mut self) -> Result<()> {
        let waiting = Instant::now();
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.shown))?;
        if !status.success() {
            let mut text = String::new();
            self.printed.rewind()?;
            self.printed.read_to_string(&mut text)?;
            bail!("`{}` failed: {status}\n{text}", self.shown);
        }
        println!("  waited {:.0} s for `{}`", waiting.elapsed().as_secs_f64(), self.shown);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Beside;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("CAIRN_BESIDE", "kept");
        command
    }

    #[test]
    fn a_failure_shows_what_was_printed() {
        let failed = Beside::start(&shell("echo $CAIRN_BESIDE; exit 3")).and_then(Beside::finish);
        let error = failed.expect_err("exit code 3").to_string();
        assert!(error.contains("kept") && error.contains("exit status: 3"), "{error}");
        assert!(Beside::start(&shell("test $(nice) = 19")).and_then(Beside::finish).is_ok());
    }
}
