//! The thread that writes what happens.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgpd_api::config::MrtUpdates;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::files::Files;
use super::queue::{Next, Queue, Records};
use super::{Counters, Recording, UPDATES_INTERVAL, UPDATES_KEPT, UPDATES_SIZE, count};

/// How often a failure that goes on is named again.
const REPEAT: Duration = Duration::from_secs(60);
/// Longest wait for records: then the file of an interval that is over is closed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the thread.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn start(config: &MrtUpdates, counters: Arc<Counters>) -> io::Result<Recording> {
    let queue = Arc::new(Queue::new(Arc::clone(&counters)));
    let mut writer = Writer {
        files: Files::new(&config.directory, config.pattern(), config.keep.unwrap_or(UPDATES_KEPT)),
        interval: config.interval.unwrap_or(UPDATES_INTERVAL).as_secs().max(1),
        max_size: config.max_size.unwrap_or(UPDATES_SIZE),
        counters,
        current: None,
        trouble: None,
    };
    let (alive, ended) = oneshot::channel();
    let source = Arc::clone(&queue);
    std::thread::Builder::new().name("mrt-updates".to_owned()).spawn(move || {
        writer.run(&source);
        drop(alive);
    })?;
    Ok(Recording { queue, ended })
}

struct Writer {
    files: Files,
    /// Seconds.
    interval: u64,
    max_size: u64,
    counters: Arc<Counters>,
    current: Option<Current>,
    trouble: Option<Trouble>,
}

/// The file that is being written.
struct Current {
    file: File,
    /// Octets of whole records.
    size: u64,
    /// Which interval it is of, counted from 1970-01-01 UTC.
    slot: u64,
}

/// Writing fails.
struct Trouble {
    /// When it was named last.
    named: Instant,
    /// Records lost since it began.
    lost: u64,
}

impl Writer {
    fn run(&mut self, queue: &Queue) {
        // So that a wrong directory is known at once.
        if let Err(error) = std::fs::read_dir(self.files.directory()) {
            self.failed(&error, 0);
        }
        loop {
            match queue.next(PATIENCE) {
                Next::Records(records) => self.write(&records),
                Next::Nothing => self.close_old(crate::daemon::wall_clock().as_secs()),
                Next::Closed => return,
            }
        }
    }

    fn close_old(&mut self, seconds: u64) {
        let slot = seconds / self.interval;
        self.current.take_if(|current| current.slot != slot);
    }

    /// Writes records, or counts them as lost.
    fn write(&mut self, records: &Records) {
        match self.try_write(records) {
            Ok(()) => {
                count(&self.counters.written, records.count);
                if let Some(trouble) = self.trouble.take() {
                    info!(lost = trouble.lost, "MRT records are written again");
                }
            }
            Err(error) => self.failed(&error, records.count),
        }
    }

    fn try_write(&mut self, records: &Records) -> io::Result<()> {
        let (seconds, length) = (records.at.as_secs(), records.octets.len() as u64);
        self.close_old(seconds);
        self.current.take_if(|current| current.size > 0 && current.size + length > self.max_size);
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let file = self.files.begin(seconds)?;
                self.current.insert(Current { file, size: 0, slot: seconds / self.interval })
            }
        };
        if let Err(error) = current.file.write_all(&records.octets) {
            // No reader gets over half a record. Where it cannot be cut off, the file ends with it.
            if current.file.set_len(current.size).is_err() {
                self.current = None;
            }
            return Err(error);
        }
        current.size += length;
        Ok(())
    }

    fn failed(&mut self, error: &io::Error, records: u64) {
        count(&self.counters.lost, records);
        let now = Instant::now();
        let due = self.trouble.as_ref().is_none_or(|trouble| now.duration_since(trouble.named) >= REPEAT);
        let trouble = self.trouble.get_or_insert(Trouble { named: now, lost: 0 });
        trouble.lost += records;
        if due {
            trouble.named = now;
            let directory = self.files.directory().display();
            warn!(%directory, %error, lost = trouble.lost, "MRT records cannot be written, and are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;

    use super::*;

    fn records(seconds: u64, octets: &'static [u8]) -> Records {
        Records { count: 1, at: Duration::from_secs(seconds), octets: Bytes::from_static(octets) }
    }

    fn writer(directory: &std::path::Path) -> Writer {
        Writer {
            files: Files::new(directory, "up.%s".parse().unwrap(), 100),
            interval: 60,
            max_size: 10,
            counters: Arc::default(),
            current: None,
            trouble: None,
        }
    }

    #[test]
    fn a_new_file_begins_with_the_interval_and_before_the_size_is_passed() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        for (seconds, octets) in
            [(61, &b"first"[..]), (119, b"fills"), (119, b"more"), (120, b"next"), (121, b"longer than ten")]
        {
            writer.write(&records(seconds, octets));
        }
        let text = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text("up.61"), "firstfills");
        assert_eq!(text("up.119"), "more");
        assert_eq!(text("up.120"), "next");
        assert_eq!(text("up.121"), "longer than ten");
        writer.close_old(180);
        assert!(writer.current.is_none());
        assert_eq!(writer.counters.written.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_writing_goes_on_once_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later");
        let mut writer = writer(&path);
        writer.write(&records(1, b"lost"));
        writer.write(&records(2, b"lost"));
        assert_eq!(writer.trouble.as_ref().map(|trouble| trouble.lost), Some(2));
        std::fs::create_dir(&path).unwrap();
        writer.write(&records(3, b"written"));
        assert!(writer.trouble.is_none());
        let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((counted(&writer.counters.lost), counted(&writer.counters.written)), (2, 1));
        assert_eq!(std::fs::read(path.join("up.3")).unwrap(), b"written");
    }
}
