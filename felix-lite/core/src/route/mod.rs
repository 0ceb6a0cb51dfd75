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
//! routes walked. A change of another node looks at its blocks and at what is learned from it.
//!
//! Not here: nexthop object ids, which the kernel's side chooses.

mod behind;
mod dependents;
mod hop;
mod spread;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_api::kinds::Modes;
use cairn_net::{Family, Prefix};

use behind::Behind;
use dependents::Dependents;
pub use hop::{Gateway, NextHop};
use hop::{Hops, Lookup};
use spread::Spread;

use crate::fabric::{Encrypted, Fabric, Scope, TunnelKind, Way, WireguardPeer};
use crate::host::Host;
use crate::table::{Difference, Table};

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To a pod: the host end of its veth pair.
    Interface(Arc<str>),
    /// Nowhere: an own block, so that a packet to an unassigned address does not loop.
    Blackhole,
    /// Nowhere, and the sender is told: what may not be sent unencrypted.
    Unreachable,
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
    /// Addresses of egress gateways that this node has: what comes for them and is no answer goes nowhere.
    held: BTreeSet<Prefix>,
    /// Blocks of other nodes, with their owners.
    owners: HashMap<Prefix, Arc<str>>,
    blocks_of: HashMap<Arc<str>, BTreeSet<Prefix>>,
    hops: Hops,
    dependents: Dependents,
    desired: Table<Prefix, Route>,
    /// Of IPv4 routes.
    spread: Spread,
    dirty: BTreeSet<Prefix>,
    /// Prefixes with a way through other routers that is not looked for yet: see [`Self::take`].
    undecided: BTreeSet<Prefix>,
    resolve: bool,
    behind: Behind,
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

    /// The addresses of egress gateways that this node has.
    pub(crate) fn set_held(&mut self, held: BTreeSet<Prefix>) {
        self.dirty.extend(self.held.symmetric_difference(&held));
        self.held = held;
    }

    /// A node with an address on a link of this one.
    pub(crate) fn neighbour(&self, address: IpAddr) -> Option<Gateway> {
        let gateways = self.lookup.gateways(address.into(), &self.host);
        gateways.into_iter().find(|gateway| gateway.address == address)
    }

    /// The best path's next hops for a prefix, or none.
    pub(crate) fn set_learned(&mut self, prefix: Prefix, next_hops: Option<&[NextHop]>) {
        let new = next_hops.filter(|hops| !hops.is_empty()).map(|hops| self.hops.acquire(hops));
        let differs = self.lookup.next_hops(prefix) != new.as_ref();
        let old = self.lookup.set_learned(prefix, new);
        if differs {
            self.hops.spare(prefix, None);
        }
        self.hops.release(old.as_ref());
        if differs {
            self.resolve |= self.hops.any_within(prefix);
            self.dirty.insert(prefix);
        }
    }

    /// The node that a block of others belongs to, or none.
    pub(crate) fn set_owner(&mut self, block: Prefix, owner: Option<String>) {
        let owner = owner.map(|owner| match self.blocks_of.get_key_value(owner.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => owner.into(),
        });
        if let Some(owner) = &owner {
            self.blocks_of.entry(Arc::clone(owner)).or_default().insert(block);
        }
        let old = match owner.clone() {
            Some(owner) => self.owners.insert(block, owner),
            None => self.owners.remove(&block),
        };
        if let Some(old) = old.filter(|old| Some(old) != owner.as_ref())
            && let Some(blocks) = self.blocks_of.get_mut(&old)
        {
            blocks.remove(&block);
            if blocks.is_empty() {
                self.blocks_of.remove(&old);
            }
        }
        self.dirty.insert(block);
    }

    /// Another node has other addresses, or packets to it take another way: what is its own is looked at again.
    pub(crate) fn mark_node(&mut self, name: &str) {
        self.dirty.extend(self.blocks_of.get(name).into_iter().flatten());
        self.dirty.extend(self.behind.prefixes.get(name).into_iter().flatten());
    }

    /// An address belongs to another node than before: what is reached through it is looked at again.
    pub(crate) fn mark_hop(&mut self, address: IpAddr) {
        self.dirty.extend(self.dependents.of(address));
    }

    /// These are looked at again.
    pub(crate) fn mark(&mut self, prefixes: impl IntoIterator<Item = Prefix>) {
        self.dirty.extend(prefixes);
    }

    /// All that the fabric concerns, or concerned, is looked at again.
    pub(crate) fn mark_scope(&mut self, scope: &Scope) {
        if !scope.within.is_empty() {
            let known = self.owners.keys().copied().chain(self.lookup.learned().map(|(prefix, _)| prefix));
            let within = |prefix: &Prefix| scope.within.iter().any(|cidr| cidr.covers(*prefix));
            self.dirty.extend(known.filter(within));
        }
        self.dirty.extend(&scope.exactly);
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

    /// The links of IPv4 routes that lead over several of them.
    pub(crate) fn spread(&self) -> impl Iterator<Item = u32> {
        self.spread.links()
    }

    /// Did [`Self::spread`] change since the last time?
    pub(crate) fn spread_changed(&mut self) -> bool {
        self.spread.changed()
    }

    /// How many routes are desired.
    pub(crate) fn len(&self) -> usize {
        self.desired.len()
    }

    /// Brings the desired routes up to date and tells what changed since the last time. With `undecided` only as far as they lead to this
    /// node's pods and blocks: the others stay what they were, and are caught up with once it is over.
    pub(crate) fn take(&mut self, fabric: &Fabric, undecided: bool) -> Difference<Prefix, Route> {
        if !undecided {
            self.dirty.append(&mut self.undecided);
        }
        if std::mem::take(&mut self.resolve) {
            if self.hops.resolve_all(&self.lookup, &self.host) {
                let moved = self.lookup.learned().filter(|(_, hops)| self.hops.has_changed(hops));
                self.dirty.extend(moved.map(|(prefix, _)| prefix));
            }
            self.mark_scope(&fabric.scope());
        }
        for prefix in std::mem::take(&mut self.dirty) {
            let mut route = self.local(prefix);
            let mut spared = true;
            if route.is_none() && undecided {
                self.undecided.insert(prefix);
                if matches!(self.desired.get(&prefix), Some(Route::Gateways(_) | Route::Unreachable)) {
                    continue;
                }
            } else if route.is_none() {
                (route, spared) = self.away(fabric, prefix);
            }
            if prefix.family() == Family::Ipv4 {
                self.spread.put(self.desired.get(&prefix), route.as_ref());
            }
            self.desired.put(&prefix, route);
            let hops = self.lookup.next_hops(prefix);
            self.hops.spare(prefix, hops.filter(|_| spared));
            self.dependents.put(prefix, hops.filter(|_| fabric.concerns(prefix)));
            let peer = fabric.secured.as_ref().filter(|_| !self.is_ours(prefix));
            let peer = peer.and_then(|secured| secured.peer(prefix, self.node_of(fabric, prefix)));
            let peer = peer.map(ToOwned::to_owned);
            self.behind.put(prefix, peer);
        }
        self.desired.take()
    }

    /// Those whose prefixes changed since the last time.
    pub(crate) fn take_peers(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.behind.changed)
    }

    /// Somebody to whom packets are encrypted, with all that is behind him.
    pub(crate) fn peer(&self, fabric: &Fabric, name: &str) -> Option<WireguardPeer> {
        let prefixes = self.behind.prefixes.get(name).cloned().unwrap_or_default();
        fabric.secured.as_ref()?.peer_with(name, prefixes)
    }

    /// Is it a pod's or a block of this node, or the node's own?
    fn is_ours(&self, prefix: Prefix) -> bool {
        let pod = prefix.is_host() && self.pods.contains_key(&prefix.addr());
        pod || self.blocks.contains(&prefix) || self.host.is_own(prefix)
    }

    /// The one other node that a prefix belongs to: whose block it is, else who alone announces it.
    fn node_of<'a>(&'a self, fabric: &'a Fabric, prefix: Prefix) -> Option<&'a str> {
        let learned = || fabric.sole(self.lookup.next_hops(prefix)?.iter().map(|hop| hop.address));
        self.owners.get(&prefix).map(|owner| &**owner).or_else(learned)
    }

    /// What encryption says of the way of a prefix.
    fn encrypted(&self, fabric: &Fabric, prefix: Prefix) -> Encrypted {
        let Some(secured) = &fabric.secured else { return Encrypted::Unconcerned };
        let node = self.node_of(fabric, prefix);
        let is_known = node.is_some()
            || self.lookup.next_hops(prefix).is_some()
            || secured.is_static(prefix)
            || secured.refused_pools().contains(&prefix);
        if !is_known {
            return Encrypted::Unconcerned;
        }
        secured.way(prefix, node, fabric.devices.get(&TunnelKind::Wireguard).copied())
    }

    /// The gateways of a prefix in an encapsulated pool. `None` where nothing is known of it but what was learned, and no hop of that is
    /// reached through a tunnel: then it is a route like any other.
    fn between_nodes(&self, fabric: &Fabric, prefix: Prefix, modes: Modes) -> Option<Arc<[Gateway]>> {
        let family = prefix.family();
        // The owner is known, whoever announces the block: a ToR would be no end of a tunnel.
        if let Some(owner) = self.owners.get(&prefix)
            && let Some(hop) = fabric.next_hop(owner, family).or_else(|| fabric.any_address(owner))
        {
            let gateways = match fabric.way(modes, family, hop) {
                Way::Tunnel(gateway) => vec![gateway],
                Way::Plain if family == Family::Ipv6 && hop.is_ipv4() => Vec::new(),
                Way::Plain => self.lookup.gateways(hop.into(), &self.host),
                Way::Missing => Vec::new(),
            };
            return (!gateways.is_empty()).then(|| gateways.into());
        }
        let hops = self.lookup.next_hops(prefix)?;
        let ways: Vec<Way> = hops.iter().map(|hop| fabric.way(modes, family, hop.address)).collect();
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

    /// The route of a prefix that is at home here.
    fn local(&self, prefix: Prefix) -> Option<Route> {
        if prefix.is_host()
            && let Some(interface) = self.pods.get(&prefix.addr())
        {
            return Some(Route::Interface(Arc::clone(interface)));
        }
        (self.blocks.contains(&prefix) || self.held.contains(&prefix)).then_some(Route::Blackhole)
    }

    /// The route of a prefix that is at home elsewhere, and whether it is another one than what was learned says.
    fn away(&mut self, fabric: &Fabric, prefix: Prefix) -> (Option<Route>, bool) {
        if self.host.is_own(prefix) {
            return (None, true);
        }
        match self.encrypted(fabric, prefix) {
            Encrypted::Through(gateway) => return (Some(Route::Gateways([gateway].into())), true),
            Encrypted::Refused => return (Some(Route::Unreachable), true),
            Encrypted::Unconcerned => {}
        }
        if let Some(modes) = fabric.modes(prefix)
            && let Some(gateways) = self.between_nodes(fabric, prefix, modes)
        {
            return (Some(Route::Gateways(gateways)), true);
        }
        let hops = self.lookup.next_hops(prefix);
        let gateways = hops.and_then(|hops| self.hops.gateways(hops, &self.lookup, &self.host));
        (gateways.map(Route::Gateways), false)
    }
}
