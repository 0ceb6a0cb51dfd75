//! Where things are on the host.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One directory for each lab; on a file system in memory.
pub const STATE: &str = "/run/cairn-lab";

/// Labs that go down while one comes up, at most.
const TRIES: u32 = 10_000;

/// The topology of a running lab, in its directory.
pub(super) const TOPOLOGY: &str = "topology.json";

pub(super) fn directory(lab: &str) -> PathBuf {
    Path::new(STATE).join(lab)
}

/// Makes a lab's directory, which nobody else may have made meanwhile.
///
/// # Errors
/// Another program is bringing a lab of that name up, or what the system says.
pub(super) fn make(directory: &Path) -> Result<()> {
    let all = directory.parent().context("a lab's directory lies in that of all labs")?;
    for _ in 0..TRIES {
        let made = std::fs::create_dir_all(all).and_then(|()| std::fs::create_dir(directory));
        match made.map_err(|error| (error.kind(), error)) {
            Ok(()) => return Ok(()),
            Err((ErrorKind::AlreadyExists, _)) if directory.exists() => {
                bail!("{} is there already: someone else is bringing the same lab up", directory.display())
            }
            // The last of other labs went down just now, and took the directory of all with it.
            Err((ErrorKind::NotFound | ErrorKind::AlreadyExists, _)) => {}
            Err((_, error)) => {
                return Err(error).with_context(|| format!("cannot make {}", directory.display()));
            }
        }
    }
    bail!("cannot make {}: others keep removing {}", directory.display(), all.display())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::make;

    #[test]
    fn a_lab_comes_up_while_others_go_down() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let all = temporary.path().join("labs");
        let done = AtomicBool::new(false);
        let failed = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = std::fs::remove_dir(&all);
                    std::thread::yield_now();
                }
            });
            let failed = (0..100).find_map(|number| {
                let directory = all.join(number.to_string());
                make(&directory).err().or_else(|| std::fs::remove_dir(&directory).err().map(Into::into))
            });
            done.store(true, Ordering::Relaxed);
            failed
        });
        assert!(failed.is_none(), "{failed:?}");
    }

    #[test]
    fn two_labs_of_one_name_are_refused() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = temporary.path().join("labs/demo");
        make(&directory).expect("nobody has the name");
        let error = make(&directory).expect_err("it is taken");
        assert!(error.to_string().contains("is there already"), "{error}");
    }
}
