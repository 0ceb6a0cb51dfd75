use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Who claims what; of several who claim one thing, the first by name has it.
///
/// Cost: that of the one claim, in the number of those who claim the same.
#[derive(Debug)]
pub(crate) struct Claims<K>(HashMap<K, Vec<Arc<str>>>);

impl<K> Default for Claims<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Claims<K> {
    /// One more claims it.
    pub(crate) fn insert(&mut self, key: K, name: &Arc<str>) {
        // Nearly always there is one, and its list takes no more than that.
        let names = self.0.entry(key).or_insert_with(|| Vec::with_capacity(1));
        if let Err(at) = names.binary_search(name) {
            names.insert(at, Arc::clone(name));
        }
    }

    /// One claims it no longer.
    pub(crate) fn remove(&mut self, key: &K, name: &Arc<str>) {
        let Some(names) = self.0.get_mut(key) else { return };
        names.retain(|known| known != name);
        if names.is_empty() {
            self.0.remove(key);
        }
    }

    /// Who has it.
    pub(crate) fn holder(&self, key: &K) -> Option<&Arc<str>> {
        self.0.get(key)?.first()
    }

    /// Is it this one's?
    pub(crate) fn is_of(&self, key: &K, name: &str) -> bool {
        self.holder(key).is_some_and(|holder| **holder == *name)
    }

    /// All who claim it, in the order of their names.
    pub(crate) fn claimants(&self, key: &K) -> &[Arc<str>] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// All that is claimed, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_by_name_has_it_whoever_came_first() {
        let [a, b, c]: [Arc<str>; 3] = ["a", "b", "c"].map(Into::into);
        let mut claims = Claims::default();
        claims.insert(1, &c);
        claims.insert(1, &a);
        claims.insert(1, &b);
        claims.insert(1, &b);
        assert_eq!((claims.holder(&1), claims.claimants(&1).len()), (Some(&a), 3));
        claims.remove(&1, &a);
        assert!(claims.is_of(&1, "b") && !claims.is_of(&1, "a"));
        claims.remove(&1, &b);
        claims.remove(&1, &c);
        claims.remove(&1, &c);
        assert_eq!((claims.holder(&1), claims.claimants(&1), claims.keys().count()), (None, &[][..], 0));
    }
}
