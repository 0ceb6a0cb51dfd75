//! The kernel's routes, for lookups.

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};
use foldhash::HashMap;

use super::Gateway;

/// A route of the kernel: of several to one prefix the one that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRoute {
    /// Its metric, or priority: of several routes the lowest is used.
    pub metric: u32,
    /// Who made it (`rtm_protocol`).
    pub protocol: u8,
    /// What becomes of packets.
    pub target: KernelTarget,
}

/// What a route of the kernel does with packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelTarget {
    /// They go to one of these: at least one, ascending and each once.
    Gateways(Arc<[Gateway]>),
    /// They are dropped without a word.
    Blackhole,
    /// They are refused, and their sender is told so (`unreachable`, `prohibit`).
    Refused,
}

/// The kernel's routes without those that BGP made, one for each prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelTable {
    routes: HashMap<Prefix, KernelRoute>,
    /// How many prefixes have each length, by family.
    lengths: [LengthCounts; 2],
}

/// A count for each length of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LengthCounts([u32; 129]);

impl Default for LengthCounts {
    fn default() -> Self {
        Self([0; 129])
    }
}

impl KernelTable {
    /// Sets the route to a prefix, or takes it away. True if that is news.
    pub fn set(&mut self, prefix: Prefix, route: Option<KernelRoute>) -> bool {
        let count = &mut self.lengths[prefix.family() as usize].0[usize::from(prefix.len())];
        match route {
            Some(route) => match self.routes.insert(prefix, route) {
                None => {
                    *count += 1;
                    true
                }
                Some(old) => self.routes.get(&prefix) != Some(&old),
            },
            None => {
                let known = self.routes.remove(&prefix).is_some();
                *count -= u32::from(known);
                known
            }
        }
    }

    /// The route to exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&KernelRoute> {
        self.routes.get(&prefix)
    }

    /// How many routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// All routes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &KernelRoute)> {
        self.routes.iter().map(|(prefix, route)| (*prefix, route))
    }

    /// The route to the prefix of this length around an address.
    pub(super) fn of_length(&self, address: IpAddr, prefix: Prefix) -> Option<&KernelRoute> {
        let lengths = &self.lengths[Family::of(address) as usize].0;
        (lengths[usize::from(prefix.len())] > 0).then(|| self.routes.get(&prefix)).flatten()
    }
}

impl FromIterator<(Prefix, KernelRoute)> for KernelTable {
    fn from_iter<T: IntoIterator<Item = (Prefix, KernelRoute)>>(routes: T) -> Self {
        let mut table = Self::default();
        for (prefix, route) in routes {
            table.set(prefix, Some(route));
        }
        table
    }
}
