use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Known, Query, Watch};

use super::unread::Unread;

/// The objects of a kind, the watch that tells them, and what of them cannot be read.
#[derive(Debug)]
pub(crate) struct Followed<K: Kind> {
    watch: Watch<K>,
    known: Known<K>,
    unread: Unread,
}

impl<K: Kind> Followed<K> {
    /// All of them.
    pub(crate) fn new<D: Datastore>(store: &D) -> Self {
        Self::of(store, Query::all())
    }

    /// Those that a query selects.
    pub(crate) fn of<D: Datastore>(store: &D, query: Query) -> Self {
        Self { watch: store.watch(query), known: Known::default(), unread: Unread::default() }
    }

    /// Waits for the next event and takes it; false once the store is closed. Safe to drop and call again.
    pub(crate) async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        self.unread.take(&event, |name| self.known.objects.contains_key(name));
        // The feed of the engine logs what cannot be read.
        self.known.take(event);
        true
    }

    /// The objects as last told, by name.
    pub(crate) const fn objects(&self) -> &BTreeMap<String, Arc<Object<K>>> {
        &self.known.objects
    }

    /// Was everything told once?
    pub(crate) const fn is_listed(&self) -> bool {
        self.known.listed
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
        self.known.objects.get(name).map(|object| &**object)
    }
}
