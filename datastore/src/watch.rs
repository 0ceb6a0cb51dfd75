use std::sync::Arc;

use cairn_api::{Kind, Object};
use tokio::sync::mpsc;

use crate::Key;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<K: Kind> {
    /// All objects there are: who watches is in sync. First of all, and again whenever the store cannot tell
    /// what changed: it replaces everything known before. What cannot be used of what there is was told before it.
    Listed(Vec<Arc<Object<K>>>),
    /// An object came to be selected.
    Added(Arc<Object<K>>),
    /// An object changed.
    Modified(Arc<Object<K>>),
    /// An object is gone, or no longer selected: its last known form.
    Deleted(Arc<Object<K>>),
    /// An object cannot be used. Its last good form, if there was one, stays in force.
    Invalid {
        /// Which.
        key: Key,
        /// Place, field, value and rule.
        reason: String,
    },
    /// An object that could not be used, and of which there was no good form, is gone.
    Gone {
        /// Which.
        key: Key,
    },
    /// The store cannot be reached; the watch goes on trying. What is known stays in force.
    Unavailable {
        /// What went wrong.
        reason: String,
    },
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch<K: Kind> {
    events: mpsc::Receiver<Event<K>>,
}

/// Events that wait for a slow reader; after that the store waits for it.
const BACKLOG: usize = 64;

impl<K: Kind> Watch<K> {
    /// A watch, and the end that feeds it.
    pub fn channel() -> (mpsc::Sender<Event<K>>, Self) {
        let (sender, events) = mpsc::channel(BACKLOG);
        (sender, Self { events })
    }

    /// The next event. `None` once the store is closed. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event<K>> {
        self.events.recv().await
    }
}
