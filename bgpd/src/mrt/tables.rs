//! The thread that writes the table at intervals.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use bgpd_api::config::MrtTables;
use thiserror::Error;
use tracing::{debug, warn};

use super::files::Files;
use super::{Counters, TABLES_INTERVAL, TABLES_KEPT, count};
use crate::daemon::{Daemon, Handle, wall_clock};

/// Longest sleep, so that a clock that was set does not delay a table for long.
const SLEEP: Duration = Duration::from_secs(30);

/// The thread. It ends soon after this is dropped.
pub(super) struct Schedule {
    _stop: SyncSender<()>,
}

impl Schedule {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(config: &MrtTables, daemon: Handle, counters: Arc<Counters>) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let tables = Tables {
            files: Files::new(&config.directory, config.pattern(), config.keep.unwrap_or(TABLES_KEPT)),
            interval: config.interval.unwrap_or(TABLES_INTERVAL).as_secs().max(1),
            daemon,
            counters,
            stopped,
        };
        std::thread::Builder::new().name("mrt-tables".to_owned()).spawn(move || tables.run())?;
        Ok(Self { _stop: stop })
    }
}

struct Tables {
    files: Files,
    /// Seconds.
    interval: u64,
    daemon: Handle,
    counters: Arc<Counters>,
    stopped: Receiver<()>,
}

/// Why a table was not written.
#[derive(Debug, Error)]
enum TableError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error("it was cut short")]
    Short,
    #[error("{0}")]
    Refused(String),
    /// Nobody wants it any more.
    #[error("stopped")]
    Stopped,
}

impl Tables {
    fn run(self) {
        // So that a wrong directory is known at once.
        if let Err(error) = std::fs::read_dir(self.files.directory()) {
            let directory = self.files.directory().display();
            warn!(%directory, %error, "MRT tables cannot be written");
        }
        let mut slot = wall_clock().as_secs() / self.interval;
        loop {
            let now = wall_clock();
            let due = Duration::from_secs((slot + 1) * self.interval);
            // A clock that was set back is followed, too.
            if now >= due || now.as_secs() / self.interval < slot {
                slot = now.as_secs() / self.interval;
                if now >= due && !self.table(slot * self.interval) {
                    return;
                }
                continue;
            }
            match self.stopped.recv_timeout((due - now).min(SLEEP)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes a table; false once nobody wants any.
    fn table(&self, seconds: u64) -> bool {
        let begin = Instant::now();
        match self.write(seconds) {
            Ok(octets) => {
                count(&self.counters.tables_written, 1);
                let milliseconds = begin.elapsed().as_millis();
                debug!(octets, milliseconds, "MRT table written");
            }
            Err(TableError::Stopped) => return false,
            Err(error) => {
                count(&self.counters.tables_failed, 1);
                let directory = self.files.directory().display();
                warn!(%directory, %error, "MRT table not written");
            }
        }
        true
    }

    fn write(&self, seconds: u64) -> Result<usize, TableError> {
        let mut file = self.files.begin_part(seconds)?;
        let (mut pages, mut whole) = self
            .daemon
            .call_blocking(Daemon::dump_table_to_end)
            .map_err(|_stopped| TableError::Stopped)?
            .map_err(|refused| TableError::Refused(refused.to_string()))?;
        let mut octets = 0;
        while let Some(page) = pages.blocking_recv() {
            if !matches!(self.stopped.try_recv(), Err(TryRecvError::Empty)) {
                return Err(TableError::Stopped);
            }
            octets += page.records.len();
            file.write(&page.records)?;
        }
        whole.try_recv().map_err(|_| TableError::Short)?;
        file.finish()?;
        Ok(octets)
    }
}
