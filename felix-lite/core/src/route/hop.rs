//! Next hops, and the links they are reached over.
//!
//! A next hop on a connected subnet is itself the gateway. Any other (an iBGP peer behind a router) is looked up
//! in the node's own routes and in the learned ones, longest prefix first, as a router resolves a recursive next
//! hop (RFC 4271 section 5.1.3): the gateway of what is found is used in its place, so that the kernel never needs
//! `onlink` nor a recursive route. A link-local one comes with its interface and is the gateway as it is. A next hop that only a route through itself would reach is unresolved, and routes
//! through it are not installed.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};

use crate::host::{Host, HostHop, HostRoute, is_global};

/// How many learned routes a resolution may pass through.
const DEPTH: usize = 4;

/// A router on a link of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    /// The router's address, on the link.
    pub address: IpAddr,
    /// Index of the interface.
    pub index: u32,
    /// Take it for a neighbour on the interface even if no route says so: on tunnels.
    pub onlink: bool,
}

impl Gateway {
    /// A router on a link.
    pub const fn on(address: IpAddr, index: u32) -> Self {
        Self { address, index, onlink: false }
    }
}

/// A next hop of a learned route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The router's address. Its family need not be that of the route (RFC 8950).
    pub address: IpAddr,
    /// Index of the interface, known where the address is link-local: such a router is on the link and needs no lookup.
    pub index: Option<u32>,
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        Self { address, index: None }
    }
}

/// Longest-prefix lookup over the node's own routes and the learned ones.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    host: HashMap<Prefix, Vec<HostHop>>,
    learned: HashMap<Prefix, Arc<[NextHop]>>,
    /// MTUs that the node's own routes say.
    mtus: HashMap<Prefix, u32>,
    /// How many host and learned prefixes have each length, by family.
    lengths: BTreeMap<(Family, u8), usize>,
}

impl Lookup {
    /// The node's own routes; of two to one prefix that with the lower metric.
    pub(super) fn replace_host(&mut self, host: &Host) {
        let mut best: HashMap<Prefix, &HostRoute> = HashMap::new();
        for route in &host.routes {
            let entry = best.entry(route.prefix).or_insert(route);
            if route.metric < entry.metric {
                *entry = route;
            }
        }
        self.mtus = best.iter().filter_map(|(prefix, route)| Some((*prefix, route.mtu?))).collect();
        let new: HashMap<Prefix, Vec<HostHop>> =
            best.into_iter().map(|(prefix, route)| (prefix, route.hops.clone())).collect();
        for prefix in std::mem::replace(&mut self.host, new).into_keys() {
            self.forget(prefix);
        }
        let prefixes: Vec<Prefix> = self.host.keys().copied().collect();
        for prefix in prefixes {
            self.count(prefix);
        }
    }

    /// The least MTU of the ways to an address, by their links and by what the node's own route to it says; `None` if nothing leads there.
    pub(super) fn path_mtu(&self, address: IpAddr, own: &Host) -> Option<u32> {
        let ways = self.resolve(address, own, &mut Vec::new());
        let links = ways.iter().filter_map(|way| Some(own.links.get(&way.index)?.mtu)).min()?;
        let family = Family::of(address);
        let lengths = self.lengths.range((family, 0)..=(family, family.bits())).rev();
        let mut prefixes = lengths.filter_map(|((_, len), _)| Prefix::containing(address, *len));
        let route =
            prefixes.find(|prefix| self.host.contains_key(prefix) || self.learned.contains_key(prefix));
        let said = route.and_then(|prefix| self.mtus.get(&prefix).copied());
        Some(said.map_or(links, |said| said.min(links)))
    }

    /// The next hops of a learned route, or none; gives those it had.
    pub(super) fn set_learned(
        &mut self,
        prefix: Prefix,
        hops: Option<Arc<[NextHop]>>,
    ) -> Option<Arc<[NextHop]>> {
        let is_some = hops.is_some();
        let old = match hops {
            Some(hops) => self.learned.insert(prefix, hops),
            None => self.learned.remove(&prefix),
        };
        match (&old, is_some) {
            (None, true) => self.count(prefix),
            (Some(_), false) => self.forget(prefix),
            _ => {}
        }
        old
    }

