//! The pair, its two ends, and the container's addresses and routes.
//!
//! The host's end answers for the gateway: 169.254.1.1 by proxy ARP, the link-local one because it has it. Both sides know each other's MAC from
//! the start, so that no packet waits for ARP or neighbour discovery, and no duplicate address detection delays the first one.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;

use cairn_kernel::object::{Address, IfIndex, Link, LinkChange, LinkName, Neighbour, Route, Veth, VethEnd};
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_kernel::{Error, Netns, Requests, Rtnl};
use cairn_net::{Family, Prefix};
use felix_api::{HOST_MAC, gateway};
use nix::errno::Errno;

use super::{Hands, WiringError, underlay};
use crate::cni::journal::Record;

/// IPv4 settings of the host's end. Reverse path filtering is the firewall's: its check is stricter, and holds whatever `all` says.
const HOST_CONF: [(Conf, u32); 4] =
    [(Conf::Forwarding, 1), (Conf::ProxyArp, 1), (Conf::RpFilter, 0), (Conf::SendRedirects, 0)];

/// Beside them, where a port of the node leads to the container from the node's 127.0.0.1: the answers come back to that address. The firewall drops
/// all else that comes in there for it.
const WITH_LOOPBACK: [(Conf, u32); 5] =
    [HOST_CONF[0], HOST_CONF[1], HOST_CONF[2], HOST_CONF[3], (Conf::RouteLocalnet, 1)];

/// Makes everything. Nothing of it may be there yet but an interface that is about to be deleted.
pub(super) fn up(hands: &mut Hands, record: &Record, netns: &File) -> Result<(), WiringError> {
    let netns = open(record, netns)?;
    let (host, pod): (LinkName, LinkName) = (record.interface.parse()?, record.inner_ifname().parse()?);
    let link = create(&mut hands.rtnl, record, &netns, &host, &pod)?;
    host_end(&mut hands.rtnl, record, &link)?;
    let peer = link.peer.ok_or(Error::Malformed { what: "veth", rule: "names its peer" })?;
    pod_end(&hands.home, record, &netns, peer)?;
    underlay::up(hands, record, &netns)?;
    // The host's end got its carrier when the other came up, but drops what it is to send until the kernel's own task has taken
    // note. Asking for the interface does that task's work first (`linkwatch_sync_dev`).
    let gone = || Error::refused("get", format_args!("link {host}"), Errno::ENODEV);
    hands.rtnl.link(link.index)?.ok_or_else(gone)?;
    Ok(())
}

/// Gives both ends another MTU: the larger one is never on the far side of the smaller. Where one end refuses, the other gets back what it had.
pub(super) fn resize(hands: &mut Hands, record: &Record, netns: &File, mtu: u32) -> Result<(), WiringError> {
    let mut inside = open(record, netns)?.visit(&hands.home, Rtnl::open)??;
    let (host, pod): (LinkName, LinkName) =
        (record.interface.parse()?, record.attachment.ifname.as_str().parse()?);
    let outside = &mut hands.rtnl;
    // What they have counts, not what the record says: a crash may have come between the two.
    let (outer, inner) = (mtu_of(outside, &host)?, mtu_of(&mut inside, &pod)?);
    if mtu < inner {
        set_mtu(&mut inside, &pod, inner, mtu)?;
        set_mtu(outside, &host, outer, mtu).or_else(|error| back(&mut inside, &pod, inner, error))?;
    } else {
        set_mtu(outside, &host, outer, mtu)?;
        set_mtu(&mut inside, &pod, inner, mtu).or_else(|error| back(outside, &host, outer, error))?;
    }
    Ok(())
}

fn mtu_of(rtnl: &mut Rtnl, name: &LinkName) -> Result<u32, Error> {
    let gone = || Error::refused("get", format_args!("link {name}"), Errno::ENODEV);
    Ok(rtnl.link(name)?.ok_or_else(gone)?.mtu)
}

fn set_mtu(rtnl: &mut Rtnl, name: &LinkName, now: u32, wanted: u32) -> Result<(), Error> {
    if now == wanted {
        return Ok(());
    }
    rtnl.change_link(name, &LinkChange { mtu: Some(wanted), ..LinkChange::default() })
}

/// Gives an end back what it had, and then the error of the other.
fn back(rtnl: &mut Rtnl, name: &LinkName, before: u32, error: Error) -> Result<(), Error> {
    rtnl.change_link(name, &LinkChange { mtu: Some(before), ..LinkChange::default() })?;
    Err(error)
}

/// The namespace of an open file.
pub(super) fn open(record: &Record, netns: &File) -> Result<Netns, WiringError> {
    Netns::open(&PathBuf::from(format!("/proc/self/fd/{}", netns.as_raw_fd())))
        .map_err(|source| WiringError::NotNetns { netns: record.netns.clone(), source })
}

