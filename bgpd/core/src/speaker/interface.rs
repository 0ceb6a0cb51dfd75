//! Our addresses on the interface that a session runs on: next hops for the routes of both families.
//!
//! Spec: RFC 4760 section 3, RFC 2545 sections 2 and 3.
//! Not here: finding the interfaces and noticing when they change (the shell).

use std::net::{IpAddr, Ipv6Addr};

use cairn_net::Family;

use super::Speaker;
use super::peer::PeerId;

/// An interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its addresses, in the kernel's order: the first one of a kind is used.
    pub addresses: Vec<InterfaceAddress>,
}

/// An address with its subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub addr: IpAddr,
    /// Length of the subnet's prefix in bits.
    pub prefix_len: u8,
}

/// What a session's interface has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OnLink {
    /// The first IPv4 address.
    pub(super) ipv4: Option<IpAddr>,
    /// The first global IPv6 address.
    pub(super) ipv6: Option<IpAddr>,
    /// The first link-local address, where the peer is on the same link and so can use it.
    pub(super) link_local: Option<Ipv6Addr>,
}

impl OnLink {
    /// Of the interface that has `local`; nothing if none has.
    pub(super) fn of(interfaces: &[Interface], local: IpAddr, peer: IpAddr) -> Self {
        let has = |interface: &&Interface| interface.addresses.iter().any(|address| address.addr == local);
        let Some(interface) = interfaces.iter().find(has) else { return Self::default() };
        let mut addresses = interface.addresses.iter().map(|address| address.addr);
        let usable = |family| {
            let fits = move |addr: &IpAddr| {
                Family::of(*addr) == family && !is_link_local(*addr) && !addr.is_loopback()
            };
            interface.addresses.iter().map(|address| address.addr).find(fits)
        };
        let shared = interface.addresses.iter().any(|address| address.covers(peer));
        Self {
            ipv4: usable(Family::Ipv4),
            ipv6: usable(Family::Ipv6),
            link_local: addresses.find_map(|addr| match addr {
                IpAddr::V6(v6) if shared && v6.is_unicast_link_local() => Some(v6),
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            }),
        }
    }

    /// The address for routes of a family.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl InterfaceAddress {
    /// Is the other address in the subnet of this one?
    fn covers(&self, other: IpAddr) -> bool {
        let covers = |own: u128, other: u128, bits: u8| {
            let host = bits.saturating_sub(self.prefix_len);
            (own ^ other).checked_shr(host.into()).unwrap_or(0) == 0
        };
        match (self.addr, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                covers(u32::from(own).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => covers(own.into(), other.into(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Means something on its link only. An IPv4 one does, too, but there may be no other.
pub(super) fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl Speaker {
    /// The machine's addresses changed: who is told one that is no longer ours is told anew.
    pub(super) fn interfaces_changed(&mut self, interfaces: Vec<Interface>) {
        if self.interfaces == interfaces {
            return;
        }
        self.interfaces = interfaces;
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.regroup(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: &[(&str, u8)]) -> Interface {
        let address = |(addr, prefix_len): &(&str, u8)| InterfaceAddress {
            addr: addr.parse().unwrap(),
            prefix_len: *prefix_len,
        };
        Interface { addresses: addresses.iter().map(address).collect() }
    }

    fn on_link(local: &str, peer: &str) -> [Option<String>; 3] {
        let interfaces = [
            interface(&[("127.0.0.1", 8), ("192.0.2.1", 32), ("::1", 128), ("2001:db8::1", 128)]),
            interface(&[("10.0.0.1", 31), ("fe80::1", 64), ("fd00::1", 127), ("fd00::9", 64)]),
            interface(&[("10.0.1.1", 31)]),
        ];
        let found = OnLink::of(&interfaces, local.parse().unwrap(), peer.parse().unwrap());
        let text = |addr: Option<IpAddr>| addr.map(|addr| addr.to_string());
        [text(found.ipv4), text(found.ipv6), text(found.link_local.map(IpAddr::V6))]
    }

    fn some(texts: [&str; 3]) -> [Option<String>; 3] {
        texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    #[test]
    fn the_other_family_comes_from_the_same_interface() {
        assert_eq!(on_link("10.0.0.1", "10.0.0.0"), some(["10.0.0.1", "fd00::1", "fe80::1"]));
        assert_eq!(on_link("fd00::1", "fd00::"), some(["10.0.0.1", "fd00::1", "fe80::1"]));
        assert_eq!(on_link("10.0.1.1", "10.0.1.0"), some(["10.0.1.1", "", ""]));
        assert_eq!(on_link("203.0.113.1", "10.0.1.0"), some(["", "", ""]));
    }

    #[test]
    fn a_link_local_address_is_for_peers_on_the_link_and_loopback_for_nobody() {
        assert_eq!(on_link("10.0.0.1", "203.0.113.9"), some(["10.0.0.1", "fd00::1", ""]));
        assert_eq!(on_link("192.0.2.1", "10.0.0.0"), some(["192.0.2.1", "2001:db8::1", ""]));
        assert_eq!(on_link("127.0.0.1", "127.0.0.2"), some(["192.0.2.1", "2001:db8::1", ""]));
    }

    #[test]
    fn subnets_of_every_length_are_compared() {
        let address = |addr: &str, prefix_len| InterfaceAddress { addr: addr.parse().unwrap(), prefix_len };
        let other = "203.0.113.7".parse().unwrap();
        assert!(address("10.0.0.1", 0).covers(other));
        assert!(address("203.0.113.6", 31).covers(other) && !address("203.0.113.6", 32).covers(other));
        assert!(!address("::", 0).covers(other) && address("::", 0).covers("fd00::1".parse().unwrap()));
        assert!(!address("fd00::1", 128).covers("fd00::2".parse().unwrap()));
    }
}
