//! What the part that takes the addresses of egress gateways is told.

use bgpd_api::peer::{Peer, SessionState};

use super::{EgressFacts, Engine};

impl Engine {
    /// Claims follow from what is learned, so they are told once all of that is.
    pub(super) fn tell_egress(&self) {
        if !self.progress.is_in_sync() {
            return;
        }
        let established = |peer: &Peer| peer.state == SessionState::Established;
        let connected = self.peers.values().any(established);
        let (members, claims) = (self.state.egress_members(), self.state.egress_claims());
        self.facts.send_if_modified(|facts| {
            let same = facts.egress.as_ref().is_some_and(|known| {
                known.connected == connected && known.members == *members && known.claims == *claims
            });
            if !same {
                let (members, claims) = (members.clone(), claims.clone());
                facts.egress = Some(EgressFacts { members, claims, connected });
            }
            !same
        });
    }
}
