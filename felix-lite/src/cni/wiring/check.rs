//! Is the kernel as `up` left it?

use std::fmt;
use std::fs::File;

use cairn_kernel::Rtnl;
use cairn_kernel::object::{Address, IfIndex, Link, Route, RouteTarget, TableId};
use cairn_net::{Family, Mac, Prefix};
use felix_api::HOST_MAC;

use super::up::{families, open};
use super::{Hands, WiringError, underlay};
use crate::cni::journal::Record;
use crate::dataplane::InKernel;
use crate::endpoint::words;

/// Both ends, what is in the underlay, the container's addresses and default routes. Routes of the host are not looked at: see [`host_routes`].
pub(super) fn pair(hands: &mut Hands, record: &Record, netns: &File) -> Result<(), WiringError> {
    let (ifname, inner) = (record.attachment.ifname.as_str(), record.inner_ifname());
    let mut inside = open(record, netns)?.visit(&hands.home, Rtnl::open)??;
    let host = end(&mut hands.rtnl, &record.interface, HOST_MAC, record.mtu)?;
    let pod = end(&mut inside, inner, record.inner_mac(), record.mtu)?;
    if host.peer != Some(pod.index) || pod.peer != Some(host.index) {
        return Err(mismatch(inner, format_args!("not the other end of {}", record.interface)));
    }
    let (index, networks) = match &record.underlay {
        None => (pod.index, None),
        Some(found) => (underlay::check(&mut inside, record, found)?, Some(&found.networks)),
    };
    let addresses: Vec<Address> = inside.list(None)?;
    for wanted in &record.addresses {
        let has = |address: &Address| address.link == index && address.addr == *wanted;
        if !addresses.iter().any(has) {
            return Err(mismatch(ifname, format_args!("the address {} is missing", Prefix::host(*wanted))));
        }
    }
    for (at, family) in families(record).enumerate() {
        let network = networks.and_then(|networks| networks.get(at));
        if network.is_none_or(|network| network.has_default) {
            default_route(&mut inside, family, ifname)?;
        }
    }
    Ok(())
}

/// A plugin behind us may have changed the route, but without any the container reaches nothing.
fn default_route(inside: &mut Rtnl, family: Family, ifname: &str) -> Result<(), WiringError> {
    let routes: Vec<Route> = inside.list(Some(family))?;
    let leads = |route: &Route| {
        route.table == TableId::MAIN && route.prefix.len() == 0 && route.target != RouteTarget::None
    };
    if routes.iter().any(leads) {
        return Ok(());
    }
    let all = Prefix::host(family.unspecified()).addr();
    Err(mismatch(ifname, format_args!("the route to {all}/0 is missing")))
}

/// The host's routes to the container's addresses.
pub(super) fn host_routes(rtnl: &mut Rtnl, record: &Record) -> Result<(), WiringError> {
    let interface = &record.interface;
    let gone = || mismatch(interface, "the interface is missing");
    let index: IfIndex = rtnl.link(&interface.parse()?)?.ok_or_else(gone)?.index;
    for addr in &record.addresses {
        match rtnl.resolve(*addr)? {
            Some(hop) if hop.dev == Some(index) => {}
            Some(_) => {
                return Err(mismatch(interface, format_args!("the node's route to {addr} leads elsewhere")));
            }
            None => return Err(mismatch(interface, format_args!("the node has no route to {addr}"))),
        }
    }
    Ok(())
}

/// The firewall's elements: the container's sources, its ports of the node, its limits.
pub(super) fn firewall(record: &Record) -> Result<(), WiringError> {
    let mut kernel = InKernel::open()?;
    for element in record.endpoint().elements() {
        if !kernel.has(&element)? {
            let difference = format_args!("the firewall does not have {}", words(&element));
            return Err(mismatch(&record.interface, difference));
        }
    }
    Ok(())
}

pub(super) fn end(rtnl: &mut Rtnl, name: &str, mac: Mac, mtu: u32) -> Result<Link, WiringError> {
    let Some(link) = rtnl.link(&name.parse()?)? else {
        return Err(mismatch(name, format_args!("the interface {name} is missing")));
    };
    if !link.flags.up {
        return Err(mismatch(name, "the interface is down"));
    }
    if link.mac != Some(mac) {
        let has = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        return Err(mismatch(name, format_args!("the MAC address is {has}, not {mac}")));
    }
    if link.mtu != mtu {
        return Err(mismatch(name, format_args!("the MTU is {}, not {mtu}", link.mtu)));
    }
    Ok(link)
}

pub(super) fn mismatch(interface: &str, difference: impl fmt::Display) -> WiringError {
    WiringError::Mismatch { interface: interface.to_owned(), difference: difference.to_string() }
}
