//! Pods in the network that the node is in: macvlan and ipvlan on one of its interfaces.
//!
//! A pool's attachment ([`cairn_api::kinds::attachments`]) decides. What such pods send and are sent passes by the node's routes and its
//! firewall, but for what is between them and their own node. Pods that are neighbours of the hosts on the link (macvlan, ipvlan in mode L2)
//! are found there by ARP and neighbour discovery, so nobody announces their blocks; those of the L3 modes are routed to the node.
//!
//! Invariant: an interface carries one kind of attachment, for the kernel knows no other.
//! Not here: the interfaces of pods, which the CNI server makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{Attachment, AttachmentMode, IpPool, UnderlayKind, attachments};
use cairn_net::{Family, Mac, Prefix};

use crate::condition::{Condition, Reason};
use crate::host::{Host, HostLink, is_global};
use crate::speaker::Member;

/// What an operator can do where no interface follows from the node's address.
const SAY: &str = "name an interface in spec.attachment.interface";

/// How pods of a pool are attached on this node, of pools that are not as all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolAttachment {
    /// Routed by the node: what is asked for is not in force.
    Routed,
    /// To the network of an interface.
    Underlay(Underlay),
    /// Not at all, and why.
    Unavailable(String),
}

/// What pods of a pool get on the network of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underlay {
    /// How they share the interface.
    pub kind: UnderlayKind,
    /// Its number.
    pub index: u32,
    /// Its name.
    pub interface: String,
    /// Its MAC address.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The subnet in which they are neighbours of hosts; `None`: they are routed to.
    pub subnet: Option<Prefix>,
    /// Their router in that subnet.
    pub gateway: Option<IpAddr>,
    /// The addresses of the node: what is sent to these does not leave it.
    pub node: Vec<IpAddr>,
}

/// What follows for a node.
#[derive(Debug, Default)]
pub(crate) struct Underlays {
    pub(crate) by_pool: BTreeMap<String, PoolAttachment>,
    /// Ranges whose pods are found on the link: nobody announces them.
    pub(crate) on_link: Vec<Prefix>,
    /// Ranges whose pods' packets pass by the node, the former among them.
    pub(crate) passing: Vec<Prefix>,
    /// Drivers that the kernel should have.
    pub(crate) drivers: BTreeSet<AttachmentMode>,
    pub(crate) conditions: Vec<Condition>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) pools: &'a BTreeMap<String, Box<Object<IpPool>>>,
    /// This node, once it is known.
    pub(crate) me: Option<&'a Member>,
    pub(crate) host: &'a Host,
}

pub(crate) fn derive(inputs: Inputs<'_>) -> Underlays {
    let mut found = Underlays::default();
    let condition = |name: &str, message: String| Condition {
        subject: format!("IPPool/{name}"),
        reason: Reason::AttachmentUnavailable,
        message,
    };
    // Which pool an interface carries first, and how.
    let mut carried: HashMap<u32, (UnderlayKind, &str)> = HashMap::new();
    for judged in attachments(inputs.pools.values().map(|pool| &**pool)) {
        if let Some(why) = &judged.refused {
            let now =
                judged.attachment.underlay().map_or_else(|| "Routed".to_owned(), |kind| kind.to_string());
            found.conditions.push(condition(judged.name, format!("{why}; in force stays {now}")));
        }
        let Some(kind) = judged.attachment.underlay() else {
            if judged.refused.is_some() {
                found.by_pool.insert(judged.name.to_owned(), PoolAttachment::Routed);
            }
            continue;
        };
        found.passing.push(judged.cidr);
        if kind.is_on_link() {
            found.on_link.push(judged.cidr);
        }
        // Elsewhere nobody takes from it.
        let selected = inputs.me.zip(inputs.pools.get(judged.name));
        if selected.is_some_and(|(me, pool)| !pool.spec.node_selector.matches(&me.labels)) {
            continue;
        }
        found.drivers.insert(kind.mode());
        let here = underlay(inputs, &judged.attachment, kind, judged.cidr).and_then(|underlay| {
            let (first, by) = *carried.entry(underlay.index).or_insert((kind, judged.name));
            if first == kind {
                return Ok(underlay);
            }
            let interface = &underlay.interface;
            Err(format!("{interface} carries pods of IPPool/{by} by {first}: an interface carries one kind of attachment"))
        });
        let attachment = match here {
            Ok(underlay) => PoolAttachment::Underlay(underlay),
            Err(why) => {
                let message = format!("no pods by {kind} on this node: {why}");
                // While nothing is known of the host, nothing is wrong with it.
                if !inputs.host.links.is_empty() {
                    found.conditions.push(condition(judged.name, message.clone()));
                }
                PoolAttachment::Unavailable(message)
            }
        };
        found.by_pool.insert(judged.name.to_owned(), attachment);
    }
    found
}

