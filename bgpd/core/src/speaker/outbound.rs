//! What is changed about routes on their way to a peer, and which are held back, beside the export policy.

use std::sync::Arc;

use crate::policy::PrefixList;

/// Options of what a peer is sent. None of them makes a new session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboundConfig {
    /// Private AS numbers go from the path. eBGP only.
    pub remove_private_as: Option<RemovePrivateAs>,
    /// The peer's AS in the path becomes ours, so that sites that share an AS take each other's routes. eBGP only.
    pub as_override: bool,
    /// All routes are marked with GRACEFUL_SHUTDOWN, and have LOCAL_PREF 0 inside of the AS: before maintenance (RFC 8326).
    pub graceful_shutdown: bool,
    /// Which communities are sent.
    pub send_communities: SendCommunities,
    /// A default route of each negotiated family is sent, in place of one that there may be.
    pub default_originate: Option<DefaultOriginate>,
    /// Routes that are sent only while others exist, or do not. One that several name is sent while all of them let it.
    pub conditional: Vec<ConditionalAdvertisement>,
}

/// Which private AS numbers (RFC 6996) go. The receiver's own never does: it must see its loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovePrivateAs {
    /// From any path; else only from paths that have no other AS.
    pub all: bool,
    /// Each becomes our AS, so that the length of the path stays.
    pub replace: bool,
}

/// Kinds of communities that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendCommunities {
    /// COMMUNITIES (RFC 1997).
    pub standard: bool,
    /// EXTENDED COMMUNITIES (RFC 4360, 5701).
    pub extended: bool,
    /// LARGE COMMUNITIES (RFC 8092).
    pub large: bool,
}

impl Default for SendCommunities {
    fn default() -> Self {
        Self { standard: true, extended: true, large: true }
    }
}

/// A default route for a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DefaultOriginate {
    /// Only while a prefix of this list is in the Loc-RIB; `None`: always.
    pub condition: Option<Arc<PrefixList>>,
}

/// Routes that depend on others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalAdvertisement {
    /// The routes.
    pub routes: Arc<PrefixList>,
    /// The others.
    pub condition: Arc<PrefixList>,
    /// True: sent while one of the others is in the Loc-RIB. False: while none is.
    pub exist: bool,
}

impl OutboundConfig {
    /// The lists whose presence in the Loc-RIB matters.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Arc<PrefixList>> {
        let default = self.default_originate.iter().filter_map(|default| default.condition.as_ref());
        default.chain(self.conditional.iter().map(|conditional| &conditional.condition))
    }
}