fn create(
    rtnl: &mut Rtnl,
    record: &Record,
    netns: &Netns,
    host: &LinkName,
    pod: &LinkName,
) -> Result<Link, WiringError> {
    let veth = Veth {
        host: VethEnd { name: host.clone(), mac: Some(HOST_MAC) },
        peer: VethEnd { name: pod.clone(), mac: Some(record.inner_mac()) },
        peer_netns: Some(netns.as_fd()),
        mtu: record.mtu,
        // Without a carrier until the other end is up: no address is made by itself before the settings are in force.
        up: true,
    };
    match rtnl.make_veth(&veth) {
        // The one of an earlier ADD, waiting for its deletion; the name is ours alone.
        Err(error) if error.is_exists() && rtnl.delete_link(host)? => {}
        Err(error) if error.is_exists() => return Err(exists(record)),
        result => return Ok(result?),
    }
    rtnl.make_veth(&veth).map_err(|error| if error.is_exists() { exists(record) } else { error.into() })
}

pub(super) fn exists(record: &Record) -> WiringError {
    let ifname = record.attachment.ifname.to_string();
    WiringError::InterfaceExists { ifname, netns: record.netns.clone() }
}

fn host_end(rtnl: &mut Rtnl, record: &Record, link: &Link) -> Result<(), WiringError> {
    let index = link.index;
    let mut requests = Requests::new();
    let ipv4: &[_] = if record.serves_loopback() { &WITH_LOOPBACK } else { &HOST_CONF };
    requests.change_link(index, &LinkChange { ipv4, link_local: Some(false), ..LinkChange::default() });
    if families(record).any(|family| family == Family::Ipv6) {
        // Routers' advertisements come from nobody here; the kernel takes this setting by file only.
        let accept_ra = Sysctl::Conf(Family::Ipv6, Scope::Link(link.name.parse()?), Conf::AcceptRa);
        sysctl::write(&accept_ra, 0)?;
        let addr = gateway(Family::Ipv6);
        requests.replace(&Address { prefix_len: 64, ..Address::host(index, addr) });
    }
    for addr in &record.addresses {
        requests.replace(&Neighbour::permanent(index, *addr, record.inner_mac()));
    }
    Ok(rtnl.execute_all(&mut requests)?)
}

fn pod_end(home: &Netns, record: &Record, netns: &Netns, index: IfIndex) -> Result<(), WiringError> {
    let mut rtnl = netns.visit(home, Rtnl::open)??;
    let mut requests = pod_requests(record, index)?;
    let result = rtnl.execute_all(&mut requests);
    // Some runtimes switch IPv6 off in every namespace they make. A pod with an IPv6 address is meant to use it.
    if result.as_ref().is_err_and(|error| error.errno() == Some(Errno::EACCES)) {
        enable_ipv6(home, netns, &record.inner_ifname().parse()?)?;
        return Ok(rtnl.execute_all(&mut pod_requests(record, index)?)?);
    }
    Ok(result?)
}

/// All of it may be there already, in part.
fn pod_requests(record: &Record, index: IfIndex) -> Result<Requests, WiringError> {
    let on = LinkChange { up: Some(true), ..LinkChange::default() };
    let mut requests = Requests::new();
    if let Some(underlay) = &record.underlay {
        beside_underlay(&mut requests, index, &underlay.node);
        return Ok(requests);
    }
    requests.change_link(&"lo".parse()?, &on).change_link(index, &on);
    for addr in &record.addresses {
        let family = Family::of(*addr);
        let gateway = gateway(family);
        requests.replace(&Address::host(index, *addr));
        requests.replace(&Neighbour::permanent(index, gateway, HOST_MAC));
        for route in routes(family, gateway, index) {
            requests.replace(&route);
        }
    }
    Ok(requests)
}

/// The way to the node alone, whose own interface in the underlay a pod there does not reach. What the node forwards to the pod comes in
/// here too, and answers leave by the underlay.
fn beside_underlay(requests: &mut Requests, index: IfIndex, node: &[IpAddr]) {
    let quiet = LinkChange { ipv4: &[(Conf::RpFilter, 0)], link_local: Some(false), ..LinkChange::default() };
    let on = LinkChange { up: Some(true), ..LinkChange::default() };
    requests.change_link(index, &quiet).change_link(index, &on);
    for addr in node {
        requests.replace(&Neighbour::permanent(index, *addr, HOST_MAC));
        requests.replace(&Route::dev(Prefix::host(*addr), index));
    }
}

/// The way to the gateway, where it is not link-local as IPv6's is, and the way to everything through it.
fn routes(family: Family, gateway: IpAddr, index: IfIndex) -> impl Iterator<Item = Route> {
    let on_link = (family == Family::Ipv4).then(|| Route::dev(Prefix::host(gateway), index));
    let default = Prefix::new(family.unspecified(), 0).map(|all| Route::via(all, gateway, Some(index)));
    on_link.into_iter().chain(default)
}

fn enable_ipv6(home: &Netns, netns: &Netns, name: &LinkName) -> Result<(), Error> {
    netns.visit(home, || {
        sysctl::write(&Sysctl::Conf(Family::Ipv6, Scope::Link(name.clone()), Conf::DisableIpv6), 0)
    })?
}

pub(super) fn families(record: &Record) -> impl Iterator<Item = Family> {
    record.addresses.iter().map(|addr| Family::of(*addr))
}
