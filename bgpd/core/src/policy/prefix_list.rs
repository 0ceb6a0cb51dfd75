use std::hash::BuildHasher;

use cairn_net::{Family, Prefix};
use hashbrown::HashTable;
use thiserror::Error;

/// One entry of a prefix list: prefixes inside `prefix` with a length of `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrefixEntry {
    prefix: Prefix,
    min: u8,
    max: u8,
    permit: bool,
}

/// Why there is no such entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("lengths {min} to {max} are not valid for {prefix}: from {least} to {most}, the lower first", least = prefix.len(),
    most = prefix.family().bits())]
pub struct PrefixEntryError {
    /// The entry's prefix.
    pub prefix: Prefix,
    /// Shortest length wanted.
    pub min: u8,
    /// Longest length wanted.
    pub max: u8,
}

impl PrefixEntry {
    /// An entry for the prefix itself and nothing inside it.
    pub const fn exact(prefix: Prefix, permit: bool) -> Self {
        Self { prefix, min: prefix.len(), max: prefix.len(), permit }
    }

    /// An entry for the prefix and everything inside it.
    pub const fn or_longer(prefix: Prefix, permit: bool) -> Self {
        Self { prefix, min: prefix.len(), max: prefix.family().bits(), permit }
    }

    /// An entry with the usual `ge` and `le`: neither means the prefix alone, `ge` alone means up to a host
    /// prefix, `le` alone means from the prefix's own length.
    ///
    /// # Errors
    /// Unless `prefix length <= ge <= le <= 32` (or 128).
    pub fn new(
        prefix: Prefix,
        ge: Option<u8>,
        le: Option<u8>,
        permit: bool,
    ) -> Result<Self, PrefixEntryError> {
        let (min, max) = match (ge, le) {
            (None, None) => (prefix.len(), prefix.len()),
            (Some(ge), None) => (ge, prefix.family().bits()),
            (None, Some(le)) => (prefix.len(), le),
            (Some(ge), Some(le)) => (ge, le),
        };
        if prefix.len() <= min && min <= max && max <= prefix.family().bits() {
            Ok(Self { prefix, min, max, permit })
        } else {
            Err(PrefixEntryError { prefix, min, max })
        }
    }

    const fn allows_len(&self, len: u8) -> bool {
        self.min <= len && len <= self.max
    }
}

/// A prefix list: ordered entries, the first one that matches decides, no match denies.
///
/// A look-up costs one hash probe for each length that occurs in the list, however long the list is.
#[derive(Debug, Clone, Default)]
pub struct PrefixList {
    entries: Vec<PrefixEntry>,
    /// Ranges of `order` that have one prefix.
    groups: HashTable<Group>,
    /// Indexes of entries, grouped by prefix, in a group by rank.
    order: Vec<u32>,
    /// Lengths of the entries' prefixes, one bit each; index 0 is IPv4.
    lengths: [[u128; 2]; 2],
    hasher: foldhash::fast::FixedState,
}

/// The entries of one prefix: a range of `order`.
#[derive(Debug, Clone, Copy)]
struct Group {
    prefix: Prefix,
    start: u32,
    end: u32,
}

impl PrefixList {
    /// A list of these entries in this order. Of more than 2^32 entries, the rest is not looked at.
    pub fn new(entries: Vec<PrefixEntry>) -> Self {
        let mut order: Vec<u32> = (0..u32::try_from(entries.len()).unwrap_or(u32::MAX)).collect();
        order.sort_by_key(|index| (entries[*index as usize].prefix, *index));
        let mut list = Self { entries, ..Self::default() };
        let mut start = 0;
        for group in
            order.chunk_by(|a, b| list.entries[*a as usize].prefix == list.entries[*b as usize].prefix)
        {
            let end = start + u32::try_from(group.len()).unwrap_or(u32::MAX);
            let prefix = list.entries[group[0] as usize].prefix;
            list.lengths[family_index(prefix.family())][usize::from(prefix.len() == 128)] |=
                1u128 << (prefix.len() & 127);
            let hasher = &list.hasher;
            list.groups.insert_unique(hasher.hash_one(prefix), Group { prefix, start, end }, |group| {
                hasher.hash_one(group.prefix)
            });
            start = end;
        }
        list.order = order;
        list
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[PrefixEntry] {
        &self.entries
    }

    /// Does the first matching entry permit the prefix?
    pub fn permits(&self, prefix: Prefix) -> bool {
        self.first_match(prefix).is_some_and(|index| self.entries[index].permit)
    }

    /// The index of the entry that decides on the prefix.
    pub fn first_match(&self, prefix: Prefix) -> Option<usize> {
        let [low, high] = self.lengths[family_index(prefix.family())];
        let mut first: Option<u32> = None;
        let mut probe = |len: u8| {
            let covering = Prefix::containing(prefix.addr(), len)?;
            let group = self.groups.find(self.hasher.hash_one(covering), |group| group.prefix == covering)?;
            let members = self.order.get(group.start as usize..group.end as usize)?;
            let hit = members.iter().find(|index| self.entries[**index as usize].allows_len(prefix.len()))?;
            first = Some(first.map_or(*hit, |first| first.min(*hit)));
            Some(())
        };
        let mut lengths = low & (u128::MAX >> 127u8.saturating_sub(prefix.len()));
        while lengths != 0 {
            #[allow(clippy::cast_possible_truncation)] // at most 127
            probe(lengths.trailing_zeros() as u8);
            lengths &= lengths - 1;
        }
        if high != 0 && prefix.len() == 128 {
            probe(128);
        }
        first.map(|index| index as usize)
    }
}

impl PartialEq for PrefixList {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for PrefixList {}

impl FromIterator<PrefixEntry> for PrefixList {
    fn from_iter<I: IntoIterator<Item = PrefixEntry>>(entries: I) -> Self {
        Self::new(entries.into_iter().collect())
    }
}

const fn family_index(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}

#[cfg(test)]
mod tests;
