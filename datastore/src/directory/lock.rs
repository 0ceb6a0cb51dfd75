//! The lock of a kind, between threads and processes, and the counter of its versions.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cairn_api::Kind;
use nix::fcntl::{Flock, FlockArg};

use super::file;
use crate::Key;

/// Held while it lives. The kernel lets go of it when the process dies.
pub(super) struct KindLock {
    file: Flock<File>,
}

fn path<K: Kind>(root: &Path) -> PathBuf {
    file::directory::<K>(root).join(".lock")
}

impl KindLock {
    /// Waits for the lock. Makes the directories that an object's file is in.
    pub(super) fn take<K: Kind>(root: &Path, key: &Key) -> io::Result<Self> {
        std::fs::create_dir_all(file::directory::<K>(root))?;
        file::make_parent::<K>(root, key)?;
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path::<K>(root))?;
        let file = Flock::lock(open, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
        Ok(Self { file })
    }

    /// The next version: above every one given before, and above the one that a file brought along.
    pub(super) fn next_version(&mut self, at_least: u64) -> io::Result<u64> {
        let next = read(&self.file).max(at_least).saturating_add(1);
        self.file.write_all_at(format!("{next:020}").as_bytes(), 0)?;
        Ok(next)
    }
}

/// The last version given; 0 where there is none.
pub(super) fn revision<K: Kind>(root: &Path) -> u64 {
    File::open(path::<K>(root)).map_or(0, |file| read(&file))
}

fn read(file: &File) -> u64 {
    let mut digits = [0; 20];
    let read = file.read_exact_at(&mut digits, 0).ok();
    read.and_then(|()| std::str::from_utf8(&digits).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
