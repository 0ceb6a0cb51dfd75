//! Addresses of interfaces.

use std::fmt;
use std::net::IpAddr;

use cairn_net::Family;

use super::{Change, IfIndex, Object, Verb, af};
use crate::netlink::{Batch, Frame};

const NEW: u16 = 20;
const DEL: u16 = 21;
const GET: u16 = 22;
/// `struct ifaddrmsg`.
const HEADER: usize = 8;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;
const F_NODAD: u32 = 0x02;
const F_TENTATIVE: u32 = 0x40;

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub link: IfIndex,
    /// The address.
    pub addr: IpAddr,
    /// The length of its subnet in bits; a route to the subnet comes with the address.
    pub prefix_len: u8,
    /// Use it at once, without duplicate address detection (IPv6; ignored for IPv4).
    pub nodad: bool,
    /// Duplicate address detection is still going on; only told by the kernel.
    pub tentative: bool,
}

/// What names an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// The interface.
    pub link: IfIndex,
    /// The address.
    pub addr: IpAddr,
    /// The length of its subnet.
    pub prefix_len: u8,
}

impl Address {
    /// A host address that is usable at once.
    pub const fn host(link: IfIndex, addr: IpAddr) -> Self {
        Self { link, addr, prefix_len: Family::of(addr).bits(), nodad: true, tentative: false }
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {}/{} dev {}", self.addr, self.prefix_len, self.link)
    }
}

fn header(family: Option<Family>, prefix_len: u8, scope: u8, link: u32) -> [u8; HEADER] {
    let [a, b, c, d] = link.to_ne_bytes();
    [af(family), prefix_len, 0, scope, a, b, c, d]
}

/// `RT_SCOPE_LINK` for link-local addresses, else `RT_SCOPE_UNIVERSE`. IPv6 finds its own.
const fn scope(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(v4) if v4.is_loopback() => 254,
        IpAddr::V4(v4) if v4.is_link_local() => 253,
        _ => 0,
    }
}

impl Object for Address {
    type Key = AddressKey;

    fn key(&self) -> AddressKey {
        AddressKey { link: self.link, addr: self.addr, prefix_len: self.prefix_len }
    }

    fn encode(&self, verb: Verb, batch: &mut Batch) {
        let family = Family::of(self.addr);
        let header = header(Some(family), self.prefix_len, scope(self.addr), self.link.0);
        let mut message = batch.message(NEW, verb.flags(), &header);
        message.addr(LOCAL, self.addr).addr(ADDRESS, self.addr);
        if self.nodad && family == Family::Ipv6 {
            message.u32(FLAGS, F_NODAD);
        }
    }

    fn encode_delete(key: &AddressKey, batch: &mut Batch) {
        let header = header(Some(Family::of(key.addr)), key.prefix_len, 0, key.link.0);
        batch.message(DEL, 0, &header).addr(LOCAL, key.addr).addr(ADDRESS, key.addr);
    }

    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &header(family, 0, 0, 0));
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        let (mut local, mut peer, mut flags) = (None, None, None);
        if !matches!(frame.kind, NEW | DEL) {
            return None;
        }
        for attribute in frame.attributes(HEADER) {
            match attribute.kind {
                LOCAL => local = attribute.addr(),
                ADDRESS => peer = attribute.addr(),
                FLAGS => flags = attribute.u32(),
                _ => {}
            }
        }
        let flags = flags.or_else(|| frame.byte(2).map(u32::from))?;
        let address = Self {
            link: IfIndex(frame.u32(4)?),
            // The local end of a point-to-point address; IPv6 sends only the other attribute.
            addr: local.or(peer)?,
            prefix_len: frame.byte(1)?,
            nodad: flags & F_NODAD != 0,
            tentative: flags & F_TENTATIVE != 0,
        };
        Some(if frame.kind == NEW { Change::Present(address) } else { Change::Gone(address) })
    }
}
