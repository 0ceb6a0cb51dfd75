//! Where objects are kept: one trait, and its stores.
//!
//! - [`Datastore`]: get, list, watch, create, compare-and-swap, delete; the rules that every store keeps.
//! - [`DirectoryStore`]: YAML files in a directory, shared by any number of processes.
//! - [`KubeStore`]: the API server of a Kubernetes cluster; reads kinds without a type, too ([`Foreign`]).
//! - [`AnyStore`]: whichever of these two the command line names.
//! - [`Known`]: the objects of a kind, from what a watch tells.
//! - [`attempts`]: a compare-and-swap, again while others write.
//! - [`Backoff`]: how long whoever failed to write waits.
//! - [`MemoryStore`]: for tests and simulations, with faults on demand.
//!
//! `contract`, a feature, has the tests that all of them pass.
//!
//! Not here: what objects mean (`cairn-api`), who reacts to them.

mod any;
mod backoff;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod directory;
mod error;
mod known;
mod kube;
mod memory;
mod store;
mod watch;

pub use self::kube::{Access, ConnectError, Foreign, KubeStore};
pub use any::{AnyStore, StoreUrl};
pub use backoff::Backoff;
pub use directory::DirectoryStore;
pub use error::StoreError;
pub use known::Known;
pub use memory::{Fault, MemoryStore, Operation};
pub use store::{Datastore, Key, List, Precondition, Query, attempts};
pub use watch::{Event, Watch};
