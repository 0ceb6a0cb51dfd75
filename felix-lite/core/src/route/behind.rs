use std::collections::{BTreeMap, BTreeSet, HashMap};

use cairn_net::Prefix;

/// Which prefixes belong to whom, of those to whom packets are encrypted.
#[derive(Debug, Default)]
pub(super) struct Behind {
    owner: HashMap<Prefix, String>,
    pub(super) prefixes: BTreeMap<String, BTreeSet<Prefix>>,
    /// Whose prefixes changed since they were read.
    pub(super) changed: BTreeSet<String>,
}

impl Behind {
    /// A prefix belongs to somebody, or to nobody of them.
    pub(super) fn put(&mut self, prefix: Prefix, owner: Option<String>) {
        if self.owner.get(&prefix) == owner.as_ref() {
            return;
        }
        if let Some(old) = self.owner.remove(&prefix)
            && let Some(prefixes) = self.prefixes.get_mut(&old)
        {
            prefixes.remove(&prefix);
            if prefixes.is_empty() {
                self.prefixes.remove(&old);
            }
            self.changed.insert(old);
        }
        if let Some(owner) = owner {
            self.prefixes.entry(owner.clone()).or_default().insert(prefix);
            self.changed.insert(owner.clone());
            self.owner.insert(prefix, owner);
        }
    }
}
