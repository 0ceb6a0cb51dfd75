use bytes::BytesMut;
use cairn_net::{Asn, RouterId};

use super::codec::refuse;
use super::{Capability, Open, Role};
use crate::wire::notification::{Notification, OpenError};

/// What our configuration demands of the peer's OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCheck {
    /// Our AS towards this peer.
    pub local_as: Asn,
    /// Our identifier.
    pub local_id: RouterId,
    /// The AS that the peer must have; `None` accepts any but our own rules' (dynamic peers).
    pub peer_as: Option<Asn>,
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
        if expected.peer_as.is_some_and(|peer_as| peer_as != self.asn) {
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
