//! Cluster states for tests, and a reader that keeps what the core gives out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd_api::config::{Config, Neighbor, OriginatedRoute};
use cairn_api::core::{NodeAddress, NodeState};
use cairn_api::kinds::{
    AffinityState, AttachmentMode, BgpConfiguration, BgpPeer, BlockAffinity, IpPool, NodeConfiguration,
};
use cairn_api::{Metadata, Object, annotation};
use cairn_net::{Bandwidth, Family, Mac, Prefix};
use felix_core::{
    Change, Condition, Detour, EgressSlot, Element, Endpoint, Host, HostAddress, HostHop, HostLink,
    HostRoute, Nat, Route, Settings, State, Tunnel, TunnelKind, TunnelPeer, Update, WireguardPeer,
};

/// Of the host's one interface.
pub(crate) const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Facts by the thing they are about.
pub(crate) type World = BTreeMap<String, Update>;

pub(crate) fn world(facts: impl IntoIterator<Item = Update>) -> World {
    facts.into_iter().map(|fact| (key(&fact), fact)).collect()
}

pub(crate) fn key(update: &Update) -> String {
    let (kind, name) = match update {
        Update::Node(name, _) => ("node", name.clone()),
        Update::Pool(name, _) => ("pool", name.clone()),
        Update::Affinity(name, _) => ("affinity", name.clone()),
        Update::BgpConfiguration(name, _) => ("bgp", name.clone()),
        Update::BgpPeer(name, _) => ("peer", name.clone()),
        Update::BgpFilter(name, _) => ("filter", name.clone()),
        Update::NodeConfiguration(name, _) => ("configuration", name.clone()),
        Update::WireguardPeer(name, _) => ("wireguard", name.clone()),
        Update::EgressGateway(name, _) => ("gateway", name.clone()),
        Update::EgressMembers(name, _) => ("members", name.clone()),
        Update::Pod(name, _) => ("pod", name.clone()),
        Update::Namespace(name, _) => ("namespace", name.clone()),
        Update::Secret(name, _) => ("secret", name.clone()),
        Update::Endpoint(name, _) => ("endpoint", name.clone()),
        Update::Learned(prefix, _) => ("learned", prefix.to_string()),
        Update::Host(_) => ("host", String::new()),
        Update::TunnelAddresses(_) => ("tunnels", String::new()),
        Update::DrainWaited(_) => ("waited", String::new()),
        Update::Complete => ("complete", String::new()),
    };
    format!("{kind} {name}")
}

/// The same thing, gone.
pub(crate) fn gone(update: &Update) -> Update {
    match update.clone() {
        Update::Node(name, _) => Update::Node(name, None),
        Update::Pool(name, _) => Update::Pool(name, None),
        Update::Affinity(name, _) => Update::Affinity(name, None),
        Update::BgpConfiguration(name, _) => Update::BgpConfiguration(name, None),
        Update::BgpPeer(name, _) => Update::BgpPeer(name, None),
        Update::BgpFilter(name, _) => Update::BgpFilter(name, None),
        Update::NodeConfiguration(name, _) => Update::NodeConfiguration(name, None),
        Update::WireguardPeer(name, _) => Update::WireguardPeer(name, None),
        Update::EgressGateway(name, _) => Update::EgressGateway(name, None),
        Update::EgressMembers(name, _) => Update::EgressMembers(name, None),
        Update::Pod(name, _) => Update::Pod(name, None),
        Update::Namespace(name, _) => Update::Namespace(name, None),
        Update::Secret(name, _) => Update::Secret(name, None),
        Update::Endpoint(name, _) => Update::Endpoint(name, None),
        Update::Learned(prefix, _) => Update::Learned(prefix, None),
        Update::Host(_) => Update::Host(Box::default()),
        Update::TunnelAddresses(_) => Update::TunnelAddresses(BTreeMap::new()),
        Update::DrainWaited(_) => Update::DrainWaited(false),
        Update::Complete => Update::Complete,
    }
}

fn named<K: cairn_api::Kind>(name: &str, spec: K) -> Box<Object<K>> {
    Box::new(Object::new(Metadata::named(name), spec))
}

/// A node with addresses, and further annotations.
pub(crate) fn node(name: &str, addresses: &[&str], annotations: &[(&str, &str)]) -> Update {
    let mut object = named(name, cairn_api::core::Node::default());
    for address in addresses {
        let key = if address.contains(':') { annotation::IPV6_ADDRESS } else { annotation::IPV4_ADDRESS };
        object.metadata.annotations.insert(key.to_owned(), (*address).to_owned());
    }
    for (key, value) in annotations {
        object.metadata.annotations.insert((*key).to_owned(), (*value).to_owned());
    }
    object.metadata.labels.insert("name".to_owned(), name.to_owned());
    Update::Node(name.to_owned(), Some(object))
}

