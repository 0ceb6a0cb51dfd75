//! What the kernel of this node has besides Cairn's own objects: addresses, routes and MTUs; and the tunnel
//! devices of Cairn's, because routes name them by number.
//!
//! Not here: interfaces of pods, and routes of Cairn's own protocol; the shell leaves them out, so that a pod's
//! coming and going never touches this.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_api::kinds::AttachmentMode;
use cairn_net::{Family, Mac, Prefix};

use crate::{HostTunnel, HostWireguard, TunnelKind};

/// An address of one of the node's interfaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its subnet in bits.
    pub prefix_len: u8,
    /// The interface's name.
    pub interface: String,
}

impl HostAddress {
    /// The subnet that the address is in, its host bits cleared.
    pub fn subnet(&self) -> Prefix {
        Prefix::containing(self.address, self.prefix_len).unwrap_or_else(|| Prefix::host(self.address))
    }
}

/// A unicast route of the main table that somebody else made: connected, static, DHCP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRoute {
    /// Destination.
    pub prefix: Prefix,
    /// The metric: of two routes to one destination the lower is used.
    pub metric: u32,
    /// Where it leads; several where it is a multipath route.
    pub hops: Vec<HostHop>,
    /// The MTU of the path in bytes, where the route says so.
    pub mtu: Option<u32>,
}

/// One way of a [`HostRoute`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostHop {
    /// The router; `None` where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Index of the outgoing interface.
    pub index: u32,
}

/// Addresses and routes of this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Every address of every interface but pods'.
    pub addresses: Vec<HostAddress>,
    /// Addresses of the loopback interface that others may know the node by.
    pub loopback: Vec<IpAddr>,
    /// Every unicast route of the main table but Cairn's.
    pub routes: Vec<HostRoute>,
    /// Every interface but pods', tunnels and the loopback, by number.
    pub links: BTreeMap<u32, HostLink>,
    /// Cairn's tunnel devices that can be used.
    pub tunnels: BTreeMap<TunnelKind, HostTunnel>,
    /// What is known of those of WireGuard besides.
    pub wireguard: BTreeMap<TunnelKind, HostWireguard>,
    /// Attachments whose driver was asked for and is not there.
    pub lacking: BTreeSet<AttachmentMode>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostLink {
    /// Its name.
    pub name: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// What it is a port of, as the kernel calls such: `bridge`, `bond`, `vrf` ...
    pub master: Option<String>,
    /// Is it wireless?
    pub wireless: bool,
    /// Is its reverse path filter strict? Then it drops IPv4 packets whose answers would leave by another interface.
    pub strict: bool,
}

impl Host {
    /// Is it an address of one of this node's links?
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// Is what is sent to this address received by this node?
    pub fn receives(&self, address: IpAddr) -> bool {
        self.has(address) || self.loopback.contains(&address)
    }

    /// Would a route to this prefix take over the node's own address, or the subnet around it?
    /// A wider prefix, such as a default route, does not.
    pub fn is_own(&self, prefix: Prefix) -> bool {
        self.addresses.iter().any(|own| prefix.contains(own.address) && prefix.len() >= own.prefix_len)
    }

    /// The first address of a family that is fit for a session with another node.
    pub fn global_address(&self, family: Family) -> Option<IpAddr> {
        self.addresses
            .iter()
            .map(|own| own.address)
            .find(|address| Family::of(*address) == family && is_global(*address))
    }
}

/// Neither loopback, link-local, multicast nor unspecified.
pub(crate) fn is_global(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_multicast() || address.is_unspecified() || link_local)
}
