//! The largest packets: what the paths to the other nodes carry, and what of it tunnels leave to pods.
//!
//! The least of all paths counts, because a pod has one MTU and may speak with any other. What a pool's encapsulation adds is taken off
//! as soon as the pool asks for it, also where its mode is `CrossSubnet` and no node is in another subnet yet: such a node would
//! otherwise change the MTU of every running pod when it joins.

use std::net::IpAddr;

use cairn_net::Family;

use crate::fabric::{TunnelKind, Wanted, slot};
use crate::host::Host;

/// What every IPv6 link must carry (RFC 8200 section 5): with less, Linux switches IPv6 off on an interface.
const LEAST_IPV6: u32 = 1280;
/// What every IPv4 host must take (RFC 791 section 3.1).
const LEAST_IPV4: u32 = 576;
/// The largest IP packet (RFC 791 section 3.1).
const LARGEST: u32 = 65535;
/// What nearly every link carries, where nothing is known.
const USUAL: u32 = 1500;

/// The least MTU of the paths to the other nodes, by the family of the nodes' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Paths([Option<u32>; 2]);

impl Paths {
    /// With these least ones to the other nodes; where no path leads to any, the MTU of the interface with the node's own address, else the least
    /// of all its interfaces.
    pub(crate) fn of(mut least: [Option<u32>; 2], own: [Option<IpAddr>; 2], host: &Host) -> Self {
        let interface = |address: IpAddr| {
            let name = &host.addresses.iter().find(|own| own.address == address)?.interface;
            host.links.values().find(|link| link.name == *name).map(|link| link.mtu)
        };
        let any = || host.links.values().map(|link| link.mtu).min();
        if least == [None; 2] {
            least = own.map(|own| own.map(|own| interface(own).or_else(any)).unwrap_or_default());
        }
        if least == [None; 2] {
            least[0] = any();
        }
        Self(least)
    }

    /// What fits through a tunnel.
    pub(crate) fn through(self, device: &Wanted, with_ipv6: bool) -> u32 {
        let known = self.known(device).unwrap_or(USUAL);
        known.saturating_sub(device.kind.overhead(device.outer)).max(floor(device.kind, with_ipv6))
    }

    /// What the paths that a tunnel's packets take carry.
    fn known(self, device: &Wanted) -> Option<u32> {
        let [v4, v6] = self.0;
        match device.kind.outer() {
            Some(outer) => self.0[slot(outer)].or(v4).or(v6),
            None => self.0.into_iter().flatten().min(),
        }
    }

    /// What pods may send, with tunnels that take this; `None` while nothing is known.
    pub(crate) fn pods(self, through: impl Iterator<Item = u32>, with_ipv6: bool) -> Option<u32> {
        let plain = self.0.into_iter().flatten().min()?;
        Some(through.fold(plain, u32::min).max(least(with_ipv6)))
    }

    /// Where less fits than packets are allowed to have all the same, because IP works with no less: what is too small, and both sizes.
    pub(crate) fn too_small<'a>(
        self,
        tunnels: impl Iterator<Item = &'a Wanted>,
        with_ipv6: bool,
    ) -> Vec<(Option<TunnelKind>, u32, u32)> {
        let plain = self.0.into_iter().flatten().min().map(|fits| (None, fits, least(with_ipv6)));
        let through = tunnels.filter_map(|device| {
            let fits = self.known(device)?.saturating_sub(device.kind.overhead(device.outer));
            Some((Some(device.kind), fits, floor(device.kind, with_ipv6)))
        });
        plain.into_iter().chain(through).filter(|(_, fits, allowed)| fits < allowed).collect()
    }
}

/// What a device's MTU is at least. That for outer packets of IPv6 has gateways of IPv6, whatever it carries.
const fn floor(kind: TunnelKind, with_ipv6: bool) -> u32 {
    least(with_ipv6 || matches!(kind, TunnelKind::Vxlan(Family::Ipv6)))
}

/// The MTU that is said, as far as encapsulation in these tunnels leaves room in an IP packet.
pub(crate) fn with_room<'a>(said: u32, tunnels: impl Iterator<Item = &'a Wanted>) -> u32 {
    tunnels.fold(said, |mtu, device| mtu.min(LARGEST - device.kind.overhead(device.outer)))
}

const fn least(with_ipv6: bool) -> u32 {
    if with_ipv6 { LEAST_IPV6 } else { LEAST_IPV4 }
}
