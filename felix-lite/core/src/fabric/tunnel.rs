//! Tunnel devices as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use cairn_api::kinds::{EncapMode, Modes};
use cairn_net::{Family, Mac, Prefix};

use crate::route::Gateway;

/// What a packet is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// IPv4 in IPv4 (RFC 2003).
    Ipip,
    /// Ethernet in UDP (RFC 7348).
    Vxlan,
}

/// A tunnel device of a node: there is at most one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// IP-in-IP over IPv4.
    Ipip,
    /// VXLAN, with outer packets of this family.
    Vxlan(Family),
    /// WireGuard, with outer packets of either family.
    Wireguard,
}

/// How a tunnel device should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Source of outer packets: this node's address. WireGuard takes whichever the route says.
    pub local: IpAddr,
    /// What VXLAN needs besides; `None` for others.
    pub vxlan: Option<VxlanSettings>,
    /// UDP port of WireGuard; `None` for others.
    pub wireguard_port: Option<u16>,
    /// Largest inner packet in bytes.
    pub mtu: u32,
    /// Addresses of the device itself, out of the pools: what this node sends to pods comes from there.
    pub addresses: Vec<IpAddr>,
}

/// The settings of a VXLAN device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VxlanSettings {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// UDP port of both ends.
    pub port: u16,
    /// This node's MAC.
    pub mac: Mac,
    /// Do packets enter it without the checksum of what is inside, for the network card to add?
    pub checksum_offload: bool,
}

/// Another node at the far end of a VXLAN device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPeer {
    /// Its MAC.
    pub mac: Mac,
    /// The addresses by which routes name it as a gateway on the device, ascending.
    pub gateways: Vec<IpAddr>,
}

/// The pools that the addresses of this node's tunnels may be of, of one family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelPools {
    /// Those that an address may stay in, with their ranges: encapsulated, and meant for tunnels.
    pub fit: BTreeMap<String, Prefix>,
    /// Those of them that a new one may be taken from: neither disabled nor for other nodes. In the order of their names.
    pub open: Vec<String>,
}

/// A tunnel device of Cairn that the kernel has, and that has been there for long enough that other nodes have theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostTunnel {
    /// Number of the interface.
    pub index: u32,
    /// UDP port that it receives on; 0 for IP-in-IP and for WireGuard, which knows by itself whom to believe.
    pub port: u16,
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipip => "IP-in-IP",
            Self::Vxlan => "VXLAN",
        })
    }
}

impl Encapsulation {
    pub(crate) const ALL: [Self; 2] = [Self::Ipip, Self::Vxlan];

    /// The mode of this encapsulation.
    pub(crate) const fn mode(self, modes: Modes) -> EncapMode {
        match self {
            Self::Ipip => modes.ipip_mode,
            Self::Vxlan => modes.vxlan_mode,
        }
    }

    /// The device for outer packets of a family.
    pub(crate) const fn over(self, outer: Family) -> TunnelKind {
        match self {
            Self::Ipip => TunnelKind::Ipip,
            Self::Vxlan => TunnelKind::Vxlan(outer),
        }
    }

    /// The families that outer packets may have, the better one first.
    pub(crate) fn outer_families(self, inner: Family) -> impl Iterator<Item = Family> {
        let families = match (self, inner) {
            (Self::Ipip, Family::Ipv4) => [Some(Family::Ipv4), None],
            (Self::Ipip, Family::Ipv6) => [None, None],
            (Self::Vxlan, Family::Ipv4) => [Some(Family::Ipv4), Some(Family::Ipv6)],
            (Self::Vxlan, Family::Ipv6) => [Some(Family::Ipv6), Some(Family::Ipv4)],
        };
        families.into_iter().flatten()
    }
}

