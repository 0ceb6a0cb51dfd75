//! How packets of pods travel between nodes: plain, in IP, in VXLAN, or encrypted by WireGuard.
//!
//! A pool's mode ([`cairn_api::kinds::encapsulations`]) decides for the prefixes inside it. A next hop that is a node of the cluster is
//! then reached through a tunnel device of this node, with the other node as a gateway on it: no device, no daemon and no
//! message is needed for each pair. The owner of a block is known from its BlockAffinity, so that an encapsulated pool
//! needs no BGP between nodes; where there is BGP, prefixes that no affinity names (borrowed addresses, anycast) are learned by it.
//!
//! Invariants:
//! - a route enters a tunnel only while its device exists: until then it stays what it was, through another tunnel or plain as learned;
//! - a node's MAC in VXLAN follows from its name, so that every node knows it without being told.
//!
//! Not here: devices, neighbours and forwarding entries in the kernel, and which address of a pool a tunnel has (both the shell's).

mod derive;
mod members;
mod network;
mod secured;
mod stated;
mod tunnel;
mod wireguard;

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_api::kinds::{EncapMode, Modes};
use cairn_net::{Family, Prefix};

pub use tunnel::{Encapsulation, HostTunnel, Tunnel, TunnelKind, TunnelPeer, TunnelPools, VxlanSettings};
pub use wireguard::{HostWireguard, OwnAddresses, WireguardPeer};

pub(crate) use derive::{Inputs, Wanted};
pub(crate) use members::{Member, Members};
pub(crate) use network::{Changes, Facts, Network};
pub(crate) use secured::Secured;
pub(crate) use wireguard::Encrypted;

use crate::route::Gateway;
use tunnel::gateway;

/// The two addresses that a node may have: IPv4, IPv6.
pub(crate) type Addresses = [Option<IpAddr>; 2];

/// All that decides about the way of a packet to another node.
#[derive(Debug, Default)]
pub(crate) struct Fabric {
    /// Pools with encapsulation, in the order of their names.
    pub(crate) pools: Vec<(Prefix, Modes)>,
    /// This node's own addresses.
    pub(crate) own: Addresses,
    /// The subnets that they are in; `None` where that is not known.
    pub(crate) subnets: [Option<Prefix>; 2],
    /// The other nodes.
    pub(crate) members: Members,
    /// The tunnel devices that can be used now, with the number of their interface.
    pub(crate) devices: BTreeMap<TunnelKind, u32>,
    /// What is encrypted; `None`: nothing.
    pub(crate) secured: Option<Secured>,
}

/// The prefixes whose way may depend on the fabric: in which, and exactly which.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) within: Vec<Prefix>,
    pub(crate) exactly: Vec<Prefix>,
}

/// The way to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the node's own routes say.
    Plain,
    /// Through a tunnel.
    Tunnel(Gateway),
    /// Through a tunnel whose device is not there.
    Missing,
}

/// The place of a family among [`Addresses`].
pub(crate) const fn slot(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}

impl Fabric {
    /// The modes of the encapsulated pool that a prefix is in.
    pub(crate) fn modes(&self, prefix: Prefix) -> Option<Modes> {
        self.pools.iter().find(|(cidr, _)| cidr.covers(prefix)).map(|(_, modes)| *modes)
    }

    /// The address by which a node is the next hop of a prefix of a family. An IPv4 route may have an IPv6 next hop.
    pub(crate) fn next_hop(&self, node: &str, family: Family) -> Option<IpAddr> {
        let [v4, v6] = self.members.get(node)?.addresses;
        match family {
            Family::Ipv4 => v4.or(v6),
            Family::Ipv6 => v6,
        }
    }

    /// The node whose block it is as a next hop, by whatever address it has.
    pub(crate) fn any_address(&self, node: &str) -> Option<IpAddr> {
        let [v4, v6] = self.members.get(node)?.addresses;
        v4.or(v6)
    }

    /// How packets of a family, of a pool with these modes, get to a next hop.
    pub(crate) fn way(&self, modes: Modes, family: Family, hop: IpAddr) -> Way {
        let Some((_, member)) = self.members.at(hop) else { return Way::Plain };
        let wanted = Encapsulation::ALL.into_iter().find(|kind| kind.mode(modes) != EncapMode::Never);
        let Some(wanted) = wanted else { return Way::Plain };
        let Some(outer) = self.outer(wanted, family, member) else { return Way::Missing };
        if wanted.mode(modes) == EncapMode::CrossSubnet && self.shares_subnet(member, outer) {
            return Way::Plain;
        }
        let through = |kind: Encapsulation| {
            let outer = self.outer(kind, family, member)?;
            let index = *self.devices.get(&kind.over(outer))?;
            let remote = member.addresses[slot(outer)]?;
            Some(Way::Tunnel(gateway(family, remote, member.mac, index)))
        };
        // While the wanted device is not there yet, a tunnel that is serves as before.
        let others = Encapsulation::ALL.into_iter().filter(|kind| *kind != wanted);
        std::iter::once(wanted).chain(others).find_map(through).unwrap_or(Way::Missing)
    }

    /// The family of the outer packets to a node: that of the inner ones where both nodes have it.
    pub(crate) fn outer(&self, kind: Encapsulation, inner: Family, member: &Member) -> Option<Family> {
        self.shared(kind, inner, member.addresses.map(|address| address.is_some()))
    }

    /// The same for a node with addresses of these families.
    fn shared(&self, kind: Encapsulation, inner: Family, theirs: [bool; 2]) -> Option<Family> {
        kind.outer_families(inner).find(|family| {
            let at = slot(*family);
            self.own[at].is_some() && theirs[at]
        })
    }

    /// The one node that all these next hops are, if it is one.
    pub(crate) fn sole(&self, mut hops: impl Iterator<Item = IpAddr>) -> Option<&str> {
        let name_at = |hop| self.members.at(hop).map(|(name, _)| name);
        let first = name_at(hops.next()?)?;
        hops.all(|hop| name_at(hop) == Some(first)).then_some(first)
    }

    /// May the way of a prefix depend on all this?
    pub(crate) fn concerns(&self, prefix: Prefix) -> bool {
        let secured = || self.secured.as_ref().is_some_and(|secured| secured.concerns(prefix));
        self.modes(prefix).is_some() || secured()
    }

    /// The prefixes that all this concerns.
    pub(crate) fn scope(&self) -> Scope {
        let mut scope =
            Scope { within: self.pools.iter().map(|(cidr, _)| *cidr).collect(), exactly: Vec::new() };
        if let Some(secured) = &self.secured {
            scope.within.extend(secured.pools());
            scope.exactly.extend(secured.statics());
            scope.exactly.extend(secured.refused_pools());
        }
        scope
    }

    fn shares_subnet(&self, member: &Member, family: Family) -> bool {
        let at = slot(family);
        match (self.subnets[at], member.addresses[at]) {
            (Some(subnet), Some(address)) => subnet.contains(address),
            _ => false,
        }
    }
}
