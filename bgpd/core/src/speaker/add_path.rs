//! Several paths for one prefix (RFC 7911): what is configured, and what an OPEN says of it.

use std::num::NonZeroU8;

use cairn_net::{Families, Family};

use crate::wire::{AddPathMode, AfiSafi, Capability};

/// What is offered to a peer. A change resets the session, unless it only says how many paths are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddPathConfig {
    /// Families in which it may send several paths.
    pub receive: Families,
    /// By family (IPv4, IPv6): which paths it is sent. `None`: only the best one.
    pub send: [Option<AddPathSend>; 2],
}

/// Which paths of a prefix a peer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddPathSend {
    /// Every eligible one.
    All,
    /// So many, the best first.
    Best(NonZeroU8),
}

impl AddPathConfig {
    /// The capability; `None`: nothing is offered.
    pub(super) fn capability(&self, families: Families) -> Option<Capability> {
        let mode = |family: Family| match (self.receive.contains(family), self.sends(family)) {
            (true, true) => Some(AddPathMode::Both),
            (true, false) => Some(AddPathMode::Receive),
            (false, true) => Some(AddPathMode::Send),
            (false, false) => None,
        };
        let offers: Vec<_> =
            families.iter().filter_map(|family| Some((AfiSafi::from(family), mode(family)?))).collect();
        (!offers.is_empty()).then_some(Capability::AddPath(offers))
    }

    fn sends(&self, family: Family) -> bool {
        self.send[family as usize].is_some()
    }
}
