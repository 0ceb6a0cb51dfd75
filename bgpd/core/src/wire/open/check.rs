use std::fmt;
use std::ops::RangeInclusive;

use bytes::BytesMut;
use cairn_net::{Asn, RouterId};

use super::codec::refuse;
use super::{Capability, Open, Role};
use crate::wire::notification::{Notification, OpenError};

/// The AS numbers that a peer's OPEN may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAs {
    /// This one.
    Is(Asn),
    /// One that is in a range.
    OneOf(Vec<RangeInclusive<Asn>>),
    /// Any that makes it an external peer: none of these, which are ours or of our confederation.
    External(Vec<Asn>),
}

impl PeerAs {
    /// May the OPEN name this one?
    pub fn allows(&self, asn: Asn) -> bool {
        match self {
            Self::Is(expected) => *expected == asn,
            Self::OneOf(ranges) => ranges.iter().any(|range| range.contains(&asn)),
            Self::External(ours) => asn != Asn::ZERO && !ours.contains(&asn),
        }
    }
}

impl fmt::Display for PeerAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: Vec<String>| texts.join(", ");
        match self {
            Self::Is(asn) => write!(f, "AS {asn}"),
            Self::OneOf(ranges) => {
                let text = |range: &RangeInclusive<Asn>| match (range.start(), range.end()) {
                    (first, last) if first == last => first.to_string(),
                    (first, last) => format!("{first}-{last}"),
                };
                write!(f, "one of AS {}", list(ranges.iter().map(text).collect()))
            }
            Self::External(ours) => {
                write!(f, "an external AS, other than {}", list(ours.iter().map(Asn::to_string).collect()))
            }
        }
    }
}

/// What our configuration demands of the peer's OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCheck {
    /// Our AS towards this peer.
    pub local_as: Asn,
    /// Our identifier.
    pub local_id: RouterId,
    /// The AS that the peer must have.
    pub peer_as: PeerAs,
    /// Our role, if configured (RFC 9234).
    pub role: Option<Role>,
    /// Refuse a peer without a role (RFC 9234 section 4.2, strict mode).
    pub role_strict: bool,
}

impl Open {
    /// Checks what depends on the configuration.
    ///
    /// # Errors
    /// Bad Peer AS; Bad BGP Identifier if an internal peer has ours (RFC 6286 section 2.2); Role Mismatch on external
    /// sessions (RFC 9234 section 4.2).
    pub fn check(&self, expected: &OpenCheck) -> Result<(), Notification> {
        if !expected.peer_as.allows(self.asn) {
            return Err(refuse(OpenError::BadPeerAs, &[]));
        }
        let internal = self.asn == expected.local_as;
        if internal && self.router_id == expected.local_id {
            return Err(refuse(OpenError::BadBgpIdentifier, &[]));
        }
        if internal { Ok(()) } else { self.check_role(expected) }
    }

    fn check_role(&self, expected: &OpenCheck) -> Result<(), Notification> {
        let Some(ours) = expected.role else {
            return Ok(());
        };
        let mut roles = self.capabilities.iter().filter_map(|capability| match capability {
            Capability::Role(role) => Some(*role),
            _ => None,
        });
        let fits = match roles.next() {
            None => !expected.role_strict,
            // Repetition is fine only if it says the same.
            Some(theirs) => theirs == ours.counterpart() && roles.all(|role| role == theirs),
        };
        if fits { Ok(()) } else { Err(refuse(OpenError::RoleMismatch, &[])) }
    }
}

impl Notification {
    /// Unsupported Capability: the peer lacks what we insist on (RFC 5492 section 5).
    pub fn unsupported_capability(required: &[Capability]) -> Self {
        let mut data = BytesMut::new();
        for capability in required {
            let mut value = BytesMut::new();
            capability.encode_value(&mut value);
            if let Ok(len) = u8::try_from(value.len()) {
                data.extend_from_slice(&[capability.code(), len]);
                data.extend_from_slice(&value);
            }
        }
        refuse(OpenError::UnsupportedCapability, &data)
    }
}
