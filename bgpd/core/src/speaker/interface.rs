//! Our addresses on the interface that a session runs on: next hops for the routes of both families.
//!
//! Spec: RFC 4760 section 3, RFC 2545 section 2.
//! Not here: finding the interfaces and noticing when they change (the shell).

use std::net::IpAddr;

use cairn_net::Family;

use super::Speaker;
use super::peer::PeerId;

/// An interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its addresses, in the kernel's order: the first one of a kind is used.
    pub addresses: Vec<IpAddr>,
}

/// What a session's interface has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OnLink {
    /// The first IPv4 address.
    pub(super) ipv4: Option<IpAddr>,
    /// The first global IPv6 address.
    pub(super) ipv6: Option<IpAddr>,
}

impl OnLink {
    /// Of the interface that has `local`; nothing if none has.
    pub(super) fn of(interfaces: &[Interface], local: IpAddr) -> Self {
        let Some(interface) = interfaces.iter().find(|interface| interface.addresses.contains(&local)) else {
            return Self::default();
        };
        let usable = |family| {
            let fits =
                |addr: &IpAddr| Family::of(*addr) == family && !is_link_local(*addr) && !addr.is_loopback();
            interface.addresses.iter().copied().find(fits)
        };
        Self { ipv4: usable(Family::Ipv4), ipv6: usable(Family::Ipv6) }
    }

    /// The address for routes of a family.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

/// Means something on its link only. An IPv4 one does, too, but there may be no other.
fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl Speaker {
    /// The machine's addresses changed: who is told one that is no longer ours is told anew.
    pub(super) fn interfaces_changed(&mut self, interfaces: Vec<Interface>) {
        if self.interfaces == interfaces {
            return;
        }
        self.interfaces = interfaces;
        // What is ours now is no next hop of others.
        self.rib.table.hops.all_due();
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.regroup(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: &[&str]) -> Interface {
        Interface { addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect() }
    }

    fn on_link(local: &str) -> [Option<String>; 2] {
        let interfaces = [
            interface(&["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"]),
            interface(&["10.0.0.1", "fe80::1", "fd00::1", "fd00::9"]),
            interface(&["10.0.1.1"]),
        ];
        let found = OnLink::of(&interfaces, local.parse().unwrap());
        let text = |addr: Option<IpAddr>| addr.map(|addr| addr.to_string());
        [text(found.ipv4), text(found.ipv6)]
    }

    fn some(texts: [&str; 2]) -> [Option<String>; 2] {
        texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    #[test]
    fn the_other_family_comes_from_the_same_interface() {
        assert_eq!(on_link("10.0.0.1"), some(["10.0.0.1", "fd00::1"]));
        assert_eq!(on_link("fd00::1"), some(["10.0.0.1", "fd00::1"]));
        assert_eq!(on_link("10.0.1.1"), some(["10.0.1.1", ""]));
        assert_eq!(on_link("203.0.113.1"), some(["", ""]));
    }

    #[test]
    fn a_loopback_address_is_for_nobody() {
        assert_eq!(on_link("192.0.2.1"), some(["192.0.2.1", "2001:db8::1"]));
        assert_eq!(on_link("127.0.0.1"), some(["192.0.2.1", "2001:db8::1"]));
    }
}
