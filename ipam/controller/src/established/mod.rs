//! The sessions by each BGPPeer, of all nodes together, in its status: how many there should be and are, and the condition `Established`.
//!
//! - `count`: from the nodes' reports to what is said, pure.
//! - `turn`: which of it is written when, pure: what gets worse must last, what changes in words alone waits, and so many objects at a time,
//!   for every node is told of each BGPPeer that is written.
//! - [`keep()`]: follows, and writes.
//!
//! Nothing depends on it: sessions are the nodes'. Nobody else writes these fields, and in a directory nobody does.

mod count;
mod keep;
mod turn;

pub use count::ESTABLISHED;
pub use keep::keep;
