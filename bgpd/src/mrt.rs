//! MRT files: what happens, and the table at intervals.
//!
//! ```text
//!   daemon task --- records, never waiting ---> queue (32 MiB) ---> thread mrt-updates ---> files
//!   daemon task <-- "a dump" ------------------------------------- thread mrt-tables
//!               --- pages, as they are taken (4) ----------------->        |            ---> files
//! ```
//!
//! Invariants: the daemon never waits for a disk; what cannot be written is counted and named in the log; a thread runs only while it is
//! configured.
//! Not here: what is in a record (`bgp_core::monitor`), and which there are (`daemon::record`).

mod files;
mod queue;
mod tables;
mod updates;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bgpd_api::config;
use tokio::sync::oneshot;
use tracing::error;

use crate::daemon::Handle;
use queue::Queue;
pub(crate) use queue::Records;

/// A file of updates begins this often, unless configured.
const UPDATES_INTERVAL: Duration = Duration::from_secs(900);
/// Time between two tables, unless configured.
const TABLES_INTERVAL: Duration = Duration::from_secs(7200);
/// Octets of a file of updates at most, unless configured.
const UPDATES_SIZE: u64 = 128 << 20;
/// Files of updates that are kept, unless configured.
const UPDATES_KEPT: u32 = 96;
/// Tables that are kept, unless configured.
const TABLES_KEPT: u32 = 48;

/// What has become of records and tables since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    written: AtomicU64,
    lost: AtomicU64,
    tables_written: AtomicU64,
    tables_failed: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records in files.
    pub(crate) written: u64,
    /// Records in no file.
    pub(crate) lost: u64,
    /// Whole tables.
    pub(crate) tables_written: u64,
    /// Tables that did not come to their end.
    pub(crate) tables_failed: u64,
    /// Octets that wait for the disk.
    pub(crate) queued: usize,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// The daemon's end.
#[derive(Default)]
pub(crate) struct Mrt {
    wanted: config::Mrt,
    counters: Arc<Counters>,
    updates: Option<Recording>,
    tables: Option<tables::Schedule>,
}

/// The thread that writes what happens.
struct Recording {
    queue: Arc<Queue>,
    /// Ends with the thread.
    ended: oneshot::Receiver<()>,
}

impl Mrt {
    /// Writes these files and no others. What goes on as before is not disturbed.
    pub(crate) fn configure(&mut self, wanted: &config::Mrt, daemon: &Handle) {
        if wanted.updates != self.wanted.updates {
            self.stop_updates();
            self.updates = wanted.updates.as_ref().and_then(|updates| {
                said(&updates.directory, updates::start(updates, Arc::clone(&self.counters)))
            });
        }
        if wanted.tables != self.wanted.tables {
            self.tables = None;
            self.tables = wanted.tables.as_ref().and_then(|tables| {
                said(
                    &tables.directory,
                    tables::Schedule::start(tables, daemon.clone(), Arc::clone(&self.counters)),
                )
            });
        }
        self.wanted = wanted.clone();
    }

    /// Are records wanted?
    pub(crate) fn records(&self) -> bool {
        self.updates.is_some()
    }

    /// Are timestamps to have microseconds?
    pub(crate) fn microseconds(&self) -> bool {
        self.wanted.updates.as_ref().is_some_and(|updates| updates.microseconds)
    }

    /// Hands records over. Never waits: what there is no room for is lost, and counted.
    pub(crate) fn put(&self, records: Records) {
        if let Some(recording) = &self.updates {
            recording.queue.put(records);
        }
    }

    /// What has become of records and tables.
    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            written: of(&self.counters.written),
            lost: of(&self.counters.lost),
            tables_written: of(&self.counters.tables_written),
            tables_failed: of(&self.counters.tables_failed),
            queued: self.updates.as_ref().map_or(0, |recording| recording.queue.octets()),
        }
    }

    /// Ends everything. What waits is still written; the returned channel ends once it is.
    pub(crate) fn stop(&mut self) -> Option<oneshot::Receiver<()>> {
        self.wanted = config::Mrt::default();
        self.tables = None;
        self.stop_updates()
    }

    fn stop_updates(&mut self) -> Option<oneshot::Receiver<()>> {
        let recording = self.updates.take()?;
        recording.queue.close();
        Some(recording.ended)
    }
}

/// What was started, or a line in the log.
fn said<T>(directory: &Path, started: std::io::Result<T>) -> Option<T> {
    started.inspect_err(|error| {
        error!(directory = %directory.display(), %error, "no MRT files: the system gives no thread for them");
    })
    .ok()
}
