//! The process of a pod's sandbox: holds the pod's namespaces until it is told to end.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // The first process of a PID namespace ignores what it has not asked for.
    match signals.thread_block().and_then(|()| signals.wait()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