impl TunnelKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::Ipip, Self::Vxlan(Family::Ipv4), Self::Vxlan(Family::Ipv6), Self::Wireguard];

    /// What packets are put into; `None` where no pool asks for it.
    pub const fn encapsulation(self) -> Option<Encapsulation> {
        match self {
            Self::Ipip => Some(Encapsulation::Ipip),
            Self::Vxlan(_) => Some(Encapsulation::Vxlan),
            Self::Wireguard => None,
        }
    }

    /// The family of outer packets; `None`: either.
    pub const fn outer(self) -> Option<Family> {
        match self {
            Self::Ipip => Some(Family::Ipv4),
            Self::Vxlan(family) => Some(family),
            Self::Wireguard => None,
        }
    }

    /// The name of the device. Without a dot, which tools that speak of sysctls take for a slash.
    pub const fn device(self) -> &'static str {
        match self {
            Self::Ipip => "cairn-ipip",
            Self::Vxlan(Family::Ipv4) => "cairn-vxlan",
            Self::Vxlan(Family::Ipv6) => "cairn-vxlan6",
            Self::Wireguard => "cairn-wg",
        }
    }

    /// Is it the name of one of these devices?
    pub fn is_device(name: &str) -> bool {
        Self::ALL.iter().any(|kind| kind.device() == name)
    }

    /// Bytes that it adds to a packet with an outer one of a family: the IP header, for VXLAN the headers of UDP (8), VXLAN (8) and the
    /// inner Ethernet (14), for WireGuard those of UDP (8) and of a data message (16), and its authentication tag (16).
    pub const fn overhead(self, outer: Family) -> u32 {
        let header = match outer {
            Family::Ipv4 => 20,
            Family::Ipv6 => 40,
        };
        match self {
            Self::Ipip => header,
            Self::Vxlan(_) => header + 30,
            Self::Wireguard => header + 40,
        }
    }
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.device())
    }
}

/// The MAC of a node's VXLAN devices: the FNV-1a hash of its name, as a unicast address that no vendor gave out.
pub(super) fn mac_of(node: &str) -> Mac {
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [_, _, first, rest @ ..] = hash.to_be_bytes();
    let [b, c, d, e, f] = rest;
    Mac([first & 0xfc | 0x02, b, c, d, e, f])
}

/// The IPv6 link-local address that follows from a MAC (RFC 4291 appendix A).
fn link_local(mac: Mac) -> IpAddr {
    let [a, b, c, d, e, f] = mac.0;
    let octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Addr::from(octets).into()
}

/// The gateway of a node on a device. IPv4 over IPv4 it is the node's address, which the kernel takes as the outer destination of IP-in-IP. All else
/// has a link-local gateway that follows from the MAC: Linux refuses a global IPv6 gateway on a device that the address is not behind.
pub(crate) fn gateway(inner: Family, remote: IpAddr, mac: Mac, index: u32) -> Gateway {
    match (inner, remote) {
        (Family::Ipv4, IpAddr::V4(_)) => Gateway { address: remote, index, onlink: true },
        _ => Gateway { address: link_local(mac), index, onlink: false },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn macs_are_local_unicast_and_differ() {
        let macs: Vec<Mac> = (0..5000).map(|number| mac_of(&format!("node-{number}"))).collect();
        assert!(macs.iter().all(|mac| mac.is_unicast() && mac.0[0] & 2 != 0));
        assert_eq!(macs.iter().collect::<HashSet<_>>().len(), 5000);
    }

    #[test]
    fn a_link_local_address_is_made_of_the_mac() {
        let address = link_local("02:00:5e:10:00:01".parse().unwrap());
        assert_eq!(address, "fe80::5eff:fe10:1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn overheads_are_those_of_the_headers() {
        let overhead = |kind: TunnelKind| kind.overhead(kind.outer().unwrap_or(Family::Ipv6));
        assert_eq!(TunnelKind::ALL.map(overhead), [20, 50, 70, 80]);
        assert_eq!(TunnelKind::Wireguard.overhead(Family::Ipv4), 60);
    }
}
