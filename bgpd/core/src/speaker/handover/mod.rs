//! A running speaker goes on in another process (docs/adr/0016).
//!
//! The state is written as bytes that do not outlive the moment: sessions with their OPENs and what is left to send, Adj-RIBs-In as UPDATEs,
//! routes of our own, the machine's interfaces and the kernel's routes as they were known. All else follows from these and the configuration: what was negotiated, the Loc-RIB, and what the peers were told.
//! Invariants: writing changes nothing, so that the old process can go on if the new one fails; reading never panics, whatever
//! the bytes; a speaker that was taken over sends nothing that the old one would not have sent.
//! Not here: sockets and the configuration (the shell hands them over itself).

mod codec;
mod give;
mod kernel;
mod take;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use cairn_net::Prefix;
use thiserror::Error;

use super::ConnId;

/// The form of the state. One that differs in the least has another number: two versions of the daemon that share it understand each other.
pub const STATE_VERSION: u32 = 8;

/// Numbers that paths may have beyond one for each octet of the state, so that a wrong one reserves no more memory than tens of MiB.
const SPARE_PLACES: usize = 1 << 20;

/// The numbers of paths in a state of so many octets are below this.
fn most_places(state_len: usize) -> usize {
    // The highest one stands for no path, and is one less than an identifier.
    state_len.saturating_add(SPARE_PLACES).min(crate::rib::PathId::NONE.0 as usize - 1)
}

/// A speaker's state, on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// For [`super::Speaker::take_over`].
    pub state: Bytes,
    /// The connections of the Established sessions, in the order in which the other process will name them. Others are not handed over.
    pub connections: Vec<ConnId>,
}

/// What a speaker that takes over has to know of this machine beforehand, so that it decides as the other one did.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// As for [`super::Input::NeighborLinks`].
    pub links: BTreeMap<IpAddr, u32>,
}

/// A session that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenOver {
    /// The name of its connection from now on.
    pub conn: ConnId,
    /// The peer.
    pub peer: IpAddr,
}

/// Why a speaker cannot be handed over. It goes on as if nobody had asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandOverError {
    /// There is nothing to hand over before the first configuration.
    #[error("the speaker is not configured yet")]
    NotConfigured,
    /// Routes are missing, and peers wait for End-of-RIB.
    #[error("the speaker is still starting: its Loc-RIB is not complete")]
    Starting,
    /// A peer is sent several paths for one prefix (RFC 7911). Their identifiers are places in a table that once was far larger, and
    /// the other speaker would not reserve that many.
    #[error(
        "a path is sent under identifier {0} (ADD-PATH), which is too high for the few routes that there are now"
    )]
    PathIdentifier(u64),
    /// A route does not fit a message of 65535 octets.
    #[error("the route to {0} cannot be written: its attributes are too long")]
    Route(Prefix),
}

/// Why a state cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TakeOverError {
    /// It is of another version.
    #[error("the state has version {found}, this speaker reads version {STATE_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It ends too early, or a field has a value that it cannot have.
    #[error("the state is damaged: {0}")]
    Damaged(&'static str),
    /// It has a session with somebody who is no neighbour here.
    #[error("the state has a session with {0}, which the configuration does not know")]
    UnknownPeer(IpAddr),
}

#[cfg(test)]
mod tests;
