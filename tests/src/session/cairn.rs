//! bgpd, by its gRPC client.

use bgpd_api::peer::{Peer, SessionState};

use super::Session;

/// One side's view, as for every other router.
pub(super) fn session(node: &str, peer: &Peer) -> Session {
    Session {
        node: node.to_owned(),
        peer: peer.address,
        remote_as: peer.remote_as.0,
        state: peer.state.to_string(),
        established: peer.state == SessionState::Established,
        last_error: Some(peer.last_error.clone()).filter(|text| !text.is_empty()),
    }
}
