use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A desired table that remembers what its reader has seen, so that only net differences leave it.
///
/// A key that is set and removed between two readings leaves no trace, and neither does a value that returns to
/// what it was. Cost: O(1) per change, O(log n) in the number of unread changes.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, V> {
    now: HashMap<K, V>,
    /// For each key touched since the last reading, what the reader saw.
    seen: BTreeMap<K, Option<V>>,
}

/// What changed since the last reading, each list in the order of its keys.
#[derive(Debug)]
pub(crate) struct Difference<K, V> {
    /// Keys with their new value.
    pub(crate) set: Vec<(K, V)>,
    /// Keys that are gone, with the value that the reader saw.
    pub(crate) removed: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { now: HashMap::new(), seen: BTreeMap::new() }
    }
}

impl<K: Hash + Eq + Ord + Clone, V: PartialEq + Clone> Table<K, V> {
    /// Makes the value of a key this one, or removes the key.
    pub(crate) fn put(&mut self, key: &K, value: Option<V>) {
        if self.now.get(key) == value.as_ref() {
            return;
        }
        let old = match value {
            Some(value) => self.now.insert(key.clone(), value),
            None => self.now.remove(key),
        };
        self.seen.entry(key.clone()).or_insert(old);
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.now.get(key)
    }

    /// All keys and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.now.iter()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    /// Makes the whole table equal to these pairs.
    pub(crate) fn replace(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        let wanted: HashMap<K, V> = pairs.into_iter().collect();
        let gone: Vec<K> = self.now.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.put(&key, None);
        }
        for (key, value) in wanted {
            self.put(&key, Some(value));
        }
    }

    /// Reads what changed since the last reading.
    pub(crate) fn take(&mut self) -> Difference<K, V> {
        let mut difference = Difference { set: Vec::new(), removed: Vec::new() };
        for (key, seen) in std::mem::take(&mut self.seen) {
            match (self.now.get(&key), seen) {
                (Some(now), seen) if seen.as_ref() != Some(now) => difference.set.push((key, now.clone())),
                (None, Some(seen)) => difference.removed.push((key, seen)),
                _ => {}
            }
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_net_differences_leave_the_table() {
        let mut table = Table::default();
        table.put(&1, Some("a"));
        table.put(&2, Some("b"));
        table.put(&2, None);
        let first = table.take();
        assert_eq!((first.set, first.removed), (vec![(1, "a")], vec![]));

        table.put(&1, Some("c"));
        table.put(&1, Some("a"));
        table.put(&3, None);
        let second = table.take();
        assert_eq!((second.set, second.removed), (vec![], vec![]));

        table.replace([(3, "d")]);
        let third = table.take();
        assert_eq!((third.set, third.removed), (vec![(3, "d")], vec![(1, "a")]));
        assert_eq!((table.get(&3), table.len(), table.iter().count()), (Some(&"d"), 1, 1));
    }
}
