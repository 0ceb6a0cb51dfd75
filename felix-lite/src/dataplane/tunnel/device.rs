//! One tunnel device: made, mended, recognised, removed.

use cairn_kernel::object::{IfIndex, Ipip, Kind, Link, LinkChange, LinkFlags, LinkName, Vxlan};
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_kernel::{Error, Requests, Rtnl, wireguard};
use cairn_net::Family;
use felix_api::TUNNEL_GROUP as GROUP;
use felix_core::{Tunnel, TunnelKind};
use nix::errno::Errno;

use crate::dataplane::host;

/// Hop limit of IP-in-IP's outer packets. That of the inner ones would let a long way between nodes eat it up.
const TTL: u8 = 64;

/// While routes change from plain to a tunnel or back, packets come one way and answers go the other: which interface the route to their source
/// leads over is not asked (RFC 3704). The larger of a device's filter and of that for all counts. So where all are to be strict, it is asked whether there is
/// a route at all, and elsewhere nothing, for that question is one more look into the routing table for each packet.
const OFF: (Conf, u32) = (Conf::RpFilter, 0);
const LOOSE: (Conf, u32) = (Conf::RpFilter, 2);
/// The kernel makes no link-local address.
const NO_ADDRESS: u32 = 1;

/// A device as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ensured {
    pub(super) index: IfIndex,
    /// UDP port of VXLAN, else 0.
    pub(super) port: u16,
    /// Was something of it not as it should be?
    pub(super) changed: bool,
    /// Was it made just now?
    pub(super) made: bool,
}

/// Why a device is not as it should be.
#[derive(Debug)]
pub(super) struct Failure {
    /// A sentence that says what is in the way.
    pub(super) error: String,
    /// Is the device there all the same, as far as is known?
    pub(super) is_there: bool,
}

impl Failure {
    const fn amiss(error: String) -> Self {
        Self { error, is_there: true }
    }

    const fn missing(error: String) -> Self {
        Self { error, is_there: false }
    }
}

/// Is it one of ours?
pub(in crate::dataplane) fn is_tunnel(link: &Link) -> bool {
    kind_of(link).is_some()
}

/// Which of ours it is.
pub(super) fn kind_of(link: &Link) -> Option<TunnelKind> {
    let named = TunnelKind::ALL.into_iter().find(|kind| kind.device() == link.name);
    named.filter(|_| link.group == GROUP)
}

pub(super) const fn port_of(link: &Link) -> u16 {
    match &link.kind {
        Kind::Vxlan(settings) => settings.port,
        _ => 0,
    }
}

/// Makes the device, or makes it what it should be.
///
/// `prepare` gives a new device what it needs before it is switched on.
pub(super) fn ensure(
    rtnl: &mut Rtnl,
    kind: TunnelKind,
    tunnel: &Tunnel,
    prepare: impl FnOnce(&LinkName) -> Result<(), String>,
) -> Result<Ensured, Failure> {
    let amiss = |error: Error| Failure::amiss(error.to_string());
    let name = name(kind).map_err(amiss)?;
    let wanted = settings(tunnel);
    let link = match rtnl.link(&name).map_err(amiss)? {
        Some(link) if link.group != GROUP => {
            return Err(Failure::missing(format!(
                "there is an interface {name} (group {}) that is not Cairn's: remove or rename it",
                link.group
            )));
        }
        Some(link) if link.kind == wanted => link,
        other => {
            if let Some(old) = other {
                // A device's ends cannot be changed.
                rtnl.delete_link(old.index).map_err(amiss)?;
            }
            create(rtnl, &name, tunnel, wanted)
                .map_err(|error| Failure::missing(explain(kind, tunnel, &error)))?;
            let started = prepare(&name)
                .and_then(|()| start(rtnl, &name).map_err(|error| explain(kind, tunnel, &error)));
            if let Err(error) = started {
                rtnl.delete_link(&name).map_err(amiss)?;
                return Err(Failure::missing(error));
            }
            let link = rtnl.link(&name).map_err(|error| Failure::missing(error.to_string()))?;
            let gone = || Failure::missing(format!("{name} is gone as soon as it was made"));
            let index = link.ok_or_else(gone)?.index;
            return Ok(Ensured { index, port: port(tunnel), changed: true, made: true });
        }
    };
    let change = change(&link, tunnel);
    if let Some(change) = &change {
        let done = rtnl.change_link(link.index, change);
        done.map_err(|error| Failure {
            error: explain(kind, tunnel, &error),
            is_there: !error.is_not_found(),
        })?;
    }
    Ok(Ensured { index: link.index, port: port(tunnel), changed: change.is_some(), made: false })
}

/// Is a device of ours all that it should be?
pub(super) fn is_as_wanted(link: &Link, tunnel: &Tunnel) -> bool {
    link.group == GROUP && link.kind == settings(tunnel) && change(link, tunnel).is_none()
}

