use std::sync::Arc;

use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Event, Query, Watch};

/// The objects of a kind as last told.
#[derive(Debug)]
pub(crate) struct Known<K: Kind> {
    watch: Watch<K>,
    /// In the order of their names.
    pub(crate) objects: Vec<Arc<Object<K>>>,
    /// Was everything told once?
    pub(crate) listed: bool,
}

impl<K: Kind> Known<K> {
    pub(crate) fn new<D: Datastore>(store: &D) -> Self {
        Self { watch: store.watch(Query::all()), objects: Vec::new(), listed: false }
    }

    /// Waits for the next event and takes it; false once the store is closed. Safe to drop and call again.
    pub(crate) async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        match event {
            Event::Listed(objects) => (self.objects, self.listed) = (objects, true),
            Event::Added(object) | Event::Modified(object) => {
                self.forget(&object);
                self.objects.push(object);
            }
            Event::Deleted(object) => self.forget(&object),
            // The feed of the engine logs both.
            Event::Invalid { .. } | Event::Unavailable { .. } => {}
        }
        self.objects.sort_by(|a, b| a.name().cmp(b.name()));
        true
    }

    fn forget(&mut self, object: &Object<K>) {
        self.objects.retain(|known| known.name() != object.name());
    }
}
