//! Which place in the table a prefix has.

use std::hash::BuildHasher;

use cairn_net::Prefix;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::slab::Slab;
use super::table::{Net, NetId};

/// The index of the table: places by prefix. The prefixes themselves are in the table only.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashTable<NetId>,
    hasher: FixedState,
}

impl Index {
    /// The place of a prefix.
    pub(super) fn find(&self, nets: &Slab<NetId, Net>, prefix: Prefix) -> Option<NetId> {
        let hash = self.hasher.hash_one(prefix);
        self.places.find(hash, |id| nets[*id].prefix == prefix).copied()
    }

    /// The place of a prefix, and whether it is a new one.
    pub(super) fn find_or_add(&mut self, nets: &mut Slab<NetId, Net>, prefix: Prefix) -> (NetId, bool) {
        let Self { places, hasher } = self;
        let hash = hasher.hash_one(prefix);
        let entry =
            places.entry(hash, |id| nets[*id].prefix == prefix, |id| hasher.hash_one(nets[*id].prefix));
        match entry {
            Entry::Occupied(found) => (*found.get(), false),
            Entry::Vacant(vacant) => {
                let id = nets.insert(Net::new(prefix));
                vacant.insert(id);
                (id, true)
            }
        }
    }

    /// Forgets that a prefix has this place.
    pub(super) fn remove(&mut self, prefix: Prefix, net: NetId) {
        let hash = self.hasher.hash_one(prefix);
        if let Ok(found) = self.places.find_entry(hash, |id| *id == net) {
            found.remove();
        }
    }
}
