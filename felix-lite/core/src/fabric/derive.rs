//! What the tunnels of this node follow from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{
    AllowedUse, EncapMode, IpPool, Judgement, Modes, NodeConfiguration, WireguardPeer, encapsulations,
};
use cairn_net::{Family, Prefix};

use super::secured::{Rules, Secured};
use super::tunnel::{Encapsulation, TunnelKind, TunnelPeer, TunnelPools, VxlanSettings, gateway, mac_of};
use super::{Addresses, Fabric, Member, slot, wireguard};
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

/// A device without what follows from paths and allocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: TunnelKind,
    pub(crate) local: IpAddr,
    pub(crate) vxlan: Option<VxlanSettings>,
    pub(crate) wireguard_port: Option<u16>,
    /// The family of outer packets; of both the larger.
    pub(crate) outer: Family,
}

/// A pool's encapsulation on this node: which, and for which inner family.
pub(super) type Use = (Encapsulation, Family);

/// What follows from all but the other nodes.
#[derive(Debug, PartialEq)]
pub(super) struct Ground {
    /// Is there anything that the other nodes matter for?
    pub(super) needed: bool,
    /// Pools with encapsulation, in the order of their names.
    pub(super) pools: Vec<(Prefix, Modes)>,
    /// What they ask for.
    pub(super) uses: BTreeSet<Use>,
    pub(super) own: Addresses,
    pub(super) subnets: [Option<Prefix>; 2],
    pub(super) devices: BTreeMap<TunnelKind, u32>,
    /// UDP ports of the devices that are there.
    pub(super) ports: BTreeSet<u16>,
    pub(super) rules: Option<Rules>,
    pub(super) vxlan: VxlanSettings,
    pub(super) complete: bool,
    pub(super) tunnel_pools: BTreeMap<Family, TunnelPools>,
    /// What is wrong with all this.
    pub(super) conditions: Vec<Condition>,
}

