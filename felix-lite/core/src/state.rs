//! The facts, and what follows from them.

mod derive;
mod drain;
mod egress;
mod fabric;
mod nodes;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bgpd_api::config::{Config, OriginatedRoute};
use cairn_api::core::Secret;
use cairn_api::kinds::{
    AffinityState, AttachmentMode, BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway,
    EgressMembers, IpPool, NodeConfiguration, WireguardPeer as KeyObject,
};
use cairn_api::{Kind, Metadata, Object, name};
use cairn_net::{Family, Prefix};

use crate::drain::Signals;
use crate::egress::Derived as Egress;
use crate::fabric::Network;
use crate::firewall::Element;
use crate::host::Host;
use crate::host_port::Ports;
use crate::paths::PathTable;
use crate::route::Routes;
use crate::settings::Settings;
use crate::speaker::{Demands, Identities, Member};
use crate::table::Table;
use crate::underlay::Underlays;
use crate::{
    Condition, Detour, EgressSlot, Endpoint, Labels, Nat, Tunnel, TunnelKind, TunnelPeer, Update,
    WireguardPeer,
};

/// The only BGPConfiguration that counts.
const DEFAULT: &str = "default";

/// What may have to be worked out again.
#[derive(Debug, Default)]
struct Dirty {
    settings: bool,
    speaker: bool,
    pools: bool,
    /// How packets travel between nodes, whatever the other nodes are.
    fabric: bool,
    /// Nodes whose object, or key, is another.
    nodes: BTreeSet<String>,
    /// What the kernel has of WireGuard.
    keys: bool,
    /// How pods are attached.
    underlays: bool,
    /// How large they may be, and what tunnels have.
    tunnels: bool,
    announcements: bool,
    /// Who has which address outside.
    egress: bool,
    /// Endpoint addresses whose announcement may differ.
    addresses: BTreeSet<IpAddr>,
    conditions: bool,
}

/// The current facts of the cluster and of this node, and what was given out.
#[derive(Debug)]
pub struct State {
    node: String,
    secret_namespace: String,

    nodes: BTreeMap<String, Member>,
    /// What Node objects say of being emptied, of those that say something.
    signals: BTreeMap<String, Signals>,
    /// Has this node been emptied for long enough?
    waited: bool,
    pools: BTreeMap<String, Box<Object<IpPool>>>,
    /// Own confirmed blocks, by the name of their affinity.
    affinities: BTreeMap<String, Prefix>,
    blocks: BTreeSet<Prefix>,
    /// Confirmed blocks of other nodes with their owners, by the name of their affinity.
    claims: BTreeMap<String, (Prefix, String)>,
    /// These blocks, in order.
    claimed: BTreeSet<Prefix>,
    bgp: BTreeMap<String, Box<Object<BgpConfiguration>>>,
    peers: BTreeMap<String, Box<Object<BgpPeer>>>,
    filters: BTreeMap<String, Box<Object<BgpFilter>>>,
    configurations: BTreeMap<String, Box<Object<NodeConfiguration>>>,
    secrets: BTreeMap<String, Box<Object<Secret>>>,
    wireguard: BTreeMap<String, Box<Object<KeyObject>>>,
    gateways: BTreeMap<String, Box<Object<EgressGateway>>>,
    members: BTreeMap<String, Box<Object<EgressMembers>>>,
    /// The labels of this node's pods and of namespaces, of those that have any.
    pods: BTreeMap<String, Labels>,
    namespaces: BTreeMap<String, Labels>,
    endpoints: HashMap<String, Endpoint>,
    /// Which interface has an address; the first one to claim it.
    holders: HashMap<IpAddr, Vec<Arc<str>>>,
    /// Which ports of the node lead to which pod.
    ports: Ports,
    host: Host,
    tunnel_addresses: BTreeMap<Family, IpAddr>,
    complete: bool,

    dirty: Dirty,
    configuration: NodeConfiguration,
    identities: Identities,
    paths: PathTable,
    network: Network,
    egress: Egress,
    underlays: Underlays,
    drivers: Table<AttachmentMode, ()>,
    routes: Routes,
    elements: Table<Element, ()>,
    announced: Table<Prefix, OriginatedRoute>,
    tunnels: Table<TunnelKind, Tunnel>,
    tunnel_peers: Table<(TunnelKind, IpAddr), TunnelPeer>,
    wireguard_peers: Table<String, WireguardPeer>,
    detours: Table<(Family, EgressSlot), Detour>,
    config: Table<(), Box<Config>>,
    settings: Table<(), Settings>,
    nat: Table<(), Nat>,
    conditions: Table<Condition, ()>,
    speaker_conditions: Vec<Condition>,
    demands: Demands,
    pool_conditions: Vec<Condition>,
    mtu_conditions: Vec<Condition>,
}

