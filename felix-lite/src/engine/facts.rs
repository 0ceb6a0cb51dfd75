//! What the engine shows to other parts of the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd_api::peer::Peer;
use cairn_api::WireguardKey;
use cairn_net::{Family, Prefix};
use felix_core::{Claim, Condition, DrainState, PoolAttachment, TunnelPools};

use super::Readiness;
use crate::dataplane::KernelFault;

/// What other parts of the daemon follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NodeFacts {
    /// The Node's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The Node's pod CIDRs.
    pub(crate) pod_cidrs: Vec<Prefix>,
    /// How many addresses per pool are held ready.
    pub(crate) warm_addresses: u32,
    /// MTU of pods in bytes; `None` while no interface of the node is known.
    pub(crate) mtu: Option<u32>,
    /// How pods are attached, of pools where that is not by routes alone.
    pub(crate) attachments: BTreeMap<String, PoolAttachment>,
    /// Pools that addresses of the node's tunnels may be of.
    pub(crate) tunnel_pools: BTreeMap<Family, TunnelPools>,
    /// The addresses on the node's tunnels; `None` before the kernel was read.
    pub(crate) on_tunnels: Option<BTreeSet<IpAddr>>,
    /// What the other nodes are to know of its key.
    pub(crate) encryption: Encryption,
    /// Who has the addresses of egress gateways, and who may; `None` until all is known that this follows from.
    pub(crate) egress: Option<EgressFacts>,
    /// The datastore has been read and the firewall is in the kernel: what the facts lack is not there.
    pub(crate) complete: bool,
    /// Why the node is not ready for pods.
    pub(crate) not_ready: Option<String>,
}

/// What the node knows of egress gateways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EgressFacts {
    /// This node's pods, by gateway.
    pub(crate) members: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What decides about each gateway's addresses.
    pub(crate) claims: BTreeMap<String, Claim>,
    /// Is there any session, so that what others announce is heard?
    pub(crate) connected: bool,
}

/// Is anything encrypted, and with which public key?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encryption {
    /// Not everything has been read yet.
    #[default]
    Unknown,
    /// Nothing is.
    Off,
    /// It is, as soon as there is a key on a device.
    On(Option<WireguardKey>),
}

/// A picture of the node for its report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) peers: Vec<Peer>,
    /// The BGPPeers by which there should be sessions, with the description of each session.
    pub(crate) bgp_peers: BTreeMap<String, Vec<String>>,
    pub(crate) blocks: Vec<Prefix>,
    pub(crate) routes: usize,
    pub(crate) endpoints: usize,
    pub(crate) readiness: Readiness,
    /// Objects that cannot be read and of which nothing is known, as `Kind/name`, with why.
    pub(crate) unread: Vec<(String, String)>,
    /// Everything has been told once, and whatever of ours nobody wanted is gone from the kernel.
    pub(crate) in_sync: bool,
    /// Why bgpd cannot be reached, or what it refuses.
    pub(crate) bgpd_fault: Option<String>,
    /// What is not in the kernel as it should be, and why.
    pub(crate) kernel_faults: Vec<KernelFault>,
    pub(crate) wireguard_key: Option<WireguardKey>,
    /// How far the emptying of the node is, where somebody wants that.
    pub(crate) drain: Option<DrainState>,
}
