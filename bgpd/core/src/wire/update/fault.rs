//! What can be wrong with an UPDATE, and what it costs (RFC 7606 section 2).

use std::fmt;

use bytes::Bytes;
use cairn_net::Asn;

use crate::wire::AfiSafi;
use crate::wire::attribute::{AsPathError, attribute_name};
use crate::wire::notification::{Notification, NotificationCode, UpdateError};

/// What a fault costs, the mildest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    /// The attribute is left out, the routes are used.
    AttributeDiscard,
    /// The routes of the message are withdrawn.
    TreatAsWithdraw,
    /// The session ends with this NOTIFICATION.
    SessionReset(Notification),
}

/// A fault in an UPDATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it costs.
    pub consequence: Consequence,
    /// The type code of the attribute that it is in; `None` if it is in the message around them.
    pub attribute: Option<u8>,
    /// What is wrong.
    pub reason: FaultReason,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultReason {
    /// Withdrawn Routes Length or Total Path Attribute Length points beyond the message.
    #[error("the field lengths do not add up to the message")]
    FieldsOverrun,
    /// The attribute's head or its value points beyond the path attributes.
    #[error("the attribute runs beyond the path attributes")]
    AttributeOverrun,
    /// The optional or the transitive bit is not what the attribute's definition says.
    #[error("flags {0:#04x} contradict the attribute's definition")]
    Flags(u8),
    /// The attribute's length is none that its definition allows.
    #[error("length {0} is not allowed")]
    Length(usize),
    /// The attribute came before; the first one counts.
    #[error("the attribute is repeated")]
    Repeated,
    /// A mandatory attribute is not there.
    #[error("the attribute is missing")]
    Missing,
    /// Optional bit clear, type unknown.
    #[error("a well-known attribute that is not recognised")]
    UnrecognizedWellKnown,
    /// ORIGIN is none of 0 to 2.
    #[error("value {0} is not defined")]
    UndefinedOrigin(u8),
    /// The path does not parse, or has AS 0.
    #[error("{0}")]
    AsPath(#[from] AsPathError),
    /// The path does not fit the peer's place inside or outside the confederation (RFC 5065 section 5).
    #[error("confederation: {0}")]
    Confederation(&'static str),
    /// The path does not begin with the peer's AS.
    #[error("the path does not begin with AS {0}, the peer's")]
    FirstAs(Asn),
    /// AS 0 (RFC 7607).
    #[error("AS 0")]
    ZeroAs,
    /// The next hop cannot be a router's address.
    #[error("the next hop is not a usable address")]
    UnusableNextHop,
    /// The next hop's length does not fit the family.
    #[error("next hop length {len} does not fit {family}")]
    NextHopLength {
        /// The routes' family.
        family: AfiSafi,
        /// Octets.
        len: usize,
    },
    /// A prefix is too long or cut short.
    #[error("a prefix is longer than an address or than the field")]
    Prefix,
    /// The family was not negotiated, its routes are passed over.
    #[error("{0} was not negotiated")]
    FamilyNotNegotiated(AfiSafi),
    /// Not allowed from an external peer.
    #[error("not allowed from an external peer")]
    NotFromExternal,
    /// Sent by a peer that uses four-octet AS numbers already (RFC 6793 section 4.1).
    #[error("not allowed from a speaker of four-octet AS numbers")]
    NotFromFourOctet,
}

impl Fault {
    /// The attribute is left out.
    pub(super) const fn discard(attribute: u8, reason: FaultReason) -> Self {
        Self { consequence: Consequence::AttributeDiscard, attribute: Some(attribute), reason }
    }

    /// The routes are withdrawn.
    pub(super) const fn withdraw(attribute: u8, reason: FaultReason) -> Self {
        Self { consequence: Consequence::TreatAsWithdraw, attribute: Some(attribute), reason }
    }

    /// The session is reset; `data` as RFC 4271 section 6.3 has it for the subcode.
    pub(super) fn reset(error: UpdateError, attribute: Option<u8>, reason: FaultReason, data: &[u8]) -> Self {
        let code = NotificationCode::Update(error);
        let notification = Notification { code, data: Bytes::copy_from_slice(data) };
        Self { consequence: Consequence::SessionReset(notification), attribute, reason }
    }

    /// The NOTIFICATION to end the session with; Malformed Attribute List if the fault itself asks for less.
    pub fn into_notification(self) -> Notification {
        match self.consequence {
            Consequence::SessionReset(notification) => notification,
            Consequence::AttributeDiscard | Consequence::TreatAsWithdraw => {
                Notification::new(NotificationCode::Update(UpdateError::MalformedAttributeList), &[])
            }
        }
    }
}

impl fmt::Display for Fault {
    /// `AS_PATH: a segment is empty (treat as withdraw)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute.map(|code| (code, attribute_name(code))) {
            Some((_, Some(name))) => write!(f, "{name}: ")?,
            Some((code, None)) => write!(f, "attribute {code}: ")?,
            None => {}
        }
        write!(f, "{} (", self.reason)?;
        match &self.consequence {
            Consequence::AttributeDiscard => f.write_str("attribute discard)"),
            Consequence::TreatAsWithdraw => f.write_str("treat as withdraw)"),
            Consequence::SessionReset(notification) => write!(f, "session reset: {})", notification.code),
        }
    }
}