impl State {
    /// Nothing is known but the node's own name, and the namespace of the Secrets that hold passwords.
    pub fn new(node: impl Into<String>, secret_namespace: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            secret_namespace: secret_namespace.into(),
            nodes: BTreeMap::new(),
            signals: BTreeMap::new(),
            waited: false,
            pools: BTreeMap::new(),
            affinities: BTreeMap::new(),
            blocks: BTreeSet::new(),
            claims: BTreeMap::new(),
            claimed: BTreeSet::new(),
            bgp: BTreeMap::new(),
            peers: BTreeMap::new(),
            filters: BTreeMap::new(),
            configurations: BTreeMap::new(),
            secrets: BTreeMap::new(),
            wireguard: BTreeMap::new(),
            gateways: BTreeMap::new(),
            members: BTreeMap::new(),
            pods: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            endpoints: HashMap::new(),
            holders: HashMap::new(),
            ports: Ports::default(),
            host: Host::default(),
            tunnel_addresses: BTreeMap::new(),
            complete: false,
            configuration: NodeConfiguration::default(),
            identities: Identities::default(),
            paths: PathTable::default(),
            network: Network::default(),
            egress: Egress::default(),
            underlays: Underlays::default(),
            drivers: Table::default(),
            dirty: Dirty {
                settings: true,
                speaker: true,
                pools: true,
                fabric: true,
                announcements: true,
                conditions: true,
                ..Dirty::default()
            },
            routes: Routes::default(),
            elements: Table::default(),
            announced: Table::default(),
            tunnels: Table::default(),
            tunnel_peers: Table::default(),
            wireguard_peers: Table::default(),
            detours: Table::default(),
            config: Table::default(),
            settings: Table::default(),
            nat: Table::default(),
            conditions: Table::default(),
            speaker_conditions: Vec::new(),
            demands: Demands::new(),
            pool_conditions: Vec::new(),
            mtu_conditions: Vec::new(),
        }
    }

    /// Takes a fact. Cheap: what follows from it is worked out by [`Self::changes`].
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Node(name, node) => {
                self.signals_updated(&name, node.as_deref().and_then(Signals::of));
                self.node_told(name, node.as_deref());
            }
            Update::Pool(name, pool) => {
                if put(&mut self.pools, name, pool) {
                    (self.dirty.pools, self.dirty.announcements) = (true, true);
                    (self.dirty.fabric, self.dirty.underlays, self.dirty.speaker) = (true, true, true);
                }
            }
            Update::Affinity(name, affinity) => self.affinity_updated(name, affinity.as_deref()),
            Update::BgpConfiguration(name, bgp) => {
                if name == DEFAULT && put(&mut self.bgp, name, bgp.map(bare)) {
                    (self.dirty.speaker, self.dirty.announcements) = (true, true);
                    self.dirty.egress |= !self.gateways.is_empty();
                }
            }
            Update::BgpPeer(name, peer) => self.dirty.speaker |= put(&mut self.peers, name, peer.map(bare)),
            Update::BgpFilter(name, filter) => {
                self.dirty.speaker |= put(&mut self.filters, name, filter.map(bare));
            }
            Update::NodeConfiguration(name, configuration) => {
                self.configuration_told(name, configuration.map(bare));
            }
            Update::WireguardPeer(name, peer) => {
                if put(&mut self.wireguard, name.clone(), peer) {
                    self.dirty.nodes.insert(name);
                }
            }
            Update::EgressGateway(name, gateway) => {
                self.dirty.egress |= put(&mut self.gateways, name, gateway);
            }
            Update::EgressMembers(node, members) => {
                self.dirty.egress |= put(&mut self.members, node, members);
            }
            Update::Pod(name, pod) => {
                let labels = pod.map(|pod| pod.metadata.labels).filter(|labels| !labels.is_empty());
                self.dirty.egress |= put(&mut self.pods, name, labels);
            }
            Update::Namespace(name, namespace) => {
                let labels = namespace.map(|found| found.metadata.labels).filter(|labels| !labels.is_empty());
                self.dirty.egress |= put(&mut self.namespaces, name, labels);
            }
            Update::Secret(name, secret) => self.dirty.speaker |= put(&mut self.secrets, name, secret),
            Update::Endpoint(interface, endpoint) => self.endpoint_updated(interface, endpoint),
            Update::Learned(prefix, next_hops) => {
                self.routes.set_learned(prefix, next_hops.as_deref());
                self.paths.expire_within(prefix);
                self.dirty.egress |= self.egress.addresses.contains(&prefix)
                    || self.looks_for_successors() && self.claims.contains_key(&name::of_prefix(prefix));
                self.dirty.conditions |= self.blocks.contains(&prefix);
            }
            Update::Host(host) => self.host_updated(*host),
            Update::TunnelAddresses(addresses) => {
                self.dirty.tunnels |= self.tunnel_addresses != addresses;
                self.dirty.announcements |= self.tunnel_addresses != addresses;
                self.tunnel_addresses = addresses;
            }
            Update::DrainWaited(waited) => {
                self.dirty.announcements |= self.waited != waited;
                self.dirty.egress |= self.waited != waited && !self.gateways.is_empty();
                self.waited = waited;
            }
            Update::Complete => {
                self.dirty.fabric |= !self.complete;
                self.dirty.pools |= !self.complete;
                self.dirty.egress = true;
                self.complete = true;
                self.place_blocks();
            }
        }
    }

    /// Does this node, emptied, have to know who could take over what it has?
    fn looks_for_successors(&self) -> bool {
        self.waited && !self.gateways.is_empty()
    }

    fn affinity_updated(&mut self, name: String, affinity: Option<&Object<BlockAffinity>>) {
        let confirmed =
            affinity.map(|found| &found.spec).filter(|spec| spec.state == AffinityState::Confirmed);
        let claim = confirmed.filter(|spec| spec.node != self.node && !spec.node.is_empty());
        let claim = claim.map(|spec| (spec.cidr, spec.node.clone()));
        let before = self.claims.get(&name).map(|(block, _)| *block);
        let both = [before, claim.as_ref().map(|(block, _)| *block)];
        let concerns = |block| self.pod_cidrs().iter().any(|own| own.overlaps(block));
        self.dirty.conditions |= both.into_iter().flatten().any(concerns);
        if put(&mut self.claims, name.clone(), claim.clone()) {
            self.dirty.egress |= self.looks_for_successors();
            if let Some(block) = before {
                self.claimed.remove(&block);
                self.routes.set_owner(block, None);
            }
            if let Some((block, owner)) = claim {
                self.claimed.insert(block);
                self.routes.set_owner(block, Some(owner));
            }
        }
        let confirmed = confirmed.filter(|spec| spec.node == self.node).map(|spec| spec.cidr);
        if put(&mut self.affinities, name, confirmed) {
            self.blocks = self.affinities.values().copied().collect();
            self.place_blocks();
            (self.dirty.announcements, self.dirty.conditions) = (true, true);
        }
    }

    fn endpoint_updated(&mut self, interface: String, endpoint: Option<Endpoint>) {
        let old = match endpoint.clone() {
            Some(endpoint) => self.endpoints.insert(interface.clone(), endpoint),
            None => self.endpoints.remove(&interface),
        };
        if old == endpoint {
            return;
        }
        self.dirty.egress |= !self.gateways.is_empty();
        let interface: Arc<str> = interface.into();
        if let Some(old) = &old {
            self.ports.release(old, &mut self.elements);
            for limit in old.limits(Arc::clone(&interface)) {
                self.elements.put(&limit, None);
            }
        }
        if let Some(endpoint) = &endpoint {
            self.ports.claim(endpoint, &mut self.elements);
            for limit in endpoint.limits(Arc::clone(&interface)) {
                self.elements.put(&limit, Some(()));
            }
        }
        let before = old.into_iter().flat_map(|endpoint| endpoint.addresses);
        for address in before {
            self.elements.put(&Element::Source { interface: Arc::clone(&interface), address }, None);
            let holders = self.holders.entry(address).or_default();
            self.dirty.conditions |= holders.len() > 1;
            holders.retain(|holder| *holder != interface);
            if holders.is_empty() {
                self.holders.remove(&address);
            }
            self.address_changed(address);
        }
        for address in endpoint.into_iter().flat_map(|endpoint| endpoint.addresses) {
            self.elements.put(&Element::Source { interface: Arc::clone(&interface), address }, Some(()));
            let holders = self.holders.entry(address).or_default();
            // In order of name, so that it does not matter who came first.
            if let Err(at) = holders.binary_search(&interface) {
                holders.insert(at, Arc::clone(&interface));
            }
            self.address_changed(address);
        }
    }

    fn address_changed(&mut self, address: IpAddr) {
        let holders = self.holders.get(&address);
        self.dirty.conditions |= holders.is_some_and(|holders| holders.len() > 1);
        let first = holders.and_then(|holders| holders.first().cloned());
        self.routes.set_pod(address, first);
        self.dirty.addresses.insert(address);
    }

    fn host_updated(&mut self, host: Host) {
        if self.host == host {
            return;
        }
        let Host { addresses, loopback, routes, links, .. } = &self.host;
        if (addresses, loopback, routes, links)
            != (&host.addresses, &host.loopback, &host.routes, &host.links)
        {
            self.routes.set_host(host.clone());
        }
        if self.host.addresses != host.addresses || self.host.loopback != host.loopback {
            (self.dirty.speaker, self.dirty.pools) = (true, true);
        }
        self.dirty.fabric |= self.host.addresses != host.addresses || self.host.tunnels != host.tunnels;
        self.dirty.keys |= self.host.wireguard != host.wireguard;
        self.dirty.tunnels = true;
        self.dirty.underlays = true;
        self.dirty.conditions = true;
        self.host = host;
    }
}

/// Without its place in the store, and what others say of it: neither means anything here, and both change without it.
#[allow(clippy::boxed_local)] // it comes in a box and is kept in one
fn bare<K: Kind>(object: Box<Object<K>>) -> Box<Object<K>> {
    let Object { metadata, spec, .. } = *object;
    Box::new(Object::new(Metadata::named(metadata.name), spec))
}

/// Puts or removes; true if that made a difference.
fn put<V: PartialEq>(map: &mut BTreeMap<String, V>, name: String, value: Option<V>) -> bool {
    if map.get(&name) == value.as_ref() {
        return false;
    }
    match value {
        Some(value) => map.insert(name, value),
        None => map.remove(&name),
    };
    true
}
