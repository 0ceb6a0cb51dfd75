use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use cairn_datastore::StoreError;
use cairn_net::Family;
use thiserror::Error;

use crate::Handle;

/// Why no address was given.
#[derive(Debug, Error)]
pub enum IpamError {
    /// No pool fits the request.
    #[error("{handle}: no pool of {family} fits: {reason}")]
    NoPool {
        /// Who asked.
        handle: Handle,
        /// The family that cannot be had.
        family: Family,
        /// Each pool of the family with what speaks against it.
        reason: String,
    },
    /// Every address that the node may take is taken.
    #[error("{handle}: no free address of {family}: {reason}")]
    Exhausted {
        /// Who asked.
        handle: Handle,
        /// The family that cannot be had.
        family: Family,
        /// Each pool that was tried with what stands in the way.
        reason: String,
    },
    /// A certain address was asked for and cannot be had.
    #[error("{handle}: {address} cannot be had: {reason}")]
    NotAvailable {
        /// Who asked.
        handle: Handle,
        /// The address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// The request contradicts itself.
    #[error("{handle}: {reason}")]
    BadRequest {
        /// Who asked.
        handle: Handle,
        /// Field, value and rule.
        reason: String,
    },
    /// The node's own addresses do not suffice, and the store cannot be asked for more.
    #[error("{handle}: the node has no fitting address of its own, and the store gives none: {source}")]
    Store {
        /// Who asked.
        handle: Handle,
        /// What the store said.
        source: Box<StoreError>,
    },
    /// The journal cannot be read or written; nothing is given that it does not hold.
    #[error("journal {}: {source}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl IpamError {
    /// True if the same request may succeed later.
    pub const fn is_temporary(&self) -> bool {
        !matches!(self, Self::BadRequest { .. })
    }
}
