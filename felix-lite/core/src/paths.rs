use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_net::{Family, Prefix};

use crate::fabric::slot;

/// The MTU of the path to each address of other nodes, and the least of them.
///
/// Cost: only paths that may have changed are looked for again.
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    paths: BTreeMap<IpAddr, Path>,
    /// How many paths of each family have an MTU.
    counts: [BTreeMap<u32, usize>; 2],
    /// Addresses whose path is to be looked for.
    unknown: BTreeSet<IpAddr>,
    is_news: bool,
}

#[derive(Debug, Default)]
struct Path {
    /// How many nodes say that the address is theirs.
    nodes: usize,
    mtu: Option<u32>,
}

impl PathTable {
    /// One more node has this address.
    pub(crate) fn add(&mut self, address: IpAddr) {
        self.paths.entry(address).or_default().nodes += 1;
        self.unknown.insert(address);
    }

    /// One node fewer has it.
    pub(crate) fn remove(&mut self, address: IpAddr) {
        let Some(path) = self.paths.get_mut(&address) else { return };
        path.nodes -= 1;
        if path.nodes > 0 {
            return;
        }
        let mtu = path.mtu;
        self.paths.remove(&address);
        self.unknown.remove(&address);
        self.count(address, mtu, None);
    }

    /// Paths to addresses in there may be others.
    pub(crate) fn expire_within(&mut self, prefix: Prefix) {
        let within = self.paths.range(prefix.addr()..=prefix.last());
        self.unknown.extend(within.map(|(address, _)| *address));
    }

    /// All paths may be others.
    pub(crate) fn expire(&mut self) {
        self.unknown.extend(self.paths.keys());
        self.is_news = true;
    }

    /// Looks for the paths that may have changed. True if the least MTUs may have, too.
    pub(crate) fn look_up(&mut self, mtu: impl Fn(IpAddr) -> Option<u32>) -> bool {
        for address in std::mem::take(&mut self.unknown) {
            let Some(path) = self.paths.get_mut(&address) else { continue };
            let new = mtu(address);
            let old = std::mem::replace(&mut path.mtu, new);
            self.count(address, old, new);
        }
        std::mem::take(&mut self.is_news)
    }

    /// The least, by family.
    pub(crate) fn least(&self) -> [Option<u32>; 2] {
        Family::ALL.map(|family| self.counts[slot(family)].keys().next().copied())
    }

    fn count(&mut self, address: IpAddr, old: Option<u32>, new: Option<u32>) {
        if old == new {
            return;
        }
        let before = self.least();
        let counts = &mut self.counts[slot(Family::of(address))];
        if let Some(new) = new {
            *counts.entry(new).or_insert(0) += 1;
        }
        if let Some(old) = old
            && let Some(count) = counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                counts.remove(&old);
            }
        }
        self.is_news |= self.least() != before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_least_path_counts_and_only_what_may_have_changed_is_looked_for() {
        let mut table = PathTable::default();
        for address in ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1"] {
            table.add(ip(address));
        }
        let by_subnet = |address| Some(if address == ip("198.51.100.1") { 1400 } else { 1500 });
        assert!(table.look_up(by_subnet));
        assert_eq!(table.least(), [Some(1400), Some(1500)]);
        assert!(!table.look_up(|address| panic!("{address} is known")));

        table.expire_within("198.51.100.0/24".parse().unwrap());
        let looked_for =
            |address| if address == ip("198.51.100.1") { Some(1300) } else { panic!("{address}") };
        assert!(table.look_up(looked_for));
        assert_eq!(table.least()[0], Some(1300));

        // Two nodes say that it is theirs.
        table.add(ip("198.51.100.1"));
        table.remove(ip("198.51.100.1"));
        table.look_up(looked_for);
        assert_eq!(table.least()[0], Some(1300));
        table.remove(ip("198.51.100.1"));
        assert!(table.look_up(looked_for));
        assert_eq!(table.least()[0], Some(1500));
        table.expire();
        assert!(table.look_up(|_| None));
        assert_eq!(table.least(), [None, None]);
    }
}