/// A node with addresses as its kubelet, or a cloud, lists them.
pub(crate) fn node_with_internal(name: &str, addresses: &[&str]) -> Update {
    let mut update = node(name, &[], &[]);
    if let Update::Node(_, Some(object)) = &mut update {
        let internal =
            |address: &&str| NodeAddress { kind: "InternalIP".to_owned(), address: (*address).to_owned() };
        let addresses = addresses.iter().map(internal).collect();
        object.status = Some(NodeState { addresses, ..NodeState::default() });
    }
    update
}

/// A node with addresses and pod CIDRs.
pub(crate) fn node_with_pod_cidrs(name: &str, addresses: &[&str], pod_cidrs: &[&str]) -> Update {
    let mut update = node(name, addresses, &[]);
    if let Update::Node(_, Some(object)) = &mut update {
        object.spec.pod_cidrs = pod_cidrs.iter().map(|cidr| prefix(cidr)).collect();
    }
    update
}

pub(crate) fn pool(name: &str, spec: IpPool) -> Update {
    Update::Pool(name.to_owned(), Some(named(name, spec)))
}

pub(crate) fn affinity(block: &str, node: &str, state: AffinityState) -> Update {
    let cidr = prefix(block);
    let name = cairn_api::name::of_prefix(cidr);
    let spec = BlockAffinity { cidr, node: node.to_owned(), pool: "pool".to_owned(), state };
    Update::Affinity(name.clone(), Some(named(&name, spec)))
}

pub(crate) fn configuration(spec: NodeConfiguration) -> Update {
    Update::NodeConfiguration("default".to_owned(), Some(named("default", spec)))
}

pub(crate) fn bgp(spec: BgpConfiguration) -> Update {
    Update::BgpConfiguration("default".to_owned(), Some(named("default", spec)))
}

pub(crate) fn peer(name: &str, spec: BgpPeer) -> Update {
    Update::BgpPeer(name.to_owned(), Some(named(name, spec)))
}

pub(crate) fn endpoint(interface: &str, addresses: &[&str]) -> Update {
    programmed(pod(interface, addresses))
}

pub(crate) fn pod(interface: &str, addresses: &[&str]) -> Endpoint {
    Endpoint {
        interface: interface.to_owned(),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        owner: format!("default/{interface}"),
        enforceable: true,
        host_ports: Vec::new(),
        bandwidth: Bandwidth::default(),
    }
}

pub(crate) fn programmed(endpoint: Endpoint) -> Update {
    Update::Endpoint(endpoint.interface.clone(), Some(endpoint))
}

pub(crate) fn learned(text: &str, next_hops: &[&str]) -> Update {
    Update::Learned(prefix(text), Some(next_hops.iter().map(|hop| ip(hop).into()).collect()))
}

/// A host with one interface (index 2) and a default route through the first gateway of each family.
pub(crate) fn host(addresses: &[(&str, u8)], gateways: &[&str]) -> Update {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(address, prefix_len)| HostAddress {
            address: ip(address),
            prefix_len: *prefix_len,
            interface: "eth0".to_owned(),
        })
        .collect();
    let connected = addresses.iter().map(|own| HostRoute {
        prefix: own.subnet(),
        metric: 0,
        hops: vec![HostHop { gateway: None, index: 2 }],
        mtu: None,
    });
    let defaults = gateways.iter().map(|gateway| HostRoute {
        prefix: if gateway.contains(':') { prefix("::/0") } else { prefix("0.0.0.0/0") },
        metric: 0,
        hops: vec![HostHop { gateway: Some(ip(gateway)), index: 2 }],
        mtu: None,
    });
    let routes = connected.chain(defaults).collect();
    let links =
        [(2, HostLink { name: "eth0".to_owned(), mtu: 1500, mac: Some(MAC), ..HostLink::default() })].into();
    Update::Host(Box::new(Host { addresses, routes, links, ..Host::default() }))
}

/// What a reader of the changes holds; refuses changes that make no sense or come out of order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reader {
    pub(crate) settings: Option<Settings>,
    pub(crate) nat: Option<Nat>,
    pub(crate) elements: BTreeMap<Element, ()>,
    pub(crate) routes: BTreeMap<Prefix, Route>,
    pub(crate) tunnels: BTreeMap<TunnelKind, Tunnel>,
    pub(crate) peers: BTreeMap<(TunnelKind, IpAddr), TunnelPeer>,
    pub(crate) wireguard: BTreeMap<String, WireguardPeer>,
    pub(crate) detours: BTreeMap<(Family, EgressSlot), Detour>,
    pub(crate) announced: BTreeMap<Prefix, OriginatedRoute>,
    pub(crate) config: Option<Config>,
    pub(crate) conditions: BTreeMap<Condition, ()>,
    /// Whatever was asked for once.
    pub(crate) drivers: Drivers,
}

