//! This node's kernel routes: pods, own blocks, blocks of other nodes in encapsulated pools, and what bgpd has learned.
//!
//! Invariants:
//! - one route per prefix; a pod on this node wins over an own block, which wins over the block of another node, which wins over a
//!   learned route;
//! - a learned route never takes over one of the node's own addresses or its connected subnets;
//! - next hops are resolved to a gateway on a link before the kernel sees them.
//!
//! Cost: one learned route or one endpoint is O(1). A change of the node's own routes, or of a learned route that
//! covers a next hop, resolves every distinct next hop again; only where a resolution changed are the learned
//! routes walked.
//!
//! Not here: nexthop object ids, which the kernel's side chooses.

mod hop;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_api::kinds::Modes;
use cairn_net::{Family, Prefix};

pub use hop::{Gateway, NextHop};
use hop::{Hops, Lookup};

use crate::fabric::{Fabric, Way};
use crate::host::Host;
use crate::table::{Difference, Table};

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To a pod: the host end of its veth pair.
    Interface(Arc<str>),
    /// Nowhere: an own block, so that a packet to an unassigned address does not loop.
    Blackhole,
    /// To other routers: one, or several of equal cost in ascending order.
    Gateways(Arc<[Gateway]>),
}

/// Desired routes with everything they follow from.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    host: Host,
    lookup: Lookup,
    pods: HashMap<IpAddr, Arc<str>>,
    blocks: BTreeSet<Prefix>,
    /// Blocks of other nodes, with their owners.
    owners: HashMap<Prefix, String>,
    fabric: Fabric,
    hops: Hops,
    desired: Table<Prefix, Route>,
    dirty: BTreeSet<Prefix>,
    /// Prefixes with a way through other routers that is not looked for yet: see [`Self::take`].
    undecided: BTreeSet<Prefix>,
    resolve: bool,
}

impl Routes {
    /// The node's own addresses and routes are now these.
    pub(crate) fn set_host(&mut self, host: Host) {
        if self.host.addresses != host.addresses {
            self.dirty.extend(self.lookup.learned().map(|(prefix, _)| prefix));
        }
        self.lookup.replace_host(&host);
        self.host = host;
        self.resolve = true;
    }

    /// The interface of a pod's address, or none.
    pub(crate) fn set_pod(&mut self, address: IpAddr, interface: Option<Arc<str>>) {
        match interface {
            Some(interface) => self.pods.insert(address, interface),
            None => self.pods.remove(&address),
        };
        self.dirty.insert(Prefix::host(address));
    }

    /// The node's own confirmed blocks.
    pub(crate) fn set_blocks(&mut self, blocks: BTreeSet<Prefix>) {
        self.dirty.extend(self.blocks.symmetric_difference(&blocks));
        self.blocks = blocks;
    }

    /// The best path's next hops for a prefix, or none.
    pub(crate) fn set_learned(&mut self, prefix: Prefix, next_hops: Option<&[NextHop]>) {
        let new = next_hops.filter(|hops| !hops.is_empty()).map(|hops| self.hops.acquire(hops));
        let differs = self.lookup.next_hops(prefix) != new.as_ref();
        let old = self.lookup.set_learned(prefix, new);
        self.hops.release(old.as_ref());
        if differs {
            self.resolve |= self.hops.any_within(prefix);
            self.dirty.insert(prefix);
        }
    }

    /// How packets travel between nodes is now this.
    pub(crate) fn set_fabric(&mut self, fabric: Fabric) {
        if self.fabric == fabric {
            return;
        }
        self.mark_encapsulated();
        self.fabric = fabric;
        self.mark_encapsulated();
    }

    /// The node that a block of others belongs to, or none.
    pub(crate) fn set_owner(&mut self, block: Prefix, owner: Option<String>) {
        match owner {
            Some(owner) => self.owners.insert(block, owner),
            None => self.owners.remove(&block),
        };
        self.dirty.insert(block);
    }

    /// The MTU of the path to an address in bytes; `None` if nothing leads there.
    pub(crate) fn path_mtu(&self, address: IpAddr) -> Option<u32> {
        self.lookup.path_mtu(address, &self.host)
    }

    /// Has anything changed since the last [`Self::take`] that next hops, or the paths to other nodes, follow from?
    pub(crate) const fn will_resolve(&self) -> bool {
        self.resolve
    }

    /// Prefixes learned from bgpd.
    pub(crate) fn learned(&self) -> impl Iterator<Item = Prefix> {
        self.lookup.learned().map(|(prefix, _)| prefix)
    }

