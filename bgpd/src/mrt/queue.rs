//! Records that wait for the disk.
//!
//! Invariant: no more than [`MAX_QUEUE`] octets wait; putting something in takes no longer than a short lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::{Counters, count};

/// Octets that wait at most.
const MAX_QUEUE: usize = 32 << 20;

/// Whole records, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Records {
    /// How many.
    pub(crate) count: u64,
    /// When the first one happened, since 1970-01-01 UTC.
    pub(crate) at: Duration,
    /// The records.
    pub(crate) octets: Bytes,
}

/// What the writer finds.
pub(super) enum Next {
    /// Something to write.
    Records(Records),
    /// Nothing came in that time.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

/// Between the daemon and the thread that writes.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    records: VecDeque<Records>,
    octets: usize,
    closed: bool,
    /// Records that found no room since the queue was empty last.
    refused: u64,
}

impl Queue {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), counters }
    }

    /// Neither side panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets that wait.
    pub(super) fn octets(&self) -> usize {
        self.lock().octets
    }

    /// Has records written, if there is room.
    pub(super) fn put(&self, records: Records) {
        let mut state = self.lock();
        if state.octets + records.octets.len() > MAX_QUEUE {
            count(&self.counters.lost, records.count);
            state.refused += records.count;
            let first = state.refused == records.count;
            drop(state);
            if first {
                warn!("MRT records are lost: {MAX_QUEUE} octets wait for the disk already");
            }
            return;
        }
        state.octets += records.octets.len();
        state.records.push_back(records);
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing more will be put in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The next records, in the order in which they came.
    pub(super) fn next(&self, patience: Duration) -> Next {
        let idle = |state: &mut State| state.records.is_empty() && !state.closed;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let Some(records) = state.records.pop_front() else {
            return if state.closed { Next::Closed } else { Next::Nothing };
        };
        state.octets -= records.octets.len();
        let caught_up = if state.records.is_empty() { std::mem::take(&mut state.refused) } else { 0 };
        drop(state);
        if caught_up > 0 {
            warn!(records = caught_up, "the disk keeps up again; these MRT records were lost");
        }
        Next::Records(records)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_disk_that_takes_nothing_costs_a_bounded_queue_and_counted_records() {
        let counters = Arc::new(Counters::default());
        let queue = Queue::new(Arc::clone(&counters));
        let part = |number: u64| Records {
            count: 10,
            at: Duration::from_secs(number),
            octets: Bytes::from(vec![0; 1 << 20]),
        };
        (0..40).for_each(|number| queue.put(part(number)));
        assert_eq!(queue.octets(), MAX_QUEUE);
        assert_eq!(counters.lost.load(Ordering::Relaxed), 80);
        // What fitted is there, in order, and then there is room again.
        for number in 0..32 {
            let Next::Records(records) = queue.next(Duration::ZERO) else { panic!("{number}") };
            assert_eq!(records, part(number));
        }
        assert!(matches!(queue.next(Duration::ZERO), Next::Nothing));
        queue.put(part(7));
        queue.close();
        assert!(matches!(queue.next(Duration::ZERO), Next::Records(_)));
        assert!(matches!(queue.next(Duration::ZERO), Next::Closed));
        assert_eq!(counters.lost.load(Ordering::Relaxed), 80);
    }
}
