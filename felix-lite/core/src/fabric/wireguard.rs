//! Who is reached through WireGuard, and what of it belongs to whom.
//!
//! WireGuard is beside pools' encapsulations, not one of them: where it is on, what goes to the pods of a peer enters its device, whatever
//! mode their pool has. A peer is a node whose key is known, or a host outside of the cluster that an object describes whole. The
//! addresses behind a peer follow from its blocks and from what it alone announces; an address is behind one peer at most.
//!
//! Invariants:
//! - a prefix is among a peer's addresses before a route leads to that peer, and for as long;
//! - where unencrypted packets are refused, no prefix of a pool has another way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use cairn_api::WireguardKey;
use cairn_api::kinds::{NodeConfiguration, UnencryptedPeers};
use cairn_net::{Family, Mac, Prefix};

use super::derive::Inputs;
use super::tunnel::{TunnelKind, gateway, mac_of};
use super::{Addresses, Fabric, slot};
use crate::condition::{Condition, Reason};
use crate::route::Gateway;

/// Another node, or a host outside, to whom packets are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardPeer {
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

/// All that decides about encryption.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Secured {
    /// Pools whose packets are encrypted.
    pools: Vec<Prefix>,
    /// What has no other way is refused.
    refuse: bool,
    /// This node's addresses of the families whose packets between nodes are encrypted.
    own: Addresses,
    /// Addresses that an object says to be behind a peer.
    statics: BTreeMap<Prefix, String>,
    /// Everybody whose key is known, by name.
    peers: HashMap<String, Known>,
    /// Seconds.
    keepalive: u16,
    /// Keys and names of peers that routes may lead to.
    ready: BTreeSet<WireguardKey>,
    known: BTreeSet<String>,
}

/// A peer without the addresses behind it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    key: WireguardKey,
    endpoint: SocketAddr,
    mac: Mac,
    /// Its own, if it is a node.
    addresses: Addresses,
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
fn encrypts_nodes(configuration: &NodeConfiguration, family: Family) -> bool {
    is_on_for(configuration, family) && configuration.wireguard_host_encryption_enabled == Some(true)
}

pub(super) fn port(configuration: &NodeConfiguration) -> u16 {
    configuration.wireguard_listening_port.unwrap_or(NodeConfiguration::DEFAULT_WIREGUARD_PORT)
}

impl Secured {
    /// What follows, with what is wrong.
    pub(super) fn of(inputs: Inputs<'_>, fabric: &Fabric, conditions: &mut Vec<Condition>) -> Self {
        let configuration = inputs.configuration;
        let cidrs = inputs.pools.values().map(|pool| pool.spec.cidr);
        let cidrs = cidrs.filter(|cidr| !inputs.passing.contains(cidr));
        let keepalive = configuration.wireguard_keep_alive.map_or(0, |time| time.get().as_secs());
        let host = inputs.host.wireguard.get(&TunnelKind::Wireguard);
        let mut secured = Self {
            pools: cidrs.filter(|cidr| is_on_for(configuration, cidr.family())).collect(),
            refuse: configuration.wireguard_unencrypted_peers == Some(UnencryptedPeers::Refuse),
            own: Family::ALL
                .map(|family| fabric.own[slot(family)].filter(|_| encrypts_nodes(configuration, family))),
            keepalive: u16::try_from(keepalive).unwrap_or(u16::MAX),
            ready: host.map(|host| host.ready.clone()).unwrap_or_default(),
            known: host.map(|host| host.known.clone()).unwrap_or_default(),
            ..Self::default()
        };
        let mut report = |name: &str, reason, message| {
            conditions.push(Condition { subject: format!("WireguardPeer/{name}"), reason, message });
        };
        let mut owners: HashMap<WireguardKey, &str> = HashMap::new();
        if let Some(host) = host {
            owners.insert(host.key, inputs.node);
        }
        for (name, peer) in inputs.wireguard.iter().filter(|(name, _)| *name != inputs.node) {
            let key = peer.spec.public_key;
            if let Some(other) = owners.insert(key, name) {
                owners.insert(key, other);
                let message = format!("its key is that of {other}, too: nothing is encrypted to it");
                report(name, Reason::Ambiguous, message);
                continue;
            }
            let member = fabric.nodes.get(name);
            let address = member.and_then(|member| endpoint_address(&fabric.own, &member.addresses));
            let endpoint = peer.spec.endpoint;
            let Some(endpoint) = endpoint.or(address.map(|ip| SocketAddr::new(ip, port(configuration))))
            else {
                let message = "neither spec.endpoint nor a Node of this name with an address of a family that this node has: \
                               nothing is encrypted to it";
                report(name, Reason::AddressUnknown, message.to_owned());
                continue;
            };
            let addresses = member.map(|member| member.addresses).unwrap_or_default();
            secured.peers.insert(name.clone(), Known { key, endpoint, mac: mac_of(name), addresses });
            for prefix in &peer.spec.allowed_ips {
                if let Some(other) = secured.statics.get(prefix) {
                    let message = format!("spec.allowedIPs: {prefix} is behind {other}, too: it stays there");
                    report(name, Reason::Ambiguous, message);
                } else {
                    secured.statics.insert(*prefix, name.clone());
                }
            }
        }
        let bare: Vec<&str> = fabric
            .nodes
            .keys()
            .filter(|name| !secured.peers.contains_key(*name))
            .map(String::as_str)
            .collect();
        conditions.extend(unencrypted(inputs.node, bare, secured.refuse));
        secured
    }

