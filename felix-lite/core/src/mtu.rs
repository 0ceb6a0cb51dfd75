//! The largest packets: what the paths to the other nodes carry, and what of it tunnels leave to pods.
//!
//! The least of all paths counts, because a pod has one MTU and may speak with any other. What a pool's encapsulation adds is taken off
//! as soon as the pool asks for it, also where its mode is `CrossSubnet` and no node is in another subnet yet: such a node would
//! otherwise change the MTU of every running pod when it joins.

use std::net::IpAddr;

use cairn_net::Family;

use crate::fabric::{Wanted, slot};
use crate::host::Host;

/// What every IPv6 link must carry (RFC 8200 section 5): with less, Linux switches IPv6 off on an interface.
const LEAST_IPV6: u32 = 1280;
/// What every IPv4 host must take (RFC 791 section 3.1).
const LEAST_IPV4: u32 = 576;
/// What nearly every link carries, where nothing is known.
const USUAL: u32 = 1500;

/// The least MTU of the paths to the other nodes, by the family of the nodes' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Paths([Option<u32>; 2]);

impl Paths {
    /// Of the paths to these addresses; where none leads to any, of the interface with the node's own address, else of all its
    /// interfaces.
    pub(crate) fn of(
        others: impl Iterator<Item = IpAddr>,
        path: impl Fn(IpAddr) -> Option<u32>,
        own: [Option<IpAddr>; 2],
        host: &Host,
    ) -> Self {
        let mut least = [None; 2];
        for address in others {
            let Some(mtu) = path(address) else { continue };
            let known = &mut least[slot(Family::of(address))];
            *known = Some(known.map_or(mtu, |known: u32| known.min(mtu)));
        }
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
        let [v4, v6] = self.0;
        let known = match device.kind.outer() {
            Some(outer) => self.0[slot(outer)].or(v4).or(v6),
            None => self.0.into_iter().flatten().min(),
        };
        known.unwrap_or(USUAL).saturating_sub(device.kind.overhead(device.outer)).max(least(with_ipv6))
    }

    /// What pods may send, with tunnels that take this; `None` while nothing is known.
    pub(crate) fn pods(self, through: impl Iterator<Item = u32>, with_ipv6: bool) -> Option<u32> {
        let plain = self.0.into_iter().flatten().min()?;
        Some(through.fold(plain, u32::min).max(least(with_ipv6)))
    }
}

const fn least(with_ipv6: bool) -> u32 {
    if with_ipv6 { LEAST_IPV6 } else { LEAST_IPV4 }
}
