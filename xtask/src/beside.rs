//! A command that goes on beside others and takes only the processor time that they leave.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::process;

/// Becomes the command of its arguments, with the lowest priority (nice(1)). Before, it leaves a watcher in the process group, which kills
/// all of the group once nobody holds the other end of standard input: the terminal's signals do not reach a group of its own, nor does
/// anything else when we are killed.
const WATCHED: &str =
    r#"exec 9<&0; { cat; kill -s KILL 0; } <&9 >/dev/null 2>&1 & exec nice -n 19 "$@" </dev/null 9<&-"#;

/// A command under way, the leader of a process group. Dropping it kills whatever of the group is left: the command, what it started, and
/// what these started, such as the compilers of a build.
pub(crate) struct Beside {
    child: Child,
    group: Pid,
    /// What the watcher waits for the end of. Open as long as this value is, so the watcher is there, and the group's number nobody else's.
    _alive: Option<ChildStdin>,
    shown: String,
    /// What it printed, kept away from what else is printed meanwhile.
    printed: File,
}

impl Beside {
    /// Starts it, with the lowest priority.
    pub(crate) fn start(command: &Command) -> Result<Self> {
        let shown = process::shown(command);
        let printed = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut watched = Command::new("sh");
        watched.args(["-c", WATCHED, "sh"]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            watched.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => watched.env(name, value),
                None => watched.env_remove(name),
            };
        }
        watched.stdin(Stdio::piped()).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
        let mut child =
            watched.process_group(0).spawn().with_context(|| format!("cannot start `{shown}`"))?;
        // Taken away from the child, whose wait() would close it.
        let alive = child.stdin.take();
        let group = Pid::from_raw(i32::try_from(child.id()).context("a process has a small number")?);
        Ok(Self { child, group, _alive: alive, shown, printed })
    }

    /// Waits for its end, and gives what it printed; anything but exit code 0 is an error that has it.
    pub(crate) fn finish(mut self) -> Result<String> {
        let waiting = Instant::now();
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.shown))?;
        let mut text = String::new();
        self.printed.rewind()?;
        self.printed.read_to_string(&mut text)?;
        if !status.success() {
            bail!("`{}` failed: {status}\n{text}", self.shown);
        }
        println!("  waited {:.0} s for `{}`", waiting.elapsed().as_secs_f64(), self.shown);
        Ok(text)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // The command may have ended by itself; then this ends the watcher, and what else was left behind.
        let _ = killpg(self.group, Signal::SIGKILL);
        // The child is ours to collect; the others are collected by the system's first process.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::{Duration, Instant};

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

    /// Waits until something holds, for ten seconds at most.
    fn holds_soon(holds: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Whether a process ended, be it collected or not.
    fn ended(pid: &str) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).ok().is_none_or(|stat| stat.contains(") Z "))
    }

    /// Starts a command that has a child of its own, and returns that one's process ID too.
    fn with_a_child() -> (Beside, String) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! > '{}'; wait", path.display());
        let beside = Beside::start(&shell(&script)).expect("sh");
        let pid = || fs::read_to_string(&path).unwrap_or_default();
        assert!(holds_soon(|| pid().ends_with('\n')));
        let pid = pid().trim().to_owned();
        assert!(!ended(&pid));
        (beside, pid)
    }

    #[test]
    fn what_the_command_started_ends_with_it() {
        let (beside, pid) = with_a_child();
        drop(beside);
        assert!(holds_soon(|| ended(&pid)));
    }

    #[test]
    fn all_of_it_ends_when_nobody_waits_any_more() {
        let (mut beside, pid) = with_a_child();
        // As it is closed where we are killed.
        drop(beside._alive.take());
        assert!(holds_soon(|| ended(&pid)));
    }
}
