//! Containerlab topology files: reading, checking, inheritance.
//!
//! The format is containerlab's own (<https://containerlab.dev/manual/topo-def-file/>), so that every file runs on the
//! real containerlab too. Keys that containerlab knows and the lab has no use for are tolerated and reported by
//! [`Topology::unused`]; any other key is refused with its line and column.
//! Invariants: a [`Topology`] in hand names no unknown node in its links and no interface twice.
//! Not here: what a node runs (see [`crate::image`]), and running it (see [`crate::lab`]).

mod expand;
mod file;
mod inherit;
mod link;
mod load;
#[cfg(test)]
mod tests;

pub use link::{Endpoint, Link};
pub use load::{Bind, Node, Topology, check_name};