/// Readers of one state are equal, whatever was asked for on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drivers(pub(crate) BTreeSet<AttachmentMode>);

impl PartialEq for Drivers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Reader {
    /// Takes the changes; how many there were.
    pub(crate) fn read(&mut self, state: &mut State) -> usize {
        let changes = state.changes();
        let ranks: Vec<u8> = changes.iter().map(rank).collect();
        assert!(ranks.is_sorted(), "out of order: {changes:?}");
        let count = changes.len();
        for change in changes {
            self.take(change);
        }
        count
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Settings(settings) => self.settings = Some(settings),
            Change::SetNat(nat) => assert_ne!(self.nat.replace(nat), Some(nat), "it did not change"),
            Change::UseDriver(mode) => drop(self.drivers.0.insert(mode)),
            Change::AddElement(element) => assert_eq!(self.elements.insert(element, ()), None),
            Change::SetTunnel(kind, tunnel) => {
                assert_ne!(self.tunnels.insert(kind, tunnel.clone()), Some(tunnel), "{kind} did not change");
            }
            Change::SetPeer(key, peer) => {
                assert_ne!(self.peers.insert(key, peer.clone()), Some(peer), "{key:?} did not change");
            }
            Change::SetWireguardPeer(name, peer) => {
                let old = self.wireguard.insert(name.clone(), peer.clone());
                assert_ne!(old, Some(peer), "{name} did not change");
            }
            Change::SetRoute(prefix, route) => {
                assert_ne!(self.routes.insert(prefix, route.clone()), Some(route), "{prefix} did not change");
            }
            Change::SetDetour(key, detour) => {
                assert_ne!(self.detours.insert(key, detour), Some(detour), "{key:?}");
            }
            Change::RemoveDetour(key) => assert!(self.detours.remove(&key).is_some(), "{key:?}"),
            Change::Announce(route) => {
                let old = self.announced.insert(route.prefix, route.clone());
                assert_ne!(old, Some(route), "announcement did not change");
            }
            Change::Configure(config) => self.config = Some(*config),
            Change::Report(condition) => assert_eq!(self.conditions.insert(condition, ()), None),
            Change::Retract(condition) => assert_eq!(self.conditions.remove(&condition), Some(())),
            Change::Withdraw(prefix) => assert!(self.announced.remove(&prefix).is_some(), "{prefix}"),
            Change::RemoveRoute(prefix) => assert!(self.routes.remove(&prefix).is_some(), "{prefix}"),
            Change::RemoveWireguardPeer(name) => assert!(self.wireguard.remove(&name).is_some(), "{name}"),
            Change::RemovePeer(key) => assert!(self.peers.remove(&key).is_some(), "{key:?}"),
            Change::RemoveTunnel(kind) => assert!(self.tunnels.remove(&kind).is_some(), "{kind}"),
            Change::RemoveElement(element) => assert_eq!(self.elements.remove(&element), Some(())),
        }
    }

    pub(crate) fn neighbor(&self, address: &str) -> &Neighbor {
        let config = self.config.as_ref().expect("there is a document");
        config
            .neighbors
            .iter()
            .find(|neighbor| neighbor.address == ip(address))
            .expect("there is such a neighbour")
    }

    pub(crate) fn has_condition(&self, reason: felix_core::Reason, words: &str) -> bool {
        self.conditions.keys().any(|found| found.reason == reason && found.to_string().contains(words))
    }
}

fn rank(change: &Change) -> u8 {
    match change {
        Change::Settings(_) => 0,
        Change::SetNat(_) | Change::UseDriver(_) => 1,
        Change::AddElement(_) => 2,
        Change::SetTunnel(..) => 3,
        Change::SetPeer(..) => 4,
        Change::SetWireguardPeer(..) => 5,
        Change::SetRoute(..) => 6,
        Change::SetDetour(..) => 7,
        Change::Announce(_) => 8,
        Change::Configure(_) => 9,
        Change::Report(_) => 10,
        Change::Retract(_) => 11,
        Change::Withdraw(_) => 12,
        Change::RemoveDetour(_) => 13,
        Change::RemoveRoute(_) => 14,
        Change::RemoveWireguardPeer(_) => 15,
        Change::RemovePeer(_) => 16,
        Change::RemoveTunnel(_) => 17,
        Change::RemoveElement(_) => 18,
    }
}

/// Node `a`, to be told all that there is.
pub(crate) fn complete() -> State {
    let mut state = State::new("a", "cairn-system");
    state.apply(Update::Complete);
    state
}

/// Node `a`, fresh, with these facts.
pub(crate) fn derived(facts: impl IntoIterator<Item = Update>) -> Reader {
    let mut state = complete();
    facts.into_iter().for_each(|fact| state.apply(fact));
    let mut reader = Reader::default();
    reader.read(&mut state);
    reader
}
