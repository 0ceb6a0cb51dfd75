use thiserror::Error;

use crate::Key;

/// Why a store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{kind} {key}: not found")]
    NotFound {
        /// Its kind.
        kind: &'static str,
        /// Its key.
        key: Key,
    },
    /// There is one already.
    #[error("{kind} {key}: exists already")]
    AlreadyExists {
        /// Its kind.
        kind: &'static str,
        /// Its key.
        key: Key,
    },
    /// Somebody else wrote it in the meantime.
    #[error("{kind} {key}: changed in the meantime: resourceVersion is {found:?}, not {wanted:?}")]
    Conflict {
        /// Its kind.
        kind: &'static str,
        /// Its key.
        key: Key,
        /// The version that the writer named.
        wanted: String,
        /// The version in the store.
        found: String,
    },
    /// The object breaks a rule, or cannot be read as one.
    #[error("{kind} {key}: {reason}")]
    Invalid {
        /// Its kind.
        kind: &'static str,
        /// Its key.
        key: Key,
        /// Place, field, value and rule.
        reason: String,
    },
    /// The store cannot be reached or written. A write may have taken place.
    #[error("{kind}: the store is not available: {reason}")]
    Unavailable {
        /// The kind that was asked for.
        kind: &'static str,
        /// What went wrong.
        reason: String,
    },
}

impl StoreError {
    /// True if the same request may succeed later without a change of it.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
