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
            Event::Listed(mut objects) => {
                objects.sort_by(|a, b| a.name().cmp(b.name()));
                (self.objects, self.listed) = (objects, true);
            }
            Event::Added(object) | Event::Modified(object) => match self.place(object.name()) {
                Ok(at) => self.objects[at] = object,
                Err(at) => self.objects.insert(at, object),
            },
            Event::Deleted(object) => {
                if let Ok(at) = self.place(object.name()) {
                    self.objects.remove(at);
                }
            }
            // The feed of the engine logs both.
            Event::Invalid { .. } | Event::Unavailable { .. } => {}
        }
        true
    }

    /// The object of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Object<K>> {
        self.place(name).ok().map(|at| &*self.objects[at])
    }

    /// Where an object of this name is, or belongs.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.objects.binary_search_by(|known| known.name().cmp(name))
    }
}
