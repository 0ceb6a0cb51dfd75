//! OPEN: who I am and what I can do.
//!
//! Spec: RFC 4271 sections 4.2 and 6.2; RFC 5492 (capabilities), 9072 (extended length), 6286 (identifier),
//! 7607 (AS 0), 9234 (roles).
//! Not here: what the two sides agree on (see [`Negotiated`]).

mod capability;
mod check;
mod codec;
mod negotiated;

use cairn_net::{Asn, RouterId};
pub use capability::{
    AddPathMode, Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily, Role,
};
pub use check::{OpenCheck, PeerAs};
pub use negotiated::Negotiated;

/// An OPEN message, valid by itself: see [`Open::check`] for what depends on the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The speaker's AS: from the four-octet capability where there is one, else from the fixed field. Never zero.
    pub asn: Asn,
    /// Proposed hold time in seconds: 0 (off) or at least 3.
    pub hold_time: u16,
    /// The speaker's identifier.
    pub router_id: RouterId,
    /// Capabilities in the order in which they came; may hold repetitions.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The relation to the neighbour that the speaker claims (RFC 9234).
    pub fn role(&self) -> Option<Role> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::Role(role) => Some(*role),
            _ => None,
        })
    }

    /// The graceful restart capability; the last one counts if there are several (RFC 4724 section 3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::GracefulRestart(restart) => Some(restart),
            _ => None,
        })
    }

    /// The families of the long-lived graceful restart capability (RFC 9494); empty without it.
    pub fn long_lived(&self) -> &[LongLivedFamily] {
        let found = self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::LongLivedGracefulRestart(families) => Some(families.as_slice()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// Does the OPEN carry this capability, whatever its value?
    pub fn has(&self, wanted: &Capability) -> bool {
        self.capabilities.contains(wanted)
    }
}

#[cfg(test)]
mod tests;
