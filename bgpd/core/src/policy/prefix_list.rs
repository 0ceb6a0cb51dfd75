use cairn_net::Prefix;
use thiserror::Error;

use super::prefix_trie::PrefixTrie;

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

    /// Is the prefix inside, and of a length between the bounds?
    pub fn matches(&self, prefix: Prefix) -> bool {
        self.prefix.covers(prefix) && self.allows_len(prefix.len())
    }

    /// Does the entry permit what it matches?
    pub const fn permits(&self) -> bool {
        self.permit
    }

    const fn allows_len(&self, len: u8) -> bool {
        self.min <= len && len <= self.max
    }
}

/// A prefix list: ordered entries, the first one that matches decides, no match denies.
///
/// A look-up walks down a trie: its cost depends on how many entries cover the prefix, not on how many there are.
#[derive(Debug, Clone, Default)]
pub struct PrefixList {
    entries: Vec<PrefixEntry>,
    /// The entries' places by prefix.
    trie: PrefixTrie,
}

impl PrefixList {
    /// A list of these entries in this order. Of more than 2^32 entries, the rest is not looked at.
    pub fn new(entries: Vec<PrefixEntry>) -> Self {
        let trie = PrefixTrie::new(entries.iter().map(|entry| entry.prefix));
        Self { entries, trie }
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
        let allows = |place: &u32| {
            self.entries.get(*place as usize).is_some_and(|entry| entry.allows_len(prefix.len()))
        };
        let mut first: Option<u32> = None;
        self.trie.covering(prefix, |places| {
            // The places of one prefix ascend, so the first that fits is its best.
            if let Some(place) = places.iter().copied().find(allows) {
                first = Some(first.map_or(place, |first| first.min(place)));
            }
        });
        first.map(|place| place as usize)
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

#[cfg(test)]
mod tests;
