//! One lock for each attachment: a runtime may not call twice for one container at a time, but may time out and call again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use felix_api::Attachment;
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Locks by attachment. There are only as many as are held or waited for.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<HashMap<Attachment, Lock>>,
}

/// Holds the lock of an attachment until dropped.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    locks: &'a Locks,
    attachment: Attachment,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the lock of an attachment.
    pub(crate) async fn lock(&self, attachment: &Attachment) -> Guard<'_> {
        let lock = Lock::clone(self.table().entry(attachment.clone()).or_default());
        let mut guard = Guard { locks: self, attachment: attachment.clone(), guard: None };
        guard.guard = Some(lock.lock_owned().await);
        guard
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Attachment, Lock>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut table = self.locks.table();
        self.guard = None;
        // Whoever waits holds a clone of the lock, taken under the table's own.
        if table.get(&self.attachment).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            table.remove(&self.attachment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_none_left_behind() {
        let locks = Locks::default();
        let attachment: Attachment =
            Attachment { container: "c1".parse().unwrap(), ifname: "eth0".parse().unwrap() };
        let inside = std::cell::Cell::new(0);
        let turn = async || {
            let _guard = locks.lock(&attachment).await;
            inside.set(inside.get() + 1);
            assert_eq!(inside.get(), 1);
            tokio::task::yield_now().await;
            inside.set(inside.get() - 1);
        };
        tokio::join!(turn(), turn(), turn());
        // A waiter that gives up leaves nothing either.
        let first = locks.lock(&attachment).await;
        let waiter = tokio::time::timeout(std::time::Duration::from_millis(1), locks.lock(&attachment));
        assert!(waiter.await.is_err());
        drop(first);
        assert!(locks.table().is_empty());
    }
}
