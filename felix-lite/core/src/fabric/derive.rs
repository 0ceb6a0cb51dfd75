//! What the tunnels of this node follow from.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{
    AllowedUse, EncapMode, IpPool, Judgement, NodeConfiguration, WireguardPeer, encapsulations,
};
use cairn_net::{Family, Mac, Prefix};

use super::tunnel::{Encapsulation, TunnelKind, TunnelPeer, TunnelPools, VxlanSettings, gateway, mac_of};
use super::wireguard::{self, Secured};
use super::{Addresses, Fabric, Member, slot};
use crate::condition::{Condition, Reason};
use crate::firewall::{Element, outermost};
use crate::host::Host;
use crate::speaker;

/// All that the fabric follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) node: &'a str,
    pub(crate) nodes: &'a BTreeMap<String, speaker::Member>,
    pub(crate) pools: &'a BTreeMap<String, Box<Object<IpPool>>>,
    /// Ranges of pods whose packets pass by the node, so that it encrypts none of them.
    pub(crate) passing: &'a [Prefix],
    pub(crate) configuration: &'a NodeConfiguration,
    pub(crate) wireguard: &'a BTreeMap<String, Box<Object<WireguardPeer>>>,
    pub(crate) host: &'a Host,
    /// Is all of this known? If not, there are no devices but those of the host.
    pub(crate) complete: bool,
}

/// What follows.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    pub(crate) fabric: Fabric,
    /// Devices that there should be.
    pub(crate) wanted: Vec<Wanted>,
    /// The other nodes on each VXLAN device, by outer address.
    pub(crate) peers: BTreeMap<(TunnelKind, IpAddr), TunnelPeer>,
    /// Pools that the addresses of tunnels may be of.
    pub(crate) tunnel_pools: BTreeMap<Family, TunnelPools>,
    pub(crate) elements: BTreeSet<Element>,
    pub(crate) conditions: Vec<Condition>,
}

/// A device without what follows from paths and allocations.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: TunnelKind,
    pub(crate) local: IpAddr,
    pub(crate) vxlan: Option<VxlanSettings>,
    pub(crate) wireguard_port: Option<u16>,
    /// The family of outer packets; of both the larger.
    pub(crate) outer: Family,
}

/// A pool's encapsulation on this node: which, and for which inner family.
type Use = (Encapsulation, Family);

pub(crate) fn derive(inputs: Inputs<'_>) -> Derived {
    let judged = encapsulations(inputs.pools.values().map(|pool| &**pool));
    let mut derived = Derived { conditions: refusals(&judged), ..Derived::default() };
    let uses: BTreeSet<Use> = judged.iter().flat_map(uses_of).map(|(used, _)| used).collect();
    derived.fabric.devices = inputs.host.tunnels.iter().map(|(kind, tunnel)| (*kind, tunnel.index)).collect();
    let encrypts = wireguard::is_on(inputs.configuration);
    if uses.is_empty() && inputs.host.tunnels.is_empty() && !encrypts {
        return derived;
    }
    let fabric = &mut derived.fabric;
    fabric.pools =
        judged.iter().filter(|judged| judged.modes.any()).map(|judged| (judged.cidr, judged.modes)).collect();
    let me = inputs.nodes.get(inputs.node);
    fabric.own = me.map_or([None; 2], addresses);
    fabric.subnets = me.map_or([None; 2], |me| subnets(me, inputs.host));
    members(inputs, fabric, &mut derived.conditions);

    let mut kinds = kinds(fabric, &uses);
    for (used, missing) in uses.iter().map(|used| (used, !kinds.iter().any(|(_, by)| by == used))) {
        if missing && me.is_some() {
            let message = format!(
                "this node has no address for the outer packets of {} that carry {}: its tunnels are not made",
                used.0, used.1
            );
            let subject = format!("Node/{}", inputs.node);
            derived.conditions.push(Condition { subject, reason: Reason::AddressUnknown, message });
        }
    }
    let kept = kept(inputs.host, &kinds, &uses);
    let uses: BTreeSet<Use> = uses.into_iter().chain(kept.iter().map(|(_, used)| *used)).collect();
    kinds.extend(kept);
    let wanted: BTreeSet<TunnelKind> = kinds.iter().map(|(kind, _)| *kind).collect();
    let configuration = inputs.configuration;
    let settings = VxlanSettings {
        vni: configuration.vxlan_vni.unwrap_or(NodeConfiguration::DEFAULT_VXLAN_VNI),
        port: configuration.vxlan_port.unwrap_or(NodeConfiguration::DEFAULT_VXLAN_PORT),
        mac: mac_of(inputs.node),
    };
    derived.wanted = wanted
        .iter()
        .filter(|_| inputs.complete)
        .filter_map(|kind| {
            let vxlan = matches!(kind, TunnelKind::Vxlan(_)).then_some(settings);
            let outer = kind.outer()?;
            let local = fabric.own[slot(outer)]?;
            Some(Wanted { kind: *kind, local, vxlan, wireguard_port: None, outer })
        })
        .collect();
    if encrypts {
        let secured = Secured::of(inputs, fabric, &mut derived.conditions);
        let outer = secured.outer(&fabric.own);
        let local = fabric.own.into_iter().flatten().next().filter(|_| inputs.complete);
        derived.wanted.extend(local.map(|local| Wanted {
            kind: TunnelKind::Wireguard,
            local,
            vxlan: None,
            wireguard_port: Some(wireguard::port(configuration)),
            outer,
        }));
        fabric.secured = Some(secured);
    }
    if inputs.complete {
        derived.peers = peers(fabric, &uses);
    }
    subnets_unknown(&judged, fabric, &mut derived.conditions);
    let nothing = BTreeMap::new();
    let labels = me.map_or(&nothing, |me| &me.labels);
    for (pool, judged) in inputs.pools.values().zip(&judged) {
        let crosses = judged.modes.any() || wireguard::is_on_for(configuration, judged.cidr.family());
        let routed = !inputs.passing.contains(&judged.cidr);
        if crosses && routed && pool.spec.allowed_uses.contains(&AllowedUse::Tunnel) {
            let pools = derived.tunnel_pools.entry(judged.cidr.family()).or_default();
            pools.fit.insert(pool.name().to_owned(), judged.cidr);
            let leaves = pool.spec.disabled || pool.metadata.deletion_timestamp.is_some();
            if !leaves && pool.spec.node_selector.matches(labels) {
                pools.open.push(pool.name().to_owned());
            }
        }
    }
    derived.elements = elements(inputs, &derived.fabric, &derived.wanted);
    derived
}

