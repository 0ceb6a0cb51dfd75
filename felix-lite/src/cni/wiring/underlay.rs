//! A container's interface in the network that the node is in: made, compared, removed.
//!
//! It is made where it belongs, in the container's namespace, so the node's namespace never has it. Its addresses are on it before it is
//! switched on, for then the kernel tells them to the network (gratuitous ARP, unsolicited advertisements): switches and neighbours
//! learn at once where an address has moved to.

use std::fs::File;
use std::os::fd::AsFd as _;

use cairn_api::kinds::{IpvlanMode, UnderlayKind};
use cairn_kernel::object::{
    Address, IfIndex, IpvlanMode as KernelMode, Kind, Link, LinkChange, LinkName, Route, Stacked, StackedKind,
};
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_kernel::{Error, Netns, Requests, Rtnl};
use cairn_net::{Family, Prefix};
use felix_api::Network;
use nix::errno::Errno;

use super::up::{exists, families, open};
use super::{Hands, WiringError};
use crate::cni::journal::Record;
use crate::cni::underlay::Underlay;

/// IPv4 settings where neighbours are resolved.
const NOTIFY: [(Conf, u32); 1] = [(Conf::ArpNotify, 1)];

/// Makes it, if the container is to have one. The pair is there already.
pub(super) fn up(hands: &mut Hands, record: &Record, netns: &Netns) -> Result<(), WiringError> {
    let Some(underlay) = &record.underlay else { return Ok(()) };
    let name: LinkName = record.attachment.ifname.as_str().parse()?;
    let stacked = Stacked {
        name: name.clone(),
        parent: IfIndex(underlay.index),
        kind: kernel_kind(underlay.kind),
        // That of an ipvlan interface is always the one below's.
        mac: (underlay.kind == UnderlayKind::Macvlan).then_some(record.pod_mac),
        mtu: Some(record.mtu),
        netns: Some(netns.as_fd()),
    };
    let made = hands.rtnl.execute_all(Requests::new().create_stacked(&stacked));
    made.map_err(|error| explain(record, underlay, error))?;
    netns.visit(&hands.home, || inside(record, underlay, &name))?
}

/// In the container's namespace.
fn inside(record: &Record, underlay: &Underlay, name: &LinkName) -> Result<(), WiringError> {
    let mut rtnl = Rtnl::open()?;
    let gone = || Error::refused("get", format_args!("link {name}"), Errno::ENODEV);
    let index = rtnl.link(name)?.ok_or_else(gone)?.index;
    let on_link = underlay.kind.is_on_link();
    if families(record).any(|family| family == Family::Ipv6) {
        // Addresses are of our giving alone, and runtimes may have switched IPv6 off.
        for (conf, value) in [(Conf::DisableIpv6, 0), (Conf::AcceptRa, 0), (Conf::NdiscNotify, 1)] {
            sysctl::write(&Sysctl::Conf(Family::Ipv6, Scope::Link(name.clone()), conf), value)?;
        }
    }
    let mut requests = Requests::new();
    let quiet =
        LinkChange { link_local: (!on_link).then_some(false), ipv4: &NOTIFY, ..LinkChange::default() };
    requests.change_link(index, &quiet);
    for (addr, network) in record.addresses.iter().zip(&underlay.networks) {
        requests.replace(&Address { prefix_len: network.prefix_len, ..Address::host(index, *addr) });
    }
    requests.change_link(index, &LinkChange { up: Some(true), ..LinkChange::default() });
    for (family, network) in families(record).zip(&underlay.networks) {
        if let Some(route) = default_route(family, *network, index) {
            requests.replace(&route);
        }
    }
    Ok(rtnl.execute_all(&mut requests)?)
}

fn default_route(family: Family, network: Network, index: IfIndex) -> Option<Route> {
    let all = Prefix::new(family.unspecified(), 0).filter(|_| network.has_default)?;
    Some(
        network.gateway.map_or_else(|| Route::dev(all, index), |router| Route::via(all, router, Some(index))),
    )
}

/// Is it as [`up`] made it?
pub(super) fn check(inside: &mut Rtnl, record: &Record, underlay: &Underlay) -> Result<IfIndex, WiringError> {
    let ifname = record.attachment.ifname.as_str();
    let link = super::check::end(inside, ifname, record.pod_mac, record.mtu)?;
    let kind = kernel_kind(underlay.kind);
    if link.kind != Kind::Stacked(kind) || link.peer != Some(IfIndex(underlay.index)) {
        let (interface, kind) = (&underlay.interface, underlay.kind);
        return Err(super::check::mismatch(ifname, format_args!("not on {interface} by {kind}")));
    }
    Ok(link.index)
}

/// Removes it. One that is gone is no error, and another one's of its name stays.
pub(super) fn remove(hands: &mut Hands, record: &Record, netns: &File) -> Result<(), WiringError> {
    let mut inside = open(record, netns)?.visit(&hands.home, Rtnl::open)??;
    let name: LinkName = record.attachment.ifname.as_str().parse()?;
    let ours = |link: &Link| matches!(link.kind, Kind::Stacked(_));
    if let Some(link) = inside.link(&name)?.filter(ours) {
        inside.delete_link(link.index)?;
    }
    Ok(())
}

const fn kernel_kind(kind: UnderlayKind) -> StackedKind {
    match kind {
        UnderlayKind::Macvlan => StackedKind::Macvlan,
        UnderlayKind::Ipvlan(IpvlanMode::L2) => StackedKind::Ipvlan(KernelMode::L2),
        UnderlayKind::Ipvlan(IpvlanMode::L3) => StackedKind::Ipvlan(KernelMode::L3),
        UnderlayKind::Ipvlan(IpvlanMode::L3S) => StackedKind::Ipvlan(KernelMode::L3s),
    }
}

/// What the kernel says, in terms of what an operator can do about it.
fn explain(record: &Record, underlay: &Underlay, error: Error) -> WiringError {
    let (interface, driver) = (&underlay.interface, kernel_kind(underlay.kind).driver());
    let why = match error.errno() {
        Some(Errno::EEXIST) => return exists(record),
        Some(Errno::EOPNOTSUPP) => format!("the kernel has no {driver} (module {driver})"),
        Some(Errno::EBUSY) => {
            format!("{interface} is a port of a bridge or bond, or carries interfaces of another kind")
        }
        Some(Errno::ENODEV) => format!("{interface} is gone"),
        _ => return error.into(),
    };
    WiringError::Underlay { interface: interface.clone(), kind: underlay.kind, why, source: error }
}