impl Ground {
    pub(super) fn of(inputs: Inputs<'_>) -> Self {
        let judged = encapsulations(inputs.pools.values().map(|pool| &**pool));
        let uses: BTreeSet<Use> = judged.iter().flat_map(uses_of).map(|(used, _)| used).collect();
        let rules = Rules::of(inputs);
        let me = inputs.nodes.get(inputs.node);
        let configuration = inputs.configuration;
        let mut ground = Self {
            needed: !uses.is_empty() || !inputs.host.tunnels.is_empty() || rules.is_some(),
            pools: judged
                .iter()
                .filter(|judged| judged.modes.any())
                .map(|judged| (judged.cidr, judged.modes))
                .collect(),
            uses,
            own: me.map_or([None; 2], addresses),
            subnets: me.map_or([None; 2], |me| subnets(me, inputs.host)),
            devices: inputs.host.tunnels.iter().map(|(kind, tunnel)| (*kind, tunnel.index)).collect(),
            ports: inputs.host.tunnels.values().map(|tunnel| tunnel.port).filter(|port| *port != 0).collect(),
            rules,
            vxlan: VxlanSettings {
                vni: configuration.vxlan_vni.unwrap_or(NodeConfiguration::DEFAULT_VXLAN_VNI),
                port: configuration.vxlan_port.unwrap_or(NodeConfiguration::DEFAULT_VXLAN_PORT),
                mac: mac_of(inputs.node),
                checksum_offload: configuration.vxlan_checksum_offload.unwrap_or(true),
            },
            complete: inputs.complete,
            tunnel_pools: tunnel_pools(inputs, &judged),
            conditions: refusals(&judged),
        };
        if ground.needed {
            let unknown = subnets_unknown(&judged, &ground);
            ground.conditions.extend(unknown);
            if me.is_some() {
                let missing = addresses_missing(inputs.node, &ground);
                ground.conditions.extend(missing);
            }
        }
        ground
    }
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

/// The addresses of a node as its object has them.
pub(super) fn addresses(member: &speaker::Member) -> Addresses {
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

/// Pools that the addresses of tunnels may be of.
fn tunnel_pools(inputs: Inputs<'_>, judged: &[Judgement<'_>]) -> BTreeMap<Family, TunnelPools> {
    let mut found: BTreeMap<Family, TunnelPools> = BTreeMap::new();
    let nothing = BTreeMap::new();
    let labels = inputs.nodes.get(inputs.node).map_or(&nothing, |me| &me.labels);
    for (pool, judged) in inputs.pools.values().zip(judged) {
        let family = judged.cidr.family();
        let crosses = judged.modes.any() || wireguard::is_on_for(inputs.configuration, family);
        let routed = !inputs.passing.contains(&judged.cidr);
        if crosses && routed && pool.spec.allowed_uses.contains(&AllowedUse::Tunnel) {
            let pools = found.entry(family).or_default();
            pools.fit.insert(pool.name().to_owned(), judged.cidr);
            let leaves = pool.spec.disabled || pool.metadata.deletion_timestamp.is_some();
            if !leaves && pool.spec.node_selector.matches(labels) {
                pools.open.push(pool.name().to_owned());
            }
        }
    }
    found
}

/// Uses that this node has no address for.
fn addresses_missing(node: &str, ground: &Ground) -> Vec<Condition> {
    let has =
        |(kind, inner): &Use| kind.outer_families(*inner).any(|family| ground.own[slot(family)].is_some());
    let missing = ground.uses.iter().filter(|used| !has(used));
    let condition = |(kind, inner): &Use| Condition {
        subject: format!("Node/{node}"),
        reason: Reason::AddressUnknown,
        message: format!(
            "this node has no address for the outer packets of {kind} that carry {inner}: its tunnels are not made"
        ),
    };
    missing.map(condition).collect()
}

/// The devices that the uses need, each with what needs it: for the other nodes that there are, and for the first that comes.
pub(super) fn kinds(fabric: &Fabric, uses: &BTreeSet<Use>) -> BTreeSet<(TunnelKind, Use)> {
    let mut kinds = BTreeSet::new();
    for used in uses {
        let (encapsulation, inner) = *used;
        let first = encapsulation.outer_families(inner).find(|family| fabric.own[slot(*family)].is_some());
        let theirs = fabric.members.families();
        let outers = theirs.filter_map(|theirs| fabric.shared(encapsulation, inner, theirs));
        kinds.extend(first.into_iter().chain(outers).map(|outer| (encapsulation.over(outer), *used)));
    }
    kinds
}

/// Devices of another encapsulation that carry packets until those that are wanted are there, each with what it carries.
pub(super) fn kept(
    devices: &BTreeMap<TunnelKind, u32>,
    kinds: &BTreeSet<(TunnelKind, Use)>,
    uses: &BTreeSet<Use>,
) -> Vec<(TunnelKind, Use)> {
    if kinds.iter().all(|(kind, _)| devices.contains_key(kind)) {
        return Vec::new();
    }
    let old = devices.keys().filter(|kind| !kinds.iter().any(|(wanted, _)| wanted == *kind));
    let old = old.filter_map(|kind| Some((kind, kind.encapsulation()?)));
    old.flat_map(|(kind, old)| uses.iter().map(move |(_, inner)| (*kind, (old, *inner)))).collect()
}

/// The devices that there should be.
pub(super) fn wanted(
    ground: &Ground,
    kinds: &BTreeSet<(TunnelKind, Use)>,
    secured: Option<&Secured>,
) -> Vec<Wanted> {
    if !ground.complete {
        return Vec::new();
    }
    let kinds: BTreeSet<TunnelKind> = kinds.iter().map(|(kind, _)| *kind).collect();
    let tunnels = kinds.into_iter().filter_map(|kind| {
        let vxlan = matches!(kind, TunnelKind::Vxlan(_)).then_some(ground.vxlan);
        let outer = kind.outer()?;
        let local = ground.own[slot(outer)]?;
        Some(Wanted { kind, local, vxlan, wireguard_port: None, outer })
    });
    let encrypted = secured.and_then(|secured| {
        Some(Wanted {
            kind: TunnelKind::Wireguard,
            local: ground.own.into_iter().flatten().next()?,
            vxlan: None,
            wireguard_port: Some(secured.rules.port),
            outer: secured.outer(),
        })
    });
    tunnels.chain(encrypted).collect()
}

/// What of the firewall does not follow from single nodes: which packets are encapsulated, and what is not taken in clear text. As long as
/// a device is there, also one that is no longer wanted.
pub(super) fn elements(ground: &Ground, wanted: &[Wanted], secured: Option<&Secured>) -> BTreeSet<Element> {
    let ports = wanted.iter().filter_map(|wanted| Some(wanted.vxlan?.port));
    let mut elements: BTreeSet<Element> =
        ports.chain(ground.ports.iter().copied()).map(Element::TunnelPort).collect();
    elements.extend(ground.own.into_iter().flatten().map(Element::Node));
    if let Some(secured) = secured {
        let refused = outermost(secured.refused_pools().iter().copied());
        elements.extend(refused.into_iter().map(Element::Encrypted));
    }
    let ipip = wanted.iter().any(|wanted| wanted.kind == TunnelKind::Ipip);
    if ipip || ground.devices.contains_key(&TunnelKind::Ipip) {
        elements.insert(Element::TunnelProtocol(4));
    }
    elements
}

/// The entries of one node on the VXLAN devices, by its outer addresses.
pub(super) fn peers_of(
    fabric: &Fabric,
    uses: &BTreeSet<Use>,
    member: &Member,
) -> BTreeMap<(TunnelKind, IpAddr), TunnelPeer> {
    let mut peers: BTreeMap<(TunnelKind, IpAddr), TunnelPeer> = BTreeMap::new();
    for (encapsulation, inner) in uses.iter().filter(|(kind, _)| *kind == Encapsulation::Vxlan) {
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
    peers
}

/// Pools whose mode depends on a subnet that is not known.
fn subnets_unknown(judged: &[Judgement<'_>], ground: &Ground) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for pool in judged {
        for ((encapsulation, family), mode) in uses_of(pool) {
            let outer = encapsulation.outer_families(family).find(|f| ground.own[slot(*f)].is_some());
            let Some(outer) = outer.filter(|outer| ground.subnets[slot(*outer)].is_none()) else { continue };
            let Some(own) = ground.own[slot(outer)].filter(|_| mode == EncapMode::CrossSubnet) else {
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
    conditions
}