/// What a pool's modes ask for.
fn uses_of(judged: &Judgement<'_>) -> impl Iterator<Item = (Use, EncapMode)> + use<> {
    let (modes, family) = (judged.modes, judged.cidr.family());
    let used = move |kind: Encapsulation| ((kind, family), kind.mode(modes));
    Encapsulation::ALL.into_iter().map(used).filter(|(_, mode)| *mode != EncapMode::Never)
}

fn refusals(judged: &[Judgement<'_>]) -> Vec<Condition> {
    let refused = |judged: &Judgement<'_>| {
        let why = judged.refused.as_ref()?;
        let message = format!("{why}; in force stays {}", judged.modes);
        let subject = format!("IPPool/{}", judged.name);
        Some(Condition { subject, reason: Reason::EncapsulationRefused, message })
    };
    judged.iter().filter_map(refused).collect()
}

fn addresses(member: &speaker::Member) -> Addresses {
    Family::ALL.map(|family| Some(member.identity.address(family)?.addr))
}

/// The subnets of this node's addresses: as annotated, else as its interfaces have them.
fn subnets(me: &speaker::Member, host: &Host) -> [Option<Prefix>; 2] {
    Family::ALL.map(|family| {
        let own = me.identity.address(family)?;
        if !own.subnet.is_host() {
            return Some(own.subnet);
        }
        host.addresses.iter().find(|found| found.address == own.addr).map(crate::HostAddress::subnet)
    })
}

/// The other nodes; of two with one address or one MAC the first by name.
fn members(inputs: Inputs<'_>, fabric: &mut Fabric, conditions: &mut Vec<Condition>) {
    let mut macs: HashMap<Mac, &str> = HashMap::from([(mac_of(inputs.node), inputs.node)]);
    for (name, member) in inputs.nodes.iter().filter(|(name, _)| *name != inputs.node) {
        let mac = mac_of(name);
        if let Some(other) = macs.insert(mac, name) {
            let message = format!("its name gives the MAC {mac} of Node/{other}, too: no tunnel leads to it");
            let subject = format!("Node/{name}");
            conditions.push(Condition { subject, reason: Reason::Ambiguous, message });
            continue;
        }
        let mut addresses = addresses(member);
        for address in &mut addresses {
            if let Some(known) = address.filter(|address| fabric.own.contains(&Some(*address))) {
                let message = format!("its address {known} is that of this node: no tunnel leads to it");
                let subject = format!("Node/{name}");
                conditions.push(Condition { subject, reason: Reason::Ambiguous, message });
                *address = None;
            }
        }
        for address in &mut addresses {
            let Some(known) = *address else { continue };
            match fabric.by_address.entry(known) {
                Entry::Vacant(entry) => drop(entry.insert(name.clone())),
                Entry::Occupied(entry) => {
                    let other = entry.get();
                    let message =
                        format!("its address {known} is that of Node/{other}, too: no tunnel leads to it");
                    let subject = format!("Node/{name}");
                    conditions.push(Condition { subject, reason: Reason::Ambiguous, message });
                    *address = None;
                }
            }
        }
        fabric.nodes.insert(name.clone(), Member { addresses, mac });
    }
}

