use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use cairn_net::Family;

/// A next hop: an address, and over a shared link perhaps its link-local one, too (RFC 2545 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The address; may itself be link-local if the peer has no other.
    pub addr: IpAddr,
    /// The link-local address of the same router, next to a global IPv6 one.
    pub link_local: Option<Ipv6Addr>,
}

impl NextHop {
    /// A next hop without a separate link-local address.
    pub const fn new(addr: IpAddr) -> Self {
        Self { addr, link_local: None }
    }

    /// The family of the address, which need not be that of the routes (RFC 8950).
    pub const fn family(self) -> Family {
        Family::of(self.addr)
    }

    /// Is the address one that means something on its link only?
    pub const fn is_link_local(self) -> bool {
        matches!(self.addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
    }

    /// Can a router have this address? Not unspecified, multicast, loopback, broadcast or class E.
    pub fn is_usable(self) -> bool {
        match self.addr {
            IpAddr::V4(addr) => addr.octets()[0] != 0 && addr.octets()[0] < 224 && !addr.is_loopback(),
            IpAddr::V6(addr) => !(addr.is_unspecified() || addr.is_multicast() || addr.is_loopback()),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(addr: IpAddr) -> Self {
        Self::new(addr)
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.addr, f)
    }
}