    /// The next hops that a prefix was learned with.
    pub(crate) fn next_hops(&self, prefix: Prefix) -> Option<&[NextHop]> {
        self.lookup.next_hops(prefix).map(|hops| &**hops)
    }

    /// Did [`Self::unresolved`] change since the last time?
    pub(crate) fn unresolved_changed(&mut self) -> bool {
        self.hops.unresolved_changed()
    }

    /// Next hops that lead nowhere.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = IpAddr> {
        self.hops.unresolved()
    }

    /// How many routes are desired.
    pub(crate) fn len(&self) -> usize {
        self.desired.len()
    }

    /// Brings the desired routes up to date and tells what changed since the last time. With `undecided` only as far as they lead to this
    /// node's pods and blocks: the others stay what they were, and are caught up with once it is over.
    pub(crate) fn take(&mut self, undecided: bool) -> Difference<Prefix, Route> {
        if !undecided {
            self.dirty.append(&mut self.undecided);
        }
        if std::mem::take(&mut self.resolve) {
            if self.hops.resolve_all(&self.lookup, &self.host) {
                let moved = self.lookup.learned().filter(|(_, hops)| self.hops.has_changed(hops));
                self.dirty.extend(moved.map(|(prefix, _)| prefix));
            }
            self.mark_encapsulated();
        }
        for prefix in std::mem::take(&mut self.dirty) {
            let mut route = self.local(prefix);
            if route.is_none() && undecided {
                self.undecided.insert(prefix);
                if matches!(self.desired.get(&prefix), Some(Route::Gateways(_))) {
                    continue;
                }
            } else if route.is_none() {
                route = self.away(prefix);
            }
            self.desired.put(&prefix, route);
        }
        self.desired.take()
    }

    /// The gateways of a prefix in an encapsulated pool. `None` where nothing is known of it but what was learned, and no hop of that is
    /// reached through a tunnel: then it is a route like any other.
    fn between_nodes(&self, prefix: Prefix, modes: Modes) -> Option<Arc<[Gateway]>> {
        let family = prefix.family();
        // The owner is known, whoever announces the block: a ToR would be no end of a tunnel.
        if let Some(owner) = self.owners.get(&prefix)
            && let Some(hop) = self.fabric.next_hop(owner, family).or_else(|| self.fabric.any_address(owner))
        {
            let gateways = match self.fabric.way(modes, family, hop) {
                Way::Tunnel(gateway) => vec![gateway],
                Way::Plain if family == Family::Ipv6 && hop.is_ipv4() => Vec::new(),
                Way::Plain => self.lookup.gateways(hop.into(), &self.host),
                Way::Missing => Vec::new(),
            };
            return (!gateways.is_empty()).then(|| gateways.into());
        }
        let hops = self.lookup.next_hops(prefix)?;
        let ways: Vec<Way> = hops.iter().map(|hop| self.fabric.way(modes, family, hop.address)).collect();
        if !ways.iter().any(|way| matches!(way, Way::Tunnel(_))) {
            return None;
        }
        let mut gateways: Vec<Gateway> = Vec::with_capacity(hops.len());
        for (hop, way) in hops.iter().zip(ways) {
            match way {
                Way::Tunnel(gateway) => gateways.push(gateway),
                Way::Plain | Way::Missing => gateways.extend(self.lookup.gateways(*hop, &self.host)),
            }
        }
        gateways.sort_unstable();
        gateways.dedup();
        Some(gateways.into())
    }

    /// Every prefix whose way may depend on the fabric is looked at again.
    fn mark_encapsulated(&mut self) {
        if self.fabric.pools.is_empty() {
            return;
        }
        let known = self.owners.keys().copied().chain(self.lookup.learned().map(|(prefix, _)| prefix));
        let fabric = &self.fabric;
        self.dirty.extend(known.filter(|prefix| fabric.modes(*prefix).is_some()));
    }

    /// The route of a prefix that is at home here.
    fn local(&self, prefix: Prefix) -> Option<Route> {
        if prefix.is_host()
            && let Some(interface) = self.pods.get(&prefix.addr())
        {
            return Some(Route::Interface(Arc::clone(interface)));
        }
        self.blocks.contains(&prefix).then_some(Route::Blackhole)
    }

    /// The route of a prefix that is at home elsewhere.
    fn away(&mut self, prefix: Prefix) -> Option<Route> {
        if self.host.is_own(prefix) {
            return None;
        }
        if let Some(modes) = self.fabric.modes(prefix)
            && let Some(gateways) = self.between_nodes(prefix, modes)
        {
            return Some(Route::Gateways(gateways));
        }
        let hops = self.lookup.next_hops(prefix)?;
        self.hops.gateways(hops, &self.lookup, &self.host).map(Route::Gateways)
    }
}
