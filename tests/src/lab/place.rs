//! Where things are on the host.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One directory for each lab; on a file system in memory.
pub const STATE: &str = "/run/cairn-lab";

/// The topology of a running lab, in its directory.
pub(super) const TOPOLOGY: &str = "topology.json";

pub(super) fn directory(lab: &str) -> PathBuf {
    Path::new(STATE).join(lab)
}

/// The lab's own program: ourselves, or what was built beside the test that runs.
///
/// # Errors
/// Where it was not built.
pub fn lab_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("/proc is not mounted")?;
    if own.file_name().is_some_and(|name| name == "cairn-lab") {
        return Ok(own);
    }
    let program = programs()?.join("cairn-lab");
    if program.is_file() {
        Ok(program)
    } else {
        bail!("{} is missing: run `cargo build --bins`", program.display())
    }
}

/// The directory with bgpd, felix-lite, cairn-cni, cairnctl and cairn-lab: `$CAIRN_BIN`, or where the running program lies.
///
/// # Errors
/// Where the running program has no directory.
pub fn programs() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CAIRN_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("/proc is not mounted")?;
    let directory = own.parent().context("a program lies in a directory")?;
    // Test programs lie one further down.
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    Ok(directory.to_owned())
}