    /// Is any encrypted packet to another host of IPv6?
    pub(super) fn outer(&self, own: &Addresses) -> Family {
        let any_v6 = self.peers.values().any(|peer| peer.endpoint.is_ipv6());
        if any_v6 || own[slot(Family::Ipv4)].is_none() { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// The pools, where a prefix that no other route covers may not leave.
    pub(crate) fn refused_pools(&self) -> &[Prefix] {
        if self.refuse { &self.pools } else { &[] }
    }

    /// Is it one that an object says to be behind a peer?
    pub(crate) fn is_static(&self, prefix: Prefix) -> bool {
        self.statics.contains_key(&prefix)
    }

    /// Addresses that objects say to be behind peers.
    pub(crate) fn statics(&self) -> impl Iterator<Item = Prefix> {
        self.statics.keys().copied()
    }

    /// May the way of a prefix depend on all this?
    pub(crate) fn concerns(&self, prefix: Prefix) -> bool {
        self.pools.iter().any(|cidr| cidr.covers(prefix)) || self.statics.contains_key(&prefix)
    }

    /// Whom a prefix belongs to, if packets to him are encrypted.
    pub(crate) fn peer<'a>(&'a self, prefix: Prefix, node: Option<&'a str>) -> Option<&'a str> {
        let name = self.statics.get(&prefix).map(String::as_str).or(node)?;
        (self.concerns(prefix) && self.peers.contains_key(name)).then_some(name)
    }

    /// The way of a prefix that belongs to this node, or to nobody that is known.
    pub(crate) fn way(&self, prefix: Prefix, node: Option<&str>, device: Option<u32>) -> Encrypted {
        let family = prefix.family();
        let through = self.peer(prefix, node).and_then(|name| {
            let is_ready = |peer: &&Known| self.ready.contains(&peer.key) || self.known.contains(name);
            let peer = self.peers.get(name).filter(is_ready)?;
            Some(gateway(family, peer.endpoint.ip(), peer.mac, device?))
        });
        match through {
            Some(gateway) => Encrypted::Through(gateway),
            None if self.refuse && self.concerns(prefix) => Encrypted::Refused,
            None => Encrypted::Unconcerned,
        }
    }

    /// A peer with the addresses behind it.
    pub(crate) fn peer_with(&self, name: &str, allowed: BTreeSet<Prefix>) -> Option<WireguardPeer> {
        let Known { key, endpoint, addresses, .. } = *self.peers.get(name)?;
        // Always taken, so that whether they are sent is the sender's choice alone: nobody has to know what the other one does.
        let free = |address: &IpAddr| !self.is_static(Prefix::host(*address));
        let theirs = addresses.map(|address| address.filter(free));
        let ways = self.own.into_iter().zip(theirs);
        let own =
            ways.filter_map(|(here, there)| Some(OwnAddresses { here: here?, there: there? })).collect();
        let mut allowed = allowed;
        allowed.extend(theirs.into_iter().flatten().map(Prefix::host));
        Some(WireguardPeer { key, endpoint, keepalive: self.keepalive, allowed, own })
    }

    /// The names of all peers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.peers.keys()
    }
}

/// Where a node is reached: over IPv4 where both have it.
fn endpoint_address(own: &Addresses, theirs: &Addresses) -> Option<IpAddr> {
    own.iter().zip(theirs).find_map(|(own, theirs)| own.and(*theirs))
}

/// Nodes that have told no key.
fn unencrypted(node: &str, mut names: Vec<&str>, refuse: bool) -> Option<Condition> {
    const NAMED: usize = 5;
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    let count = names.len();
    let mut list = names[..count.min(NAMED)].join(", ");
    if count > NAMED {
        list.push_str(", ...");
    }
    let what =
        if refuse { "nothing is sent to their pods or taken from them" } else { "it is sent unencrypted" };
    let message = format!(
        "no WireGuard key is known of {count} nodes ({list}), so that traffic of pods with them cannot be encrypted: {what}"
    );
    Some(Condition { subject: format!("Node/{node}"), reason: Reason::Unencrypted, message })
}

/// The name of the node that all these next hops are, if it is one.
pub(crate) fn sole(fabric: &Fabric, mut hops: impl Iterator<Item = IpAddr>) -> Option<&str> {
    let first = fabric.by_address.get(&hops.next()?)?;
    hops.all(|hop| fabric.by_address.get(&hop) == Some(first)).then_some(first)
}
