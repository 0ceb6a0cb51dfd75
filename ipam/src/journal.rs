//! A journal: one checksummed line per record, appended before anybody is answered.
//!
//! Shape: `<16 hex digits of FNV-1a> <JSON>\n`. Appends are not synced: what a process wrote survives its death in the page
//! cache, and with the machine the pods die too; a ledger of an earlier start of the machine is checked against the store. A compaction is synced before it replaces the old file.
//! A torn last line is cut off: nobody was answered. A bad line before the last is a gap, told by [`Replay::gap`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{error, warn};

/// Below this a journal is not worth compacting. Unit: bytes.
const COMPACT_FROM: u64 = if cfg!(test) { 4 << 10 } else { 256 << 10 };
/// A journal larger than this is not ours. Unit: bytes.
const MAX_SIZE: u64 = 256 << 20;

/// An open journal of records of one type.
#[derive(Debug)]
pub struct Journal<R> {
    path: PathBuf,
    file: File,
    length: u64,
    /// Length after the last compaction.
    compacted: u64,
    /// Keeps a second process off; the kernel lets go of it with the process.
    _lock: Flock<File>,
    records: PhantomData<fn(R)>,
}

/// What was in a journal.
#[derive(Debug)]
pub struct Replay<R> {
    /// In the order in which they were appended.
    pub records: Vec<R>,
    /// Is something missing in the middle?
    pub gap: bool,
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Opens or makes a journal, and reads what is in it.
    ///
    /// # Errors
    /// The file cannot be used, or another process has it open.
    pub fn open(path: &Path) -> io::Result<(Self, Replay<R>)> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let lock = File::create(path.with_extension("journal.lock"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, _)| io::Error::other("another process has it open"))?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        if size > MAX_SIZE {
            return Err(io::Error::other(format!("{size} bytes: a journal has at most {MAX_SIZE}")));
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(MAX_SIZE).read_to_end(&mut bytes)?;
        let (replay, length) = replay(path, &bytes);
        file.set_len(length)?;
        let journal =
            Self { path: path.to_owned(), file, length, compacted: 0, _lock: lock, records: PhantomData };
        Ok((journal, replay))
    }

    /// Appends records as one write.
    ///
    /// # Errors
    /// What the system says; none of them is in the journal then.
    pub fn append(&mut self, records: &[R]) -> io::Result<()> {
        let lines = encode(records)?;
        if let Err(error) = self.file.write_all(&lines) {
            // Half a line must not be continued by the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Has it grown so much that a snapshot is due?
    pub fn is_bloated(&self) -> bool {
        self.length > COMPACT_FROM && self.length > self.compacted * 4
    }

    /// Replaces the journal by a snapshot.
    ///
    /// # Errors
    /// What the system says; the journal is as it was.
    pub fn compact(&mut self, snapshot: &[R]) -> io::Result<()> {
        let lines = encode(snapshot)?;
        let temporary = self.path.with_extension("journal.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&lines)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.length = lines.len() as u64;
        self.compacted = self.length;
        Ok(())
    }
}

fn encode<R: Serialize>(records: &[R]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(256 * records.len());
    for record in records {
        let start = lines.len();
        lines.extend_from_slice(&[b'0'; 16]);
        lines.push(b' ');
        serde_json::to_writer(&mut lines, record)?;
        let sum = format!("{:016x}", fnv1a(lines.get(start + 17..).unwrap_or_default()));
        if let Some(place) = lines.get_mut(start..start + 16) {
            place.copy_from_slice(sum.as_bytes());
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

fn decode<R: DeserializeOwned>(line: &[u8]) -> Option<R> {
    let (sum, json) = line.split_at_checked(17)?;
    let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
    (u64::from_str_radix(sum, 16).ok()? == fnv1a(json)).then(|| serde_json::from_slice(json).ok())?
}

/// The records, and the length of the journal without a torn tail.
fn replay<R: DeserializeOwned>(path: &Path, bytes: &[u8]) -> (Replay<R>, u64) {
    let mut found = Replay { records: Vec::new(), gap: false };
    let (mut at, mut good) = (0, 0);
    let mut bad_line = None;
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        at += line.len();
        let Some(record) = line.strip_suffix(b"\n").and_then(decode) else {
            bad_line = bad_line.or(Some(number + 1));
            continue;
        };
        if let Some(line) = bad_line.take() {
            error!(journal = %path.display(), line, "damaged line skipped");
            found.gap = true;
        }
        found.records.push(record);
        good = at;
    }
    if good < bytes.len() {
        warn!(journal = %path.display(), bytes = bytes.len() - good, "torn tail cut off");
    }
    (found, good as u64)
}

/// FNV-1a, 64 bits: stable over versions and machines.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Tells one start of the machine from another; empty where the kernel does not say.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
