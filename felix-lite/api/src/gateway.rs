//! A pod's first hop: the same two addresses and the same MAC on every node, so that a pod can be moved by its image.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_net::{Family, Mac};

/// The MAC address of every workload interface on the host.
pub const HOST_MAC: Mac = Mac([0xee; 6]);

/// How the names of workload interfaces on the host begin.
pub const WORKLOAD: &str = "crn";

/// The interface group of tunnel devices: our mark on them (docs/adr/0030).
pub const TUNNEL_GROUP: u32 = 0x0CA0_0002;

/// The mark of packets that are encrypted already, in the bits of [`MARK_MASK`]: rules of ours send them past the tunnel (docs/adr/0032).
pub const MARK: u32 = 0x0CA0_0000;

/// The bits of packets' marks that are ours.
pub const MARK_MASK: u32 = 0x0FF0_0000;

/// The routing table of what nodes send to each other through WireGuard.
pub const NODES_TABLE: u32 = 0x0CA0_0003;

/// The priority of the rules that lead into [`NODES_TABLE`].
pub const NODES_PRIORITY: u32 = 10_200;

/// A pod's default gateway: 169.254.1.1, and the link-local address that follows from [`HOST_MAC`] (RFC 4291, appendix A).
pub const fn gateway(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv6_gateway_is_the_eui_64_of_the_mac() {
        let [a, b, c, d, e, f] = HOST_MAC.0;
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        assert_eq!(gateway(Family::Ipv6), IpAddr::from(octets));
    }
}
