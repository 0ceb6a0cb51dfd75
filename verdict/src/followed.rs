use std::sync::Arc;

use cairn_api::{Draft, Kind};
use cairn_datastore::{Datastore, Key, Known, Query, Watch};

use crate::judge::Objects;

/// The objects of a kind, and the watch that tells them.
pub(crate) struct Followed<K: Kind> {
    watch: Watch<K>,
    pub(crate) known: Known<K>,
}

impl<K: Kind> Followed<K> {
    pub(crate) fn new(store: &impl Datastore, query: Query) -> Self {
        Self { watch: store.watch(query), known: Known::default() }
    }

    /// Waits for the next event and takes it; false once the store is closed. Safe to drop and call again.
    pub(crate) async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        self.known.take(event);
        true
    }
}

impl<K: Kind> Followed<Draft<K>> {
    /// Each as it can be read. What is in a file can mean more than its draft, as an unquoted number where a text is due: there the file is
    /// asked before anything is said against it. The words are the draft's: they do not depend on where a node has the file.
    pub(crate) async fn read(&self, files: Option<&impl Datastore>) -> Objects<K> {
        let mut all = Objects::new();
        for (name, draft) in &self.known.objects {
            let mut read = draft.finished().map(Arc::new);
            if let (Err(_), Some(files)) = (&read, files)
                && let Ok(object) = files.get::<K>(&Key::named(name)).await
            {
                read = Ok(Arc::new(object));
            }
            all.insert(name.clone(), read);
        }
        all
    }
}
