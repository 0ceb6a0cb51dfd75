//! Where objects are kept: one trait, and its stores.
//!
//! - [`Datastore`]: get, list, watch, create, compare-and-swap, delete; the rules that every store keeps.
//! - [`DirectoryStore`]: YAML files in a directory, shared by any number of processes.
//! - [`MemoryStore`]: for tests and simulations, with faults on demand.
//!
//! Not here: what objects mean (`cairn-api`), who reacts to them.

mod directory;
mod error;
mod memory;
mod store;
mod watch;

pub use directory::DirectoryStore;
pub use error::StoreError;
pub use memory::{Fault, MemoryStore, Operation};
pub use store::{Datastore, Key, List, Precondition, Query};
pub use watch::{Event, Watch};
