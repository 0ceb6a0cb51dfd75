//! PID 1's life: collecting what has ended.

use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};

use super::spec::ENDED;

/// How often a node without any child looks whether it has adopted one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Reaps for as long as the node lives. The end of the node's command is noted, and does not end the node.
pub(super) fn forever(command: Option<i32>) -> Result<()> {
    loop {
        match waitpid(None, None) {
            Ok(status) if status.pid().map(nix::unistd::Pid::as_raw) == command => {
                let text = describe(status);
                eprintln!("lab: the node's command {text}");
                std::fs::write(ENDED, text)?;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => std::thread::sleep(LOOK_AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("ended with exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("was killed by {signal}"),
        other => format!("ended: {other:?}"),
    }
}