/// What the node offers, or what is in the way.
fn underlay(
    inputs: Inputs<'_>,
    attachment: &Attachment,
    kind: UnderlayKind,
    cidr: Prefix,
) -> Result<Underlay, String> {
    let (index, link) = interface(inputs, attachment, cidr.family())?;
    if let Some(objection) = objection(inputs.host, kind, link) {
        return Err(objection);
    }
    let (subnet, gateway) = if kind.is_on_link() {
        let subnet = subnet(inputs.host, attachment, link, cidr)?;
        let default = || default_router(inputs.host, index, subnet);
        (Some(subnet), attachment.gateway.or_else(default))
    } else {
        (None, None)
    };
    if let Some(gateway) = gateway.filter(|gateway| cidr.contains(*gateway)) {
        return Err(format!("the router {gateway} is in {cidr}, so that a pod could get its address"));
    }
    if let Some(own) = inputs.host.addresses.iter().find(|own| cidr.contains(own.address)) {
        return Err(format!("{cidr} has the address {} of this node's {}", own.address, own.interface));
    }
    let own = inputs.host.addresses.iter().map(|own| own.address);
    let node = own.filter(|address| Family::of(*address) == cidr.family() && is_global(*address)).collect();
    let HostLink { name: interface, mac, mtu, .. } = link.clone();
    Ok(Underlay { kind, index, interface, mac, mtu, subnet, gateway, node })
}

/// The interface that is named, else the one with the node's address.
fn interface<'a>(
    inputs: Inputs<'a>,
    attachment: &Attachment,
    family: Family,
) -> Result<(u32, &'a HostLink), String> {
    let links = &inputs.host.links;
    let named =
        |name: &str| links.iter().find(|(_, link)| link.name == name).map(|(index, link)| (*index, link));
    if let Some(name) = &attachment.interface {
        return named(name).ok_or_else(|| format!("there is no interface {name}"));
    }
    let address = inputs.me.and_then(|me| me.identity.address(family));
    let address = address
        .ok_or_else(|| format!("this node has no {family} address to find the interface by: {SAY}"))?;
    let own = inputs.host.addresses.iter().find(|own| own.address == address.addr);
    own.and_then(|own| named(&own.interface))
        .ok_or_else(|| format!("no interface has this node's address {}: {SAY}", address.addr))
}

/// What speaks against an interface.
fn objection(host: &Host, kind: UnderlayKind, link: &HostLink) -> Option<String> {
    let name = &link.name;
    if host.lacking.contains(&kind.mode()) {
        let module = if kind == UnderlayKind::Macvlan { "macvlan" } else { "ipvlan" };
        return Some(format!("the kernel has no {module} (module {module})"));
    }
    if let Some(master) = link.master.as_ref().filter(|master| *master != "vrf") {
        return Some(format!("{name} is a port of a {master}, which takes all its packets: name that"));
    }
    if link.mac.is_none() {
        return Some(format!("{name} is no Ethernet interface"));
    }
    (link.wireless && kind == UnderlayKind::Macvlan).then(|| {
        format!(
            "{name} is wireless: access points take packets from its own MAC address only; IPVLAN has that"
        )
    })
}

/// The subnet that is named, else that of the interface's address around the pool.
fn subnet(host: &Host, attachment: &Attachment, link: &HostLink, cidr: Prefix) -> Result<Prefix, String> {
    let around = || {
        let own = host.addresses.iter().filter(|own| own.interface == link.name);
        own.map(crate::HostAddress::subnet)
            .filter(|subnet| subnet.covers(cidr))
            .max_by_key(|subnet| subnet.len())
    };
    attachment.subnet.or_else(around).ok_or_else(|| {
        format!("no subnet of {} is around {cidr}: name one in spec.attachment.subnet", link.name)
    })
}

/// The node's own default router behind the interface, if pods can use it.
fn default_router(host: &Host, index: u32, subnet: Prefix) -> Option<IpAddr> {
    let family = subnet.family();
    let mut defaults: Vec<_> = host
        .routes
        .iter()
        .filter(|route| route.prefix.len() == 0 && route.prefix.family() == family)
        .collect();
    defaults.sort_by_key(|route| route.metric);
    let routers = defaults.iter().flat_map(|route| &route.hops).filter(|hop| hop.index == index);
    let link_local = |router: &IpAddr| matches!(router, IpAddr::V6(v6) if v6.is_unicast_link_local());
    routers.filter_map(|hop| hop.gateway).find(|router| subnet.contains(*router) || link_local(router))
}
