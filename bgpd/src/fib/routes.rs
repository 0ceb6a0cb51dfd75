//! A number for each prefix, in little memory: a full table is in here.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use cairn_net::{Families, Family, Prefix};
use foldhash::HashMap;

use super::ways::Entry;

/// Entries by prefix. One of IPv4 takes ten octets, where a map by [`Prefix`] takes 25.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes {
    short: HashMap<Short, Entry>,
    long: HashMap<Long, Entry>,
}

/// Address and length of what fits into a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short([u8; 5]);

/// Address and length of what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Long([u8; 16], u8);

impl Hash for Short {
    /// One word, as a prefix has it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, len] = self.0;
        state.write_u64(u64::from_be_bytes([0, 0, 0, a, b, c, d, len]));
    }
}

enum Key {
    Short(Short),
    Long(Long),
}

impl Key {
    fn of(prefix: Prefix) -> Self {
        match prefix.addr() {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                Self::Short(Short([a, b, c, d, prefix.len()]))
            }
            IpAddr::V6(v6) => Self::Long(Long(v6.octets(), prefix.len())),
        }
    }
}

impl Short {
    fn prefix(self) -> Option<Prefix> {
        let [a, b, c, d, len] = self.0;
        Prefix::new([a, b, c, d].into(), len)
    }
}

impl Long {
    fn prefix(self) -> Option<Prefix> {
        Prefix::new(self.0.into(), self.1)
    }
}

impl Routes {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    /// The entry of a prefix.
    pub(super) fn get(&self, prefix: Prefix) -> Option<Entry> {
        match Key::of(prefix) {
            Key::Short(key) => self.short.get(&key),
            Key::Long(key) => self.long.get(&key),
        }
        .copied()
    }

    /// The entry of a prefix, to be changed.
    pub(super) fn get_mut(&mut self, prefix: Prefix) -> Option<&mut Entry> {
        match Key::of(prefix) {
            Key::Short(key) => self.short.get_mut(&key),
            Key::Long(key) => self.long.get_mut(&key),
        }
    }

    /// Sets the entry of a prefix to what becomes of the one before, which it gives.
    pub(super) fn update(
        &mut self,
        prefix: Prefix,
        entry: impl FnOnce(Option<Entry>) -> Entry,
    ) -> Option<Entry> {
        match Key::of(prefix) {
            Key::Short(key) => update(&mut self.short, key, entry),
            Key::Long(key) => update(&mut self.long, key, entry),
        }
    }

    /// Takes the entry of a prefix away.
    pub(super) fn remove(&mut self, prefix: Prefix) -> Option<Entry> {
        match Key::of(prefix) {
            Key::Short(key) => self.short.remove(&key),
            Key::Long(key) => self.long.remove(&key),
        }
    }

    /// All entries of some families, to be changed.
    pub(super) fn entries_mut(&mut self, families: Families) -> impl Iterator<Item = &mut Entry> {
        let short = families.contains(Family::Ipv4).then(|| self.short.values_mut());
        let long = families.contains(Family::Ipv6).then(|| self.long.values_mut());
        short.into_iter().flatten().chain(long.into_iter().flatten())
    }

    /// The prefixes of the entries of which this holds.
    pub(super) fn prefixes(&self, mut holds: impl FnMut(Entry) -> bool) -> Vec<Prefix> {
        let mut all = Vec::new();
        for (key, entry) in &self.short {
            if holds(*entry) {
                all.extend(key.prefix());
            }
        }
        for (key, entry) in &self.long {
            if holds(*entry) {
                all.extend(key.prefix());
            }
        }
        all
    }
}

fn update<K: Eq + Hash>(
    map: &mut HashMap<K, Entry>,
    key: K,
    entry: impl FnOnce(Option<Entry>) -> Entry,
) -> Option<Entry> {
    use std::collections::hash_map::Entry as Place;
    match map.entry(key) {
        Place::Occupied(mut place) => {
            let old = *place.get();
            place.insert(entry(Some(old)));
            Some(old)
        }
        Place::Vacant(place) => {
            place.insert(entry(None));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ways::{Way, Ways};
    use super::*;

    #[test]
    fn prefixes_of_both_families_come_back_as_they_were() {
        let way = Ways::new().acquire(&Way::Blackhole);
        let texts = ["0.0.0.0/0", "10.1.2.0/24", "255.255.255.255/32", "::/0", "a01::/24", "ffff::1/128"];
        let mut all = texts.map(|text| text.parse::<Prefix>().unwrap());
        let mut routes = Routes::default();
        for prefix in all {
            assert_eq!(routes.update(prefix, |old| Entry::new(way, old.is_some())), None);
        }
        let again = routes.update(all[1], |old| Entry::new(way, old.is_some()));
        assert_eq!((again, routes.get(all[1])), (Some(Entry::new(way, false)), Some(Entry::new(way, true))));
        assert_eq!(routes.prefixes(Entry::is_ours), [all[1]]);
        let mut found = routes.prefixes(|_| true);
        found.sort_unstable();
        all.sort_unstable();
        assert_eq!((found.as_slice(), routes.len()), (all.as_slice(), 6));
        assert_eq!(routes.entries_mut(Families::NONE.with(Family::Ipv6)).count(), 3);
        for prefix in all {
            assert!(routes.remove(prefix).is_some());
        }
        assert_eq!((routes.len(), routes.get(all[0])), (0, None));
    }

    #[test]
    fn a_route_takes_ten_octets() {
        assert_eq!(size_of::<(Short, Entry)>() + 1, 10);
    }
}