/// The devices that the uses need, each with what needs it: for the other nodes that there are, and for the first that comes.
fn kinds(fabric: &Fabric, uses: &BTreeSet<Use>) -> BTreeSet<(TunnelKind, Use)> {
    let mut kinds = BTreeSet::new();
    for used in uses {
        let (encapsulation, inner) = *used;
        let first = encapsulation.outer_families(inner).find(|family| fabric.own[slot(*family)].is_some());
        let outers = fabric.nodes.values().filter_map(|node| fabric.outer(encapsulation, inner, node));
        kinds.extend(first.into_iter().chain(outers).map(|outer| (encapsulation.over(outer), *used)));
    }
    kinds
}

/// Devices of another encapsulation that carry packets until those that are wanted are there, each with what it carries.
fn kept(host: &Host, kinds: &BTreeSet<(TunnelKind, Use)>, uses: &BTreeSet<Use>) -> Vec<(TunnelKind, Use)> {
    if kinds.iter().all(|(kind, _)| host.tunnels.contains_key(kind)) {
        return Vec::new();
    }
    let old = host.tunnels.keys().filter(|kind| !kinds.iter().any(|(wanted, _)| wanted == *kind));
    let old = old.filter_map(|kind| Some((kind, kind.encapsulation()?)));
    old.flat_map(|(kind, old)| uses.iter().map(move |(_, inner)| (*kind, (old, *inner)))).collect()
}

fn peers(fabric: &Fabric, uses: &BTreeSet<Use>) -> BTreeMap<(TunnelKind, IpAddr), TunnelPeer> {
    let mut peers: BTreeMap<(TunnelKind, IpAddr), TunnelPeer> = BTreeMap::new();
    for (encapsulation, inner) in uses.iter().filter(|(kind, _)| *kind == Encapsulation::Vxlan) {
        for member in fabric.nodes.values() {
            let outer = fabric.outer(*encapsulation, *inner, member);
            let Some((outer, remote)) = outer.and_then(|outer| Some((outer, member.addresses[slot(outer)]?)))
            else {
                continue;
            };
            let gateway = gateway(*inner, remote, member.mac, 0).address;
            let key = (encapsulation.over(outer), remote);
            let peer = peers
                .entry(key)
                .or_insert_with(|| TunnelPeer { mac: member.mac, gateways: Vec::with_capacity(2) });
            if let Err(at) = peer.gateways.binary_search(&gateway) {
                peer.gateways.insert(at, gateway);
            }
        }
    }
    peers
}

fn subnets_unknown(judged: &[Judgement<'_>], fabric: &Fabric, conditions: &mut Vec<Condition>) {
    for pool in judged {
        for ((encapsulation, family), mode) in uses_of(pool) {
            let outer = encapsulation.outer_families(family).find(|f| fabric.own[slot(*f)].is_some());
            let Some(outer) = outer.filter(|outer| fabric.subnets[slot(*outer)].is_none()) else { continue };
            let Some(own) = fabric.own[slot(outer)].filter(|_| mode == EncapMode::CrossSubnet) else {
                continue;
            };
            let message = format!(
                "CrossSubnet, but the subnet of this node's address {own} is known neither from its annotation nor from an interface: \
                 every other node counts as one of another subnet"
            );
            let subject = format!("IPPool/{}", pool.name);
            conditions.push(Condition { subject, reason: Reason::SubnetUnknown, message });
        }
    }
}

/// Who may send encapsulated packets here, and which packets are such. As long as a device is there, also one
/// that is no longer wanted.
fn elements(inputs: Inputs<'_>, fabric: &Fabric, wanted: &[Wanted]) -> BTreeSet<Element> {
    let nodes = fabric.by_address.keys().copied().chain(fabric.own.into_iter().flatten());
    let mut elements: BTreeSet<Element> = nodes.map(Element::Node).collect();
    let ports = wanted.iter().filter_map(|wanted| Some(wanted.vxlan?.port));
    let there = inputs.host.tunnels.values().map(|tunnel| tunnel.port).filter(|port| *port != 0);
    elements.extend(ports.chain(there).map(Element::TunnelPort));
    if let Some(secured) = &fabric.secured {
        let refused = outermost(secured.refused_pools().iter().copied());
        elements.extend(refused.into_iter().map(Element::Encrypted));
    }
    let ipip = wanted.iter().any(|wanted| wanted.kind == TunnelKind::Ipip);
    if ipip || inputs.host.tunnels.contains_key(&TunnelKind::Ipip) {
        elements.insert(Element::TunnelProtocol(4));
    }
    elements
}
