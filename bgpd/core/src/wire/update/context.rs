use cairn_net::{Asn, Families, Family};

use crate::wire::{MAX_MESSAGE_LEN, Negotiated};

/// The relation to the neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// Same AS (iBGP).
    Internal,
    /// Another AS (eBGP).
    External,
    /// Another member AS of the same confederation (RFC 5065).
    Confederation,
}

/// What the meaning of a received UPDATE depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeContext {
    /// The relation to the sender.
    pub peer: PeerKind,
    /// AS numbers take four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Families that were negotiated; others are passed over.
    pub families: Families,
    /// Families whose prefixes carry path identifiers (RFC 7911).
    pub add_path: Families,
    /// IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// The AS with which an external peer's paths must begin (RFC 4271 section 6.3); `None` does not ask.
    pub first_as: Option<Asn>,
}

impl DecodeContext {
    /// For a session on which `negotiated` holds. The first AS is not enforced.
    pub const fn new(peer: PeerKind, negotiated: &Negotiated) -> Self {
        Self {
            peer,
            four_octet_as: negotiated.four_octet_as,
            families: negotiated.families,
            add_path: negotiated.add_path_receive,
            extended_next_hop: negotiated.extended_next_hop,
            first_as: None,
        }
    }
}

/// What the form of a sent UPDATE depends on. Peers with equal contexts can share messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodeContext {
    /// AS numbers take four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Families whose prefixes carry path identifiers (RFC 7911).
    pub add_path: Families,
    /// Longest message, header included: 4096 or 65535.
    pub max_message_len: usize,
}

impl EncodeContext {
    /// For a session on which `negotiated` holds.
    pub const fn new(negotiated: &Negotiated) -> Self {
        Self {
            four_octet_as: negotiated.four_octet_as,
            add_path: negotiated.add_path_send,
            max_message_len: negotiated.max_message_len,
        }
    }

    pub(super) const fn path_ids(&self, family: Family) -> bool {
        self.add_path.contains(family)
    }
}

impl Default for EncodeContext {
    /// Four-octet AS numbers, no path identifiers, messages of up to 4096 octets.
    fn default() -> Self {
        Self { four_octet_as: true, add_path: Families::NONE, max_message_len: MAX_MESSAGE_LEN }
    }
}
