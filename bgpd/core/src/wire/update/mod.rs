//! UPDATE: routes announced and withdrawn.
//!
//! Spec: RFC 4271 sections 4.3 and 6.3; RFC 4760 (families), 6793 (four-octet AS), 7606 (errors), 7911 (ADD-PATH),
//! 8950 (extended next hop), 4724 (End-of-RIB).
//! Decoding has two passes: `structure` cuts the message into fields and finds the attributes' bounds; `semantics`
//! reads each attribute and decides what a fault costs. A fault's cost is part of its value, see [`Consequence`].

mod codec;
mod context;
mod encode;
mod fault;
mod merge;
mod mp;
mod nlri;
mod semantics;
mod structure;

use cairn_net::Family;
pub use context::{DecodeContext, EncodeContext, PeerKind};
pub use encode::{EncodeError, EncodedAttributes, encode_end_of_rib, encode_unreach};
pub use fault::{Consequence, Fault, FaultReason};
pub use nlri::Nlri;

use super::attribute::{Attributes, NextHop};

/// What an UPDATE says, after all rules of RFC 7606 were applied.
///
/// Withdrawals come first: a prefix that is in both lists was announced (RFC 4271 section 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Prefixes withdrawn, at most one entry for the old fields, one for MP_UNREACH_NLRI, and where
    /// routes are treated as withdrawn, theirs.
    pub unreach: Vec<Unreach>,
    /// Prefixes announced, at most one entry for the old fields and one for MP_REACH_NLRI.
    pub reach: Vec<Reach>,
    /// What all announced prefixes share; present if `reach` is not empty.
    pub attributes: Option<Attributes>,
    /// The family whose initial routes are complete (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// What was wrong, none of it a reason to reset the session. To be logged.
    pub faults: Vec<Fault>,
}

/// Prefixes of one family that share a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The prefixes' family.
    pub family: Family,
    /// Where to.
    pub next_hop: NextHop,
    /// The prefixes, all of that family.
    pub nlri: Vec<Nlri>,
}

/// Prefixes of one family that are withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreach {
    /// The prefixes' family.
    pub family: Family,
    /// The prefixes, all of that family.
    pub nlri: Vec<Nlri>,
}

impl Update {
    /// From a message body.
    ///
    /// # Errors
    /// A fault whose consequence is [`Consequence::SessionReset`]. Milder ones were dealt with and are in
    /// [`Update::faults`].
    pub fn decode(body: &[u8], context: &DecodeContext) -> Result<Self, Fault> {
        let fields = structure::Fields::split(body)?;
        semantics::validate(&fields, context)
    }
}

#[cfg(test)]
mod tests;
