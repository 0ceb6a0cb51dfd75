//! What BFD says of the path to a peer (RFC 5882 sections 3.2, 4.3; docs/adr/0027).

use std::net::IpAddr;

use super::peer::{Peer, PeerId};
use super::{DownReason, Speaker};
use crate::wire::{CeaseError, Notification};

/// BFD with a peer, as far as the speaker is concerned. The sessions themselves are the shell's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BfdConfig {
    /// No session before BFD is up. Default: false.
    pub strict: bool,
}

/// What BFD says of a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BfdState {
    /// Not up yet, or not again.
    #[default]
    Down,
    /// Up.
    Up,
    /// The peer's operator has taken BFD down: nothing follows from it.
    AdminDown,
    /// It was up and is no more.
    Failed {
        /// The diagnostic, for people.
        reason: String,
        /// The peer's BFD does not depend on its control plane (C bit): its silence means that it does not forward.
        independent: bool,
    },
}

impl Peer {
    /// A strict peer has no session and begins none before BFD is up.
    pub(super) fn waits_for_bfd(&self) -> bool {
        let strict = self.config.bfd.is_some_and(|bfd| bfd.strict);
        strict && !matches!(self.bfd, BfdState::Up | BfdState::AdminDown)
    }
}

impl Speaker {
    pub(super) fn bfd_changed(&mut self, address: IpAddr, state: BfdState) {
        let Some(id) = self.by_address.get(&address).copied() else { return };
        let peer = &mut self.peers[id];
        if peer.config.bfd.is_none() {
            return;
        }
        let waited = peer.waits_for_bfd();
        peer.bfd = state.clone();
        if let BfdState::Failed { reason, independent } = state {
            self.bfd_failed(id, reason, independent);
        }
        self.end_wait_for_bfd(id, waited);
    }

    /// A peer that waited and need not any more begins.
    pub(super) fn end_wait_for_bfd(&mut self, id: PeerId, waited: bool) {
        let peer = &self.peers[id];
        if waited && !peer.waits_for_bfd() && peer.is_enabled() {
            self.start(id);
        }
    }

    /// The path failed: the session ends and its routes go, now.
    fn bfd_failed(&mut self, id: PeerId, reason: String, independent: bool) {
        let restarts = self.peers[id].retained.iter().any(Option::is_some);
        if restarts && !independent {
            // It restarts, and its BFD with it: that was to be expected, and says nothing of its forwarding.
            return;
        }
        let notification = self.hard(id, Notification::cease(CeaseError::BfdDown));
        self.end_session(id, Some(&notification), &DownReason::BfdDown(reason));
        cairn_net::Family::ALL.into_iter().for_each(|family| self.sweep(id, family));
    }
}
