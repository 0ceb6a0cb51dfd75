//! Where things are: the repository, cargo, the build's output, and what `cargo metadata` says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository's root")
}

/// A `cargo` of the same toolchain that runs us, working in the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by the `cargo run` around us for xtask. Build scripts look at some of them, and what they have made would be made again each
    // time that cargo is started the other way.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&variable);
        }
    }
    command
}

/// This program as it was built last, with arguments still to be added. What we run as may have been replaced by a build since.
pub(crate) fn own() -> Result<Command> {
    Ok(Command::new(programs("debug")?.join("xtask")))
}

/// The document that `cargo metadata` prints, dependencies included.
pub(crate) fn metadata() -> Result<Value> {
    let text = process::capture(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    serde_json::from_str(&text).context("cargo metadata did not print JSON")
}

/// The directory that holds the programs of one profile (`debug`, `release`, `dist`).
pub(crate) fn programs(profile: &str) -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?;
    Ok(Path::new(target).join(host()?).join(profile))
}

/// The host's target triple; the workspace always names it, so output lies below a directory of that name.
pub(crate) fn host() -> Result<String> {
    let version = process::capture(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV prints no host line")?.to_owned())
}

/// Every file that git tracks or would track, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root());
    let text = process::capture(&mut git)?;
    let mut files: Vec<PathBuf> =
        text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
