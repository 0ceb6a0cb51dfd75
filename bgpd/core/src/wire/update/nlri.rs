//! Prefixes in UPDATEs: `[path id: u32, with ADD-PATH only][length: u8][octets]` (RFC 4271 section 4.3, RFC 7911).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};
use cairn_net::{Family, Prefix};

use crate::wire::parse::{Overrun, Reader};

/// A prefix with its path identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri {
    /// The prefix.
    pub prefix: Prefix,
    /// The path identifier (RFC 7911); zero where the session has none.
    pub path_id: u32,
}

impl From<Prefix> for Nlri {
    fn from(prefix: Prefix) -> Self {
        Self { prefix, path_id: 0 }
    }
}

impl Nlri {
    /// Most octets that one can take.
    pub(super) const fn max_len(family: Family) -> usize {
        4 + 1 + family.bytes()
    }

    /// Octets on the wire.
    pub(super) fn wire_len(self, path_ids: bool) -> usize {
        usize::from(path_ids) * 4 + 1 + usize::from(self.prefix.len().div_ceil(8))
    }

    /// Appends it.
    pub(super) fn put(self, path_ids: bool, out: &mut BytesMut) {
        if path_ids {
            out.put_u32(self.path_id);
        }
        out.put_u8(self.prefix.len());
        let octets = usize::from(self.prefix.len().div_ceil(8));
        match self.prefix.addr() {
            IpAddr::V4(addr) => out.put_slice(&addr.octets()[..octets]),
            IpAddr::V6(addr) => out.put_slice(&addr.octets()[..octets]),
        }
    }
}

/// Reads prefixes to the end. Host bits beyond a prefix's length do not matter and are cleared.
///
/// # Errors
/// A prefix is longer than an address of the family, or than what is left.
pub(super) fn decode(bytes: &[u8], family: Family, path_ids: bool) -> Result<Vec<Nlri>, Overrun> {
    // A prefix takes at least one octet; four fits most tables and bounds the allocation by the input.
    let mut nlri = Vec::with_capacity(bytes.len().div_ceil(4));
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let path_id = if path_ids { reader.u32()? } else { 0 };
        let len = reader.u8()?;
        let octets = reader.take(len.div_ceil(8).into())?;
        let addr = address(octets, family).ok_or(Overrun)?;
        let prefix = Prefix::containing(addr, len).ok_or(Overrun)?;
        nlri.push(Nlri { prefix, path_id });
    }
    Ok(nlri)
}

/// The address that begins with these octets; `None` if they are too many.
fn address(octets: &[u8], family: Family) -> Option<IpAddr> {
    Some(match family {
        Family::Ipv4 => {
            let mut addr = [0; 4];
            addr.get_mut(..octets.len())?.copy_from_slice(octets);
            IpAddr::V4(Ipv4Addr::from(addr))
        }
        Family::Ipv6 => {
            let mut addr = [0; 16];
            addr.get_mut(..octets.len())?.copy_from_slice(octets);
            IpAddr::V6(Ipv6Addr::from(addr))
        }
    })
}
