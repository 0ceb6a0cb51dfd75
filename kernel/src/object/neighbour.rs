//! Neighbours: which MAC an address has on a link, and for which addresses we answer.

use std::fmt;
use std::net::IpAddr;

use cairn_net::{Family, Mac};

use super::ndmsg::{DEL, DST, GET, HEADER, LLADDR, NEW, NUD_PERMANENT, header};
use super::{Change, IfIndex, Object, Verb, af, family_of};
use crate::netlink::{Batch, Frame};

const PROTOCOL: u16 = 12;
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | NUD_PERMANENT;
const NTF_PROXY: u8 = 1 << 3;

/// What is known of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NeighbourState {
    /// Set by us or an operator, for good.
    Permanent(Mac),
    /// Learned: reachable, or at least not known to be unreachable.
    Learned(Mac),
    /// Being resolved, or unreachable.
    Unresolved,
    /// Not a neighbour, but an address for which the link answers (proxy ARP or NDP).
    Proxy,
}

/// A neighbour of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface.
    pub link: IfIndex,
    /// The neighbour's address.
    pub addr: IpAddr,
    /// What is known of it.
    pub state: NeighbourState,
    /// Who set it, as a routing protocol number; 0 if nobody said.
    pub protocol: u8,
}

/// What names a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourKey {
    /// The interface.
    pub link: IfIndex,
    /// The address.
    pub addr: IpAddr,
    /// Proxy entries and neighbours are kept apart.
    pub proxy: bool,
}

impl Neighbour {
    /// A neighbour whose MAC is known for good.
    pub const fn permanent(link: IfIndex, addr: IpAddr, mac: Mac) -> Self {
        Self { link, addr, state: NeighbourState::Permanent(mac), protocol: super::PROTOCOL }
    }

    /// An address for which the link answers.
    pub const fn proxy(link: IfIndex, addr: IpAddr) -> Self {
        Self { link, addr, state: NeighbourState::Proxy, protocol: super::PROTOCOL }
    }

    /// Appends the message that lists the proxy entries, which the kernel leaves out of the common list.
    pub fn encode_list_proxies(family: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &header(af(family), 0, 0, NTF_PROXY));
    }
}

impl fmt::Display for NeighbourKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = if self.proxy { "proxy " } else { "" };
        write!(f, "{proxy}neighbour {} dev {}", self.addr, self.link)
    }
}

impl Object for Neighbour {
    type Key = NeighbourKey;

    fn key(&self) -> NeighbourKey {
        let proxy = self.state == NeighbourState::Proxy;
        NeighbourKey { link: self.link, addr: self.addr, proxy }
    }

    /// Learned and unresolved neighbours belong to the kernel: writing one makes it permanent or probes it.
    fn encode(&self, verb: Verb, batch: &mut Batch) {
        let family = Some(Family::of(self.addr));
        let (state, flags, mac) = match self.state {
            NeighbourState::Permanent(mac) => (NUD_PERMANENT, 0, Some(mac)),
            NeighbourState::Learned(mac) => (0x04, 0, Some(mac)),
            NeighbourState::Unresolved => (0x10, 0, None),
            NeighbourState::Proxy => (NUD_PERMANENT, NTF_PROXY, None),
        };
        let mut message = batch.message(NEW, verb.flags(), &header(af(family), self.link.0, state, flags));
        message.addr(DST, self.addr);
        if let Some(mac) = mac {
            message.bytes(LLADDR, &mac.0);
        }
        if self.protocol != 0 {
            message.u8(PROTOCOL, self.protocol);
        }
    }

    fn encode_delete(key: &NeighbourKey, batch: &mut Batch) {
        let flags = if key.proxy { NTF_PROXY } else { 0 };
        batch
            .message(DEL, 0, &header(af(Some(Family::of(key.addr))), key.link.0, 0, flags))
            .addr(DST, key.addr);
    }

    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &header(af(family), 0, 0, 0));
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        // Bridges and VXLAN devices tell of their forwarding entries by the same type.
        if !matches!(frame.kind, NEW | DEL) || family_of(frame.byte(0)?).is_none() {
            return None;
        }
        let (mut addr, mut mac, mut protocol) = (None, None, 0);
        for attribute in frame.attributes(HEADER) {
            match attribute.kind {
                DST => addr = attribute.addr(),
                LLADDR => mac = <[u8; 6]>::try_from(attribute.value).ok().map(Mac),
                PROTOCOL => protocol = attribute.u8().unwrap_or(0),
                _ => {}
            }
        }
        let nud = frame.u16(8)?;
        let state = match mac {
            _ if frame.byte(10)? & NTF_PROXY != 0 => NeighbourState::Proxy,
            Some(mac) if nud & NUD_PERMANENT != 0 => NeighbourState::Permanent(mac),
            Some(mac) if nud & NUD_VALID != 0 => NeighbourState::Learned(mac),
            _ => NeighbourState::Unresolved,
        };
        let neighbour = Self { link: IfIndex(frame.u32(4)?), addr: addr?, state, protocol };
        Some(if frame.kind == NEW { Change::Present(neighbour) } else { Change::Gone(neighbour) })
    }
}
