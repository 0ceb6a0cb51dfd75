//! Entries by key and by number. A key is looked up once, when its object is set or seen; from there on the number is enough.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::entry::Entry;

/// Names an entry until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u32);

/// An entry and its key.
#[derive(Debug)]
pub(super) struct Slot<K, V> {
    pub(super) key: K,
    pub(super) entry: Entry<V>,
}

/// All entries.
#[derive(Debug)]
pub(super) struct Entries<K, V> {
    slots: Vec<Option<Slot<K, V>>>,
    free: Vec<Id>,
    index: HashTable<Id>,
    hasher: RandomState,
}

impl<K: Eq + Hash + Ord, V> Entries<K, V> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), index: HashTable::new(), hasher: RandomState::default() }
    }

    pub(super) fn id(&self, key: &K) -> Option<Id> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |id| self.slot(*id).is_some_and(|slot| slot.key == *key)).copied()
    }

    /// The entry's number; a new entry where there is none.
    pub(super) fn id_or_insert(&mut self, key: K, entry: impl FnOnce() -> Entry<V>) -> Id {
        if let Some(id) = self.id(&key) {
            return id;
        }
        let hash = self.hasher.hash_one(&key);
        let slot = Some(Slot { key, entry: entry() });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.slots.get_mut(id.0 as usize) {
                    *place = slot;
                }
                id
            }
            None => {
                let id = Id(u32::try_from(self.slots.len()).expect("memory ends before 2^32 objects"));
                self.slots.push(slot);
                id
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, id, |id| {
            let slot = slots.get(id.0 as usize).and_then(Option::as_ref);
            slot.map_or(0, |slot| hasher.hash_one(&slot.key))
        });
        id
    }

    pub(super) fn slot(&self, id: Id) -> Option<&Slot<K, V>> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn entry(&mut self, id: Id) -> Option<&mut Entry<V>> {
        self.slots.get_mut(id.0 as usize)?.as_mut().map(|slot| &mut slot.entry)
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Slot<K, V>> {
        let slot = self.slots.get_mut(id.0 as usize)?.take()?;
        let hash = self.hasher.hash_one(&slot.key);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.free.push(id);
        Some(slot)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Slot<K, V>)> {
        let numbered = self.slots.iter().zip(0..);
        numbered.filter_map(|(slot, number)| Some((Id(number), slot.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<K, V>> {
        self.slots.iter_mut().flatten()
    }

    /// Those for which the test holds, in the order of their keys.
    pub(super) fn select(&self, wanted: impl Fn(&Slot<K, V>) -> bool) -> Vec<Id> {
        let mut found: Vec<_> = self.iter().filter(|(_, slot)| wanted(slot)).collect();
        found.sort_unstable_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        found.into_iter().map(|(id, _)| id).collect()
    }
}
