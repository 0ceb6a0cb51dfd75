//! Which place in the table a prefix has.

use std::hash::BuildHasher;

use cairn_net::Prefix;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::slab::Slab;
use super::table::{Net, NetId};

/// The index of the table: places by prefix. The prefixes themselves are in the table only.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashTable<NetId>,
    /// Seeded at random: prefixes are chosen by neighbours, who could choose such as have one hash.
    hasher: RandomState,
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv6Addr};

    use foldhash::fast::FixedState;

    use super::*;

    /// Prefixes of which a table with a seed that everybody knows compares each with all others: a full read of them would take seconds.
    #[test]
    fn neighbours_cannot_choose_prefixes_of_one_hash() {
        let seed = 0x082e_fa98_ec4e_6c89_u128;
        let chosen = |high: u128| Prefix::host(IpAddr::V6(Ipv6Addr::from_bits(high << 64 | seed)));
        let hashes = |hash: &dyn Fn(Prefix) -> u64| {
            (0..1000).map(|high| hash(chosen(high))).collect::<HashSet<_>>().len()
        };
        assert_eq!(hashes(&|prefix| FixedState::default().hash_one(prefix)), 1, "chosen for the known seed");
        let index = Index::default();
        assert!(hashes(&|prefix| index.hasher.hash_one(prefix)) > 990);
    }
}
