use std::time::Instant;

use cairn_net::{Families, RouterId};

use super::ConnId;
use crate::rib::{Cursor, GroupId, ImportRules};
use crate::wire::{DecodeContext, GracefulRestart, LongLivedFamily, Negotiated};

/// What there is while a session is Established.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) since: Instant,
    pub(super) router_id: RouterId,
    pub(super) negotiated: Negotiated,
    /// The peer's graceful restart capability.
    pub(super) restart: Option<GracefulRestart>,
    /// What it asks for in its long-lived graceful restart capability, by family.
    pub(super) long_lived: Vec<LongLivedFamily>,
    /// The last time that it sent an UPDATE, or when the session came up.
    pub(super) last_routes: Instant,
    /// How its UPDATEs are read.
    pub(super) decode: DecodeContext,
    /// What becomes of its routes.
    pub(super) import: ImportRules,
    /// What it is told, together with whom.
    pub(super) group: GroupId,
    /// How far it has been told.
    pub(super) cursor: Cursor,
    /// Families of which it has sent End-of-RIB.
    pub(super) complete: Families,
    /// Until when the peer has to end the refresh that it has begun, by family (RFC 7313).
    pub(super) refreshing: [Option<Instant>; 2],
}

impl Session {
    /// When the first refresh that the peer has begun is given up.
    pub(super) fn refresh_deadline(&self) -> Option<Instant> {
        self.refreshing.iter().flatten().min().copied()
    }
}
