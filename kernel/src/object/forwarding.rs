//! Forwarding entries of VXLAN devices: behind which outer address a MAC is.
//!
//! Spec: rtnetlink(7), `linux/neighbour.h`: neighbours of family `AF_BRIDGE`, as `bridge fdb` shows them.

use std::fmt;
use std::net::IpAddr;

use cairn_net::{Family, Mac};

use super::ndmsg::{DEL, DST, GET, HEADER, LLADDR, NEW, NUD_PERMANENT, header};
use super::{Change, IfIndex, Object, Verb};
use crate::netlink::{Batch, Frame};

const AF_BRIDGE: u8 = 7;
/// The entry is the device's own, not that of a bridge that it may belong to.
const NTF_SELF: u8 = 1 << 1;

/// A permanent entry of a VXLAN device: one MAC behind one outer address.
///
/// Entries that the device learned itself, or that have no outer address, are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forwarding {
    /// The VXLAN device.
    pub link: IfIndex,
    /// The MAC of the inner frame.
    pub mac: Mac,
    /// The destination of the outer packet, of the family of the device.
    pub remote: IpAddr,
}

/// What names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardingKey {
    /// The VXLAN device.
    pub link: IfIndex,
    /// The MAC.
    pub mac: Mac,
}

impl fmt::Display for ForwardingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forwarding entry {} dev {}", self.mac, self.link)
    }
}

impl Object for Forwarding {
    type Key = ForwardingKey;

    fn key(&self) -> ForwardingKey {
        ForwardingKey { link: self.link, mac: self.mac }
    }

    fn encode(&self, verb: Verb, batch: &mut Batch) {
        let header = header(AF_BRIDGE, self.link.0, NUD_PERMANENT, NTF_SELF);
        batch.message(NEW, verb.flags(), &header).bytes(LLADDR, &self.mac.0).addr(DST, self.remote);
    }

    fn encode_delete(key: &ForwardingKey, batch: &mut Batch) {
        batch.message(DEL, 0, &header(AF_BRIDGE, key.link.0, 0, NTF_SELF)).bytes(LLADDR, &key.mac.0);
    }

    /// Entries of every device; the family of the inner packets means nothing to them.
    fn encode_list(_: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &header(AF_BRIDGE, 0, 0, 0));
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        if !matches!(frame.kind, NEW | DEL) || frame.byte(0)? != AF_BRIDGE {
            return None;
        }
        let (mut mac, mut remote) = (None, None);
        for attribute in frame.attributes(HEADER) {
            match attribute.kind {
                LLADDR => mac = <[u8; 6]>::try_from(attribute.value).ok().map(Mac),
                DST => remote = attribute.addr(),
                _ => {}
            }
        }
        let permanent = frame.u16(8)? & NUD_PERMANENT != 0;
        let entry = Self { link: IfIndex(frame.u32(4)?), mac: mac?, remote: remote? };
        match (frame.kind, permanent) {
            (DEL, _) => Some(Change::Gone(entry)),
            (_, true) => Some(Change::Present(entry)),
            // A learned one in the place of ours.
            (_, false) => Some(Change::Gone(entry)),
        }
    }
}
