//! Where a cluster keeps what must be on a disk: images are too large for memory, and their layers cannot lie on an overlay. There are keys
//! among it, and everybody can make files beside it: so the directory of all clusters is ours alone, or nothing is written.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Clusters that go down while one comes up, at most.
const TRIES: u32 = 1000;

/// A cluster's directory.
pub(super) fn directory(name: &str) -> PathBuf {
    base().join(name)
}

/// Makes a cluster's directory.
pub(super) fn make(name: &str) -> Result<PathBuf> {
    make_in(&base(), name)
}

/// Removes a cluster's directory, if there is one.
pub(super) fn remove(name: &str) -> Result<()> {
    remove_in(&base(), name)
}

/// The directory of all clusters.
fn base() -> PathBuf {
    std::env::temp_dir().join("cairn-k8s")
}

fn make_in(base: &Path, name: &str) -> Result<PathBuf> {
    let state = base.join(name);
    let mut private = DirBuilder::new();
    private.mode(0o700);
    for _ in 0..TRIES {
        if !is_there(base)? {
            match private.create(base) {
                Ok(()) => {}
                // Whoever was faster may be somebody else.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make {}", base.display()));
                }
            }
        }
        match private.create(&state) {
            Ok(()) => return Ok(state),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{} is there already: someone else is bringing the same cluster up", state.display())
            }
            // The last of other clusters went down just now, and took the directory of all with it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", state.display())),
        }
    }
    bail!("cannot make {}: others keep removing {}", state.display(), base.display())
}

fn remove_in(base: &Path, name: &str) -> Result<()> {
    if !is_there(base)? {
        return Ok(());
    }
    let state = base.join(name);
    match fs::remove_dir_all(&state) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", state.display())),
    }
    // Another cluster may be there; then the directory is not empty, and stays.
    let _ = fs::remove_dir(base);
    Ok(())
}

/// Whether the directory of all clusters is there; an error where it is not ours, so that no link leads elsewhere and nobody reads along.
fn is_there(base: &Path) -> Result<bool> {
    let found = match fs::symlink_metadata(base) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", base.display())),
    };
    ensure!(
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw(),
        "{} is a link, no directory, or somebody else's: look at it, and remove it",
        base.display()
    );
    if found.mode() & 0o077 != 0 {
        match fs::set_permissions(base, Permissions::from_mode(0o700)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("cannot close {}", base.display())),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_made_is_nobody_elses_and_goes_without_a_trace() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().join("all");
        fs::create_dir(&base).unwrap();
        fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
        let state = make_in(&base, "one").unwrap();
        for directory in [&base, &state] {
            assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700);
        }
        assert!(make_in(&base, "one").is_err(), "it is there already");
        make_in(&base, "two").unwrap();
        remove_in(&base, "one").unwrap();
        assert!(!state.exists() && base.exists());
        remove_in(&base, "two").unwrap();
        assert!(!base.exists());
        remove_in(&base, "two").unwrap();
    }

    #[test]
    fn a_link_or_a_file_in_its_place_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = temporary.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("one")).unwrap();
        let (link, file) = (temporary.path().join("link"), temporary.path().join("file"));
        symlink(&elsewhere, &link).unwrap();
        fs::write(&file, "").unwrap();
        for base in [link, file] {
            assert!(make_in(&base, "two").is_err() && remove_in(&base, "one").is_err(), "{}", base.display());
        }
        assert!(elsewhere.join("one").exists() && !elsewhere.join("two").exists());
    }
}
