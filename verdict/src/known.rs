use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::{Draft, Kind, Object};
use cairn_datastore::{Datastore, Event, Key, Query, Watch};

use crate::judge::Objects;

/// The objects of a kind as last told.
pub(crate) struct Known<K: Kind> {
    watch: Watch<K>,
    pub(crate) objects: BTreeMap<String, Arc<Object<K>>>,
    /// Was everything told once?
    pub(crate) listed: bool,
}

impl<K: Kind> Known<K> {
    pub(crate) fn new(store: &impl Datastore, query: Query) -> Self {
        Self { watch: store.watch(query), objects: BTreeMap::new(), listed: false }
    }

    /// Waits for the next event and takes it; false once the store is closed. Safe to drop and call again.
    pub(crate) async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        match event {
            Event::Listed(objects) => {
                let named = objects.into_iter().map(|object| (object.name().to_owned(), object));
                (self.objects, self.listed) = (named.collect(), true);
            }
            Event::Added(object) | Event::Modified(object) => {
                self.objects.insert(object.name().to_owned(), object);
            }
            Event::Deleted(object) => drop(self.objects.remove(object.name())),
            // The store logs both.
            Event::Invalid { .. } | Event::Gone { .. } | Event::Unavailable { .. } => {}
        }
        true
    }
}

impl<K: Kind> Known<Draft<K>> {
    /// Each as it can be read. What is in a file can mean more than its draft, as an unquoted number where a text is due: there the file is
    /// asked before anything is said against it. The words are the draft's: they do not depend on where a node has the file.
    pub(crate) async fn read(&self, files: Option<&impl Datastore>) -> Objects<K> {
        let mut all = Objects::new();
        for (name, draft) in &self.objects {
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