    /// The learned routes, in no order.
    pub(super) fn learned(&self) -> impl Iterator<Item = (Prefix, &Arc<[NextHop]>)> {
        self.learned.iter().map(|(prefix, hops)| (*prefix, hops))
    }

    /// The next hops of a learned route.
    pub(super) fn next_hops(&self, prefix: Prefix) -> Option<&Arc<[NextHop]>> {
        self.learned.get(&prefix)
    }

    fn count(&mut self, prefix: Prefix) {
        *self.lengths.entry((prefix.family(), prefix.len())).or_insert(0) += 1;
    }

    fn forget(&mut self, prefix: Prefix) {
        let key = (prefix.family(), prefix.len());
        if let Some(count) = self.lengths.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&key);
            }
        }
    }

    /// The gateways on links that a next hop leads to; empty if nothing does.
    pub(super) fn gateways(&self, hop: NextHop, own: &Host) -> Vec<Gateway> {
        self.reach(hop, own, &mut Vec::new())
    }

    fn reach(&self, hop: NextHop, own: &Host, path: &mut Vec<IpAddr>) -> Vec<Gateway> {
        match hop.index {
            Some(index) => vec![Gateway::on(hop.address, index)],
            None => self.resolve(hop.address, own, path),
        }
    }

    /// The gateways on links that reach an address; empty if nothing does.
    /// `path` holds the next hops on the way here, none of which may come again.
    fn resolve(&self, address: IpAddr, own: &Host, path: &mut Vec<IpAddr>) -> Vec<Gateway> {
        if own.has(address) || !is_global(address) || path.contains(&address) || path.len() >= DEPTH {
            return Vec::new();
        }
        path.push(address);
        let family = Family::of(address);
        let lengths = self.lengths.range((family, 0)..=(family, family.bits())).rev();
        let found = lengths
            .filter_map(|((_, len), _)| Prefix::containing(address, *len))
            .map(|prefix| self.through(prefix, address, own, path))
            .find(|gateways| !gateways.is_empty());
        path.pop();
        found.unwrap_or_default()
    }

    /// The gateways of the route of exactly this prefix.
    fn through(&self, prefix: Prefix, address: IpAddr, own: &Host, path: &mut Vec<IpAddr>) -> Vec<Gateway> {
        if let Some(hops) = self.host.get(&prefix) {
            let gateway = |hop: &HostHop| Gateway::on(hop.gateway.unwrap_or(address), hop.index);
            return hops.iter().map(gateway).collect();
        }
        match self.learned.get(&prefix) {
            Some(hops) if !own.is_own(prefix) => {
                hops.iter().flat_map(|hop| self.reach(*hop, own, path)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The distinct sets of next hops, shared by the routes that use them.
#[derive(Debug, Default)]
pub(super) struct Hops {
    sets: HashMap<Arc<[NextHop]>, Set>,
    /// How many sets name each next hop.
    users: BTreeMap<IpAddr, usize>,
    /// Prefixes that are learned with a set and take another way.
    spared: HashMap<Prefix, Arc<[NextHop]>>,
    unresolved_changed: bool,
}

#[derive(Debug, Default)]
struct Set {
    routes: usize,
    /// How many of them take another way.
    spared: usize,
    /// `None` until a route first asks.
    gateways: Option<Arc<[Gateway]>>,
    changed: bool,
}

impl Set {
    /// Is it known that no gateway is to be had? How many routes are told of that, and whether at all, changes with each that comes or goes.
    fn is_dead(&self) -> bool {
        self.gateways.as_ref().is_some_and(|gateways| gateways.is_empty())
    }
}

impl Hops {
    /// One more route uses this set of next hops.
    pub(super) fn acquire(&mut self, hops: &[NextHop]) -> Arc<[NextHop]> {
        let mut hops = hops.to_vec();
        hops.sort_unstable();
        hops.dedup();
        let hops: Arc<[NextHop]> = match self.sets.get_key_value(&*hops) {
            Some((known, _)) => Arc::clone(known),
            None => {
                for hop in &hops {
                    *self.users.entry(hop.address).or_insert(0) += 1;
                }
                hops.into()
            }
        };
        let set = self.sets.entry(Arc::clone(&hops)).or_default();
        set.routes += 1;
        self.unresolved_changed |= set.is_dead();
        hops
    }

    /// One route fewer uses it.
    pub(super) fn release(&mut self, hops: Option<&Arc<[NextHop]>>) {
        let Some(hops) = hops else { return };
        let Some(set) = self.sets.get_mut(hops) else { return };
        set.routes -= 1;
        self.unresolved_changed |= set.is_dead();
        if set.routes > 0 {
            return;
        }
        self.sets.remove(hops);
        for hop in &**hops {
            if let Some(users) = self.users.get_mut(&hop.address) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&hop.address);
                }
            }
        }
    }

    /// A prefix is learned with this set, but takes another way; none: it takes this way, or is not learned. To be said before its set is released.
    pub(super) fn spare(&mut self, prefix: Prefix, hops: Option<&Arc<[NextHop]>>) {
        if self.spared.get(&prefix) == hops {
            return;
        }
        let old = match hops {
            Some(hops) => self.spared.insert(prefix, Arc::clone(hops)),
            None => self.spared.remove(&prefix),
        };
        for (hops, less) in [(old.as_ref(), true), (hops, false)] {
            let Some(set) = hops.and_then(|hops| self.sets.get_mut(hops)) else { continue };
            set.spared = if less { set.spared - 1 } else { set.spared + 1 };
            self.unresolved_changed |= set.is_dead();
        }
    }

    /// Is any next hop inside the prefix?
    pub(super) fn any_within(&self, prefix: Prefix) -> bool {
        self.users.range(prefix.addr()..=prefix.last()).next().is_some()
    }

    /// The gateways of a set; `None` where no next hop of it is reachable.
    pub(super) fn gateways(
        &mut self,
        hops: &Arc<[NextHop]>,
        lookup: &Lookup,
        own: &Host,
    ) -> Option<Arc<[Gateway]>> {
        let set = self.sets.get_mut(hops)?;
        let gateways = match &set.gateways {
            Some(known) => known,
            None => {
                let found = resolve(hops, lookup, own);
                self.unresolved_changed |= found.is_empty();
                set.gateways.insert(found)
            }
        };
        (!gateways.is_empty()).then(|| Arc::clone(gateways))
    }

    /// Resolves every set that is in use again; true if any differs: see [`Self::has_changed`].
    pub(super) fn resolve_all(&mut self, lookup: &Lookup, own: &Host) -> bool {
        let mut any = false;
        for (hops, set) in &mut self.sets {
            let Some(before) = &set.gateways else {
                set.changed = false;
                continue;
            };
            let after = resolve(hops, lookup, own);
            set.changed = *before != after;
            any |= set.changed;
            if set.changed {
                self.unresolved_changed |= before.is_empty() != after.is_empty();
                set.gateways = Some(after);
            }
        }
        any
    }

    /// Did the last [`Self::resolve_all`] change the gateways of this set?
    pub(super) fn has_changed(&self, hops: &Arc<[NextHop]>) -> bool {
        self.sets.get(hops).is_some_and(|set| set.changed)
    }

    /// Did [`Self::unresolved`] change since the last time?
    pub(super) fn unresolved_changed(&mut self) -> bool {
        std::mem::take(&mut self.unresolved_changed)
    }

    /// Next hops of sets that have no gateway at all, and would be taken, in ascending order.
    pub(super) fn unresolved(&self) -> impl Iterator<Item = IpAddr> {
        let sets = self.sets.iter().filter(|(_, set)| set.routes > set.spared && set.is_dead());
        let hops: std::collections::BTreeSet<IpAddr> =
            sets.flat_map(|(hops, _)| hops.iter().map(|hop| hop.address)).collect();
        hops.into_iter()
    }
}

/// The gateways of all next hops of a set, ascending and without repetition.
fn resolve(hops: &[NextHop], lookup: &Lookup, own: &Host) -> Arc<[Gateway]> {
    let mut gateways: Vec<Gateway> = hops.iter().flat_map(|hop| lookup.gateways(*hop, own)).collect();
    gateways.sort_unstable();
    gateways.dedup();
    gateways.into()
}
