//! The AS of a peer whose configuration leaves it open: learned from its OPEN, once a session is Established.
//!
//! It stays known after the session, for whoever looks at the peer and for the next configuration; another OPEN may name another one.

use cairn_net::Asn;

use super::peer::PeerId;
use super::{Config, PeerConfig, RemoteAs, Speaker};
use crate::wire::PeerAs;

impl Config {
    /// What the OPEN of a peer may say.
    pub(super) fn peer_as(&self, peer: &PeerConfig) -> PeerAs {
        match &peer.remote_as {
            RemoteAs::Configured => PeerAs::Is(peer.asn),
            RemoteAs::OneOf(ranges) => PeerAs::OneOf(ranges.clone()),
            RemoteAs::External => {
                let confederation = self
                    .confederation
                    .iter()
                    .flat_map(|all| all.members.iter().copied().chain([all.identifier]));
                let shown = peer.local_as.map(|local| local.asn);
                PeerAs::External([self.asn].into_iter().chain(confederation).chain(shown).collect())
            }
        }
    }

    /// May a peer that has had this AS so far, or what stands for it, still have it?
    pub(super) fn may_have(&self, peer: &PeerConfig, known: Asn) -> bool {
        known == peer.asn || self.peer_as(peer).allows(known)
    }

    /// The configuration of a peer that has had this AS so far.
    pub(super) fn with_known_as(&self, peer: &PeerConfig, known: Asn) -> PeerConfig {
        let asn = if self.may_have(peer, known) { known } else { peer.asn };
        PeerConfig { asn, ..peer.clone() }
    }
}

impl Speaker {
    /// The peer has this AS, which its configuration allows. What was kept of a router of another one is not its own.
    pub(super) fn learn_as(&mut self, id: PeerId, asn: Asn) {
        let source = self.peers[id].source;
        if self.rib.table.sources[source].asn != asn {
            self.forget_paths(id);
        }
        self.know_as(id, asn);
    }

    /// As [`Self::learn_as`], of a peer that has no paths.
    pub(super) fn know_as(&mut self, id: PeerId, asn: Asn) {
        let source = self.peers[id].source;
        self.peers[id].config.asn = asn;
        self.rib.table.sources[source].asn = asn;
    }
}
