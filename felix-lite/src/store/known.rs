use std::sync::Arc;

use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Event, Query, Watch};

use super::unread::Unread;

/// The objects of a kind as last told.
#[derive(Debug)]
pub(crate) struct Known<K: Kind> {
    watch: Watch<K>,
    /// In the order of their names.
    pub(crate) objects: Vec<Arc<Object<K>>>,
    /// Was everything told once?
    pub(crate) listed: bool,
    unread: Unread,
}

impl<K: Kind> Known<K> {
    /// All of them.
    pub(crate) fn new<D: Datastore>(store: &D) -> Self {
        Self::of(store, Query::all())
    }

    /// Those that a query selects.
    pub(crate) fn of<D: Datastore>(store: &D, query: Query) -> Self {
        Self { watch: store.watch(query), objects: Vec::new(), listed: false, unread: Unread::default() }
    }

    /// Waits for the next event and takes it; false once the store is closed. Safe to drop and call again.
    pub(crate) async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        let objects = &self.objects;
        let knows = |name: &str| objects.binary_search_by(|known| known.name().cmp(name)).is_ok();
        self.unread.take(&event, knows);
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
            Event::Invalid { .. } | Event::Gone { .. } | Event::Unavailable { .. } => {}
        }
        true
    }

    /// Could every object be read once? Before, a lack of one says nothing.
    pub(crate) const fn is_complete(&self) -> bool {
        self.unread.is_complete()
    }

    /// An object that cannot be read, and of which no good form is known, and why.
    pub(crate) fn unread(&self) -> Option<String> {
        let (name, reason) = self.unread.objects().first_key_value()?;
        Some(format!("{}/{name} cannot be read: {reason}", K::KIND))
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
