//! What is known and what was given out, for whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd_api::config::{Config, OriginatedRoute};
use cairn_net::{Family, HostPort, Prefix};

use super::State;
use crate::speaker::Member;
use crate::{Claim, Condition, Endpoint, PoolAttachment, TunnelPools};

impl State {
    /// The endpoint on an interface.
    pub fn endpoint(&self, interface: &str) -> Option<&Endpoint> {
        self.endpoints.get(interface)
    }

    /// All endpoints, in no order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The interface that holds an address, if a pod has it.
    pub fn holder(&self, address: IpAddr) -> Option<&str> {
        self.holders.get(&address)?.first().map(|interface| &**interface)
    }

    /// The first of an endpoint's ports of the node that another interface has, and that interface.
    pub fn taken_port(&self, endpoint: &Endpoint) -> Option<(HostPort, &str)> {
        self.ports.taken(endpoint)
    }

    /// Prefixes learned from bgpd, in no order.
    pub fn learned(&self) -> impl Iterator<Item = Prefix> {
        self.routes.learned()
    }

    /// How many routes are desired, of all kinds.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// Everything that is announced now, in no order: what a restarted bgpd has to be told.
    pub fn announced(&self) -> impl Iterator<Item = &OriginatedRoute> {
        self.announced.iter().map(|(_, route)| route)
    }

    /// bgpd's document as it is now.
    pub fn config(&self) -> Option<&Config> {
        self.config.get(&()).map(|config| &**config)
    }

    /// The BGPPeers by which this node should have sessions: of each session its description, which bgpd tells.
    pub const fn bgp_peers(&self) -> &BTreeMap<String, Vec<String>> {
        &self.demands
    }

    /// The conditions that hold now, in no order.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().map(|(condition, ())| condition)
    }

    /// The node's own confirmed blocks, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = Prefix> {
        self.blocks.iter().copied()
    }

    /// The pools that the addresses of this node's tunnels may be of.
    pub fn tunnel_pools(&self) -> &BTreeMap<Family, TunnelPools> {
        self.network.tunnel_pools()
    }

    /// This node's pods that egress gateways select, by gateway.
    pub const fn egress_members(&self) -> &BTreeMap<String, BTreeSet<IpAddr>> {
        &self.egress.members
    }

    /// What decides about the addresses of each egress gateway.
    pub const fn egress_claims(&self) -> &BTreeMap<String, Claim> {
        &self.egress.claims
    }

    /// How pods are attached, of pools where that is not by routes alone.
    pub const fn attachments(&self) -> &BTreeMap<String, PoolAttachment> {
        &self.underlays.by_pool
    }

    /// Is anything encrypted on this node?
    pub fn encrypts(&self) -> bool {
        self.network.fabric.secured.is_some()
    }

    /// The labels of this node's Node object.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        self.nodes.get(&self.node).map_or(NONE, |me| &me.labels)
    }

    /// The pod CIDRs of this node's Node object.
    pub fn pod_cidrs(&self) -> &[Prefix] {
        self.nodes.get(&self.node).map_or(&[], |me| &me.pod_cidrs)
    }

    /// The addresses that this node is known by: IPv4, IPv6.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.nodes.get(&self.node).into_iter().flat_map(Member::addresses)
    }
}
