use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::Prefix;

use super::NextHop;

/// Which learned prefixes have which next hop, of those whose way depends on whose address that is.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    hops: HashMap<Prefix, Arc<[NextHop]>>,
    prefixes: HashMap<IpAddr, BTreeSet<Prefix>>,
}

impl Dependents {
    /// A prefix has these next hops; none, where its way does not depend on them.
    pub(super) fn put(&mut self, prefix: Prefix, hops: Option<&Arc<[NextHop]>>) {
        if self.hops.get(&prefix) == hops {
            return;
        }
        let old = match hops {
            Some(hops) => self.hops.insert(prefix, Arc::clone(hops)),
            None => self.hops.remove(&prefix),
        };
        for hop in old.iter().flat_map(|hops| hops.iter()) {
            if let Some(prefixes) = self.prefixes.get_mut(&hop.address) {
                prefixes.remove(&prefix);
                if prefixes.is_empty() {
                    self.prefixes.remove(&hop.address);
                }
            }
        }
        for hop in hops.into_iter().flat_map(|hops| hops.iter()) {
            self.prefixes.entry(hop.address).or_default().insert(prefix);
        }
    }

    /// The prefixes with this next hop.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = Prefix> {
        self.prefixes.get(&address).into_iter().flatten().copied()
    }
}
