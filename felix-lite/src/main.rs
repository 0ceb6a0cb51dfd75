//! Cairn's node daemon: routes, links, firewall and the CNI server.

use std::process::ExitCode;

use cairn_daemon::log;
use clap::Parser;
use felix_lite::{Args, daemon};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = log::start(args.log_format, &args.log) {
        eprintln!("felix-lite: {error}");
        return ExitCode::from(2);
    }
    if let Err(error) = cairn_kernel::limit::raise_open_files() {
        tracing::warn!(%error, "there may be too few for many calls at once");
    }
    if let Err(error) = cairn_kernel::sysctl::use_root(&args.proc_sys) {
        tracing::error!(%error, directory = %args.proc_sys.display(), "--proc-sys: there must be a directory `net` in it");
        return ExitCode::from(2);
    }
    // One thread for everything that waits; the kernel's side has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(daemon::run(args)),
        Err(error) => Err(daemon::DaemonError::Runtime(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "felix-lite ends; what is in the kernel stays");
            ExitCode::FAILURE
        }
    }
}
