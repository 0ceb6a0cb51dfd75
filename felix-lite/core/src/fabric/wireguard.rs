//! Who is reached through WireGuard, and what of it belongs to whom.
//!
//! WireGuard is beside pools' encapsulations, not one of them: where it is on, what goes to the pods of a peer enters its device, whatever
//! mode their pool has. A peer is a node whose key is known, or a host outside of the cluster that an object describes whole. The
//! addresses behind a peer follow from its blocks and from what it alone announces; an address is behind one peer at most.
//!
//! What follows from the objects is in [`Secured`](super::secured::Secured).
//!
//! Invariants:
//! - a prefix is among a peer's addresses before a route leads to that peer, and for as long;
//! - where unencrypted packets are refused, no prefix of a pool has another way.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use cairn_api::WireguardKey;
use cairn_api::kinds::NodeConfiguration;
use cairn_net::{Family, Prefix};

use crate::route::Gateway;

/// Another node, or a host outside, to whom packets are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardPeer {
    /// Is it a node of the cluster, which learns of another key of this one by itself?
    pub is_node: bool,
    /// Its public key.
    pub key: WireguardKey,
    /// Where encrypted packets go.
    pub endpoint: SocketAddr,
    /// Seconds without a packet after which one is sent; 0: never.
    pub keepalive: u16,
    /// The addresses behind it.
    pub allowed: BTreeSet<Prefix>,
    /// Its own addresses that this node's packets go to through the tunnel, each with the one of this node that they come from. Unlike what is behind
    /// it they have another way: the one that encrypted packets take.
    pub own: Vec<OwnAddresses>,
}

/// The addresses of two nodes, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnAddresses {
    /// This node's.
    pub here: IpAddr,
    /// The other one's.
    pub there: IpAddr,
}

/// A WireGuard device of Cairn that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWireguard {
    /// This node's public key on it.
    pub key: WireguardKey,
    /// The keys of peers that routes may lead to: they answered, or had their time.
    pub ready: BTreeSet<WireguardKey>,
    /// The names of such peers. Routes stay when they have another key: packets wait until they have answered with it.
    pub known: BTreeSet<String>,
}

/// The way of a packet as far as encryption decides about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encrypted {
    /// Not at all.
    Unconcerned,
    /// Through the device.
    Through(Gateway),
    /// It may not be sent.
    Refused,
}

/// Is anything encrypted?
pub(super) fn is_on(configuration: &NodeConfiguration) -> bool {
    Family::ALL.into_iter().any(|family| is_on_for(configuration, family))
}

/// Is it for pods of a family?
pub(super) fn is_on_for(configuration: &NodeConfiguration, family: Family) -> bool {
    let field = match family {
        Family::Ipv4 => configuration.wireguard_enabled,
        Family::Ipv6 => configuration.wireguard_enabled_v6,
    };
    field.unwrap_or(false)
}

/// Is what nodes send to each other's own addresses encrypted, of a family?
pub(super) fn encrypts_nodes(configuration: &NodeConfiguration, family: Family) -> bool {
    is_on_for(configuration, family) && configuration.wireguard_host_encryption_enabled == Some(true)
}

pub(super) fn port(configuration: &NodeConfiguration) -> u16 {
    configuration.wireguard_listening_port.unwrap_or(NodeConfiguration::DEFAULT_WIREGUARD_PORT)
}
