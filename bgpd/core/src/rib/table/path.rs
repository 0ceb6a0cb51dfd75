//! A path: what a source has announced to a prefix, and what the import side made of it.

use std::sync::Arc;

use super::NetId;
use crate::rib::attrs::RouteAttributes;
use crate::rib::import::Rejection;
use crate::rib::slab::slab_id;
use crate::rib::source::SourceId;

slab_id! {
    /// Names a path.
    PathId
}

/// A path to a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) net: NetId,
    pub(crate) source: SourceId,
    /// The sender's path identifier (RFC 7911); 0 without.
    pub(crate) path_id: u32,
    pub(super) next_of_net: PathId,
    pub(super) previous_of_source: PathId,
    pub(super) next_of_source: PathId,
    /// Seconds since the speaker's start.
    pub(crate) learned: u32,
    /// Kept over a restart of the peer, not yet refreshed (RFC 4724 section 4.2).
    pub(crate) stale: bool,
    /// Chosen by the last selection: the best path, or one of equal cost.
    pub(crate) selected: bool,
    /// Its place among the eligible paths of the prefix, where [`super::Table::ranked`] asks for it; [`Path::UNRANKED`]: none.
    pub(in crate::rib) place: u8,
    /// Why it is not used; `None` where `accepted` says how it is.
    pub(super) rejection: Option<Rejection>,
    /// As it came.
    pub(crate) received: Arc<RouteAttributes>,
    /// As it is used. Beside `rejection` and not in a [`Verdict`], which would take twice the room in each path.
    pub(super) accepted: Option<Arc<RouteAttributes>>,
}

/// What the import side made of a path.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Eligible for selection, with these attributes.
    Accepted(Arc<RouteAttributes>),
    /// Kept in the Adj-RIB-In only.
    Rejected(Rejection),
}

impl Verdict {
    /// The attributes as used; `None` if it was rejected.
    pub(crate) fn accepted(&self) -> Option<&Arc<RouteAttributes>> {
        match self {
            Self::Accepted(attributes) => Some(attributes),
            Self::Rejected(_) => None,
        }
    }

    pub(super) fn into_parts(self) -> (Option<Arc<RouteAttributes>>, Option<Rejection>) {
        match self {
            Self::Accepted(attributes) => (Some(attributes), None),
            Self::Rejected(rejection) => (None, Some(rejection)),
        }
    }
}

impl Path {
    /// The place of a path that is not eligible, or was not asked about.
    pub(in crate::rib) const UNRANKED: u8 = u8::MAX;

    /// The attributes as used; `None` if it was rejected.
    pub(crate) fn accepted(&self) -> Option<&Arc<RouteAttributes>> {
        self.accepted.as_ref()
    }

    /// Why it is not used; `None` if it is.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        self.rejection
    }

    /// Is it what was decided? Sets are interned: equal ones are the same one, and need not be read.
    pub(super) fn has(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Accepted(new) => self.accepted().is_some_and(|old| Arc::ptr_eq(old, new)),
            Verdict::Rejected(rejection) => self.rejection == Some(*rejection),
        }
    }

    pub(super) fn set(&mut self, verdict: Verdict) {
        (self.accepted, self.rejection) = verdict.into_parts();
    }
}

/// A path to be entered.
#[derive(Debug, Clone)]
pub(crate) struct NewPath {
    pub(crate) received: Arc<RouteAttributes>,
    pub(crate) verdict: Verdict,
    pub(crate) learned: u32,
}