/// What differs and can be changed.
fn change(link: &Link, tunnel: &Tunnel) -> Option<LinkChange<'static>> {
    let mut change = LinkChange::default();
    if link.mtu != tunnel.mtu {
        change.mtu = Some(tunnel.mtu);
    }
    if let Some(vxlan) = tunnel.vxlan.filter(|vxlan| link.mac != Some(vxlan.mac)) {
        change.mac = Some(vxlan.mac);
    }
    if !link.flags.up {
        change.up = Some(true);
    }
    if let Ok(name) = link.name.parse::<LinkName>() {
        let filter = filter();
        let [(conf, value)] = *filter;
        if differs(Family::Ipv4, &name, conf, value) {
            change.ipv4 = filter;
        }
        if differs(Family::Ipv6, &name, Conf::AddrGenMode, NO_ADDRESS) {
            change.link_local = Some(false);
        }
    }
    let settings = !change.ipv4.is_empty() || change.link_local.is_some();
    (settings || change.mtu.is_some() || change.mac.is_some() || change.up.is_some()).then_some(change)
}

/// The reverse path filter that a tunnel should have now.
fn filter() -> &'static [(Conf, u32); 1] {
    if host::all_are_strict() { &[LOOSE] } else { &[OFF] }
}

/// Is a setting of an interface another? One that cannot be read, as IPv6's where that is switched off, is not.
fn differs(family: Family, name: &LinkName, conf: Conf, wanted: u32) -> bool {
    sysctl::read(&Sysctl::Conf(family, Scope::Link(name.clone()), conf))
        .is_ok_and(|value| value != i64::from(wanted))
}

/// Removes the device. One that is gone is no error.
pub(super) fn remove(rtnl: &mut Rtnl, kind: TunnelKind) -> Result<(), Error> {
    let name = name(kind)?;
    match rtnl.link(&name)? {
        Some(link) if link.group == GROUP => rtnl.delete_link(link.index).map(drop),
        _ => Ok(()),
    }
}

fn create(rtnl: &mut Rtnl, name: &LinkName, tunnel: &Tunnel, kind: Kind) -> Result<(), Error> {
    let link = Link {
        index: IfIndex(0),
        name: name.to_string(),
        mac: tunnel.vxlan.map(|vxlan| vxlan.mac),
        mtu: tunnel.mtu,
        flags: LinkFlags::default(),
        kind,
        master: None,
        peer: None,
        group: GROUP,
        alias: None,
    };
    rtnl.create(&link)
}

/// Switches a new device on.
fn start(rtnl: &mut Rtnl, name: &LinkName) -> Result<(), Error> {
    // No link-local address of the kernel's making: gateways follow from MACs, and nobody solicits or advertises here.
    let quiet = LinkChange { ipv4: filter(), link_local: Some(false), ..LinkChange::default() };
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    rtnl.execute_all(Requests::new().change_link(name, &quiet).change_link(name, &up))
}

fn settings(tunnel: &Tunnel) -> Kind {
    let local = Some(tunnel.local);
    match (tunnel.vxlan, tunnel.wireguard_port) {
        (Some(vxlan), _) => {
            Kind::Vxlan(Vxlan { vni: vxlan.vni, port: vxlan.port, local, dev: None, learning: false })
        }
        (None, Some(_)) => Kind::Other(wireguard::KIND.to_owned()),
        (None, None) => Kind::Ipip(Ipip { local, remote: None, ttl: TTL }),
    }
}

fn port(tunnel: &Tunnel) -> u16 {
    tunnel.vxlan.map_or(0, |vxlan| vxlan.port)
}

fn name(kind: TunnelKind) -> Result<LinkName, Error> {
    kind.device().parse()
}

/// What the kernel says, in terms of what an operator can do about it.
fn explain(kind: TunnelKind, tunnel: &Tunnel, error: &Error) -> String {
    if let Some(port) = tunnel.wireguard_port {
        return match error.errno() {
            Some(Errno::EADDRINUSE) => {
                format!("{kind}: UDP port {port} is in use by another program of this node: {error}")
            }
            Some(Errno::EOPNOTSUPP) => {
                format!("{kind}: the kernel has no WireGuard (module wireguard): {error}")
            }
            _ => format!("{kind}: {error}"),
        };
    }
    let hint = match (error.errno(), tunnel.vxlan) {
        (Some(Errno::EADDRINUSE), Some(vxlan)) => {
            format!("UDP port {} is in use by another program or VXLAN device of this node", vxlan.port)
        }
        (Some(Errno::EEXIST), Some(vxlan)) => {
            format!("another VXLAN device of this node has VNI {} on port {}", vxlan.vni, vxlan.port)
        }
        (Some(Errno::EEXIST), None) => {
            format!("another IP-in-IP device of this node has the address {}", tunnel.local)
        }
        (Some(Errno::EOPNOTSUPP), Some(_)) => "the kernel has no VXLAN (module vxlan)".to_owned(),
        (Some(Errno::EOPNOTSUPP), None) => "the kernel has no IP-in-IP (module ipip)".to_owned(),
        _ => return format!("{kind}: {error}"),
    };
    format!("{kind}: {hint}: {error}")
}
