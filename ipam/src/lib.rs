//! Address management: pools -> blocks -> addresses.
//!
//! - [`NodeAllocator`]: what a node's daemon uses. [`NodeAllocator::assign`] answers from the node's own warm slice, after a line
//!   in a local journal and without a word to the store; [`NodeAllocator::run`] keeps the slice filled and reports.
//! - [`Settings`], [`Request`], [`Assigned`], [`Routes`]: what goes in and what comes out.
//! - [`reclaim`]: what others than its node may do to an entry of a block.
//! - [`resize`]: a pool gets another range, or another takes its place: planned first, then done step by step.
//! - [`check`]: usage and consistency of all that a store holds, for people.
//!
//! Rooms: `ledger` (what the node holds), `record` and `journal` (how it survives a crash), `pool` and `block` (what may be taken): pure
//! but for the journal's file. `driver` carries out store operations; it alone awaits.
//!
//! How an address travels: free -> `Reserved` in the block by compare-and-swap -> warm in the ledger -> assigned (journal, then the answer; the
//! store hears of it later) -> released (journal; `Released` in the block later) -> rests for the cool-down -> free.
//!
//! Invariants: I3 (only confirmed blocks are routes), I4 (no address has two owners; a released one rests), I7 (works
//! while the store is down). An entry of a block is written by its own node alone, so a node's reports never conflict with
//! another's claims; but for the controller, which releases what leaked, and whom the node believes (docs/adr/0039).

mod allocator;
mod block;
pub mod check;
mod clock;
mod driver;
mod error;
mod journal;
mod ledger;
mod pool;
pub mod reclaim;
mod record;
mod request;
pub mod resize;
mod routes;
mod settings;

pub use allocator::NodeAllocator;
pub use error::IpamError;
pub use journal::{Journal, Replay};
pub use pool::{Unallocatable, unallocatable};
pub use request::{Assigned, Handle, Request};
pub use routes::{BlockRoute, BorrowedRoute, Routes};
pub use settings::Settings;

#[cfg(test)]
mod simulation;
