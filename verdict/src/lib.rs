//! Objects that pass the schema and make no sense: which they are, and the condition `Accepted` that says so.
//!
//! - [`judge`]: from all objects to what speaks against each, pure.
//! - [`status`]: from that to the condition, pure.
//! - [`keep()`]: follows the store and keeps the conditions true. One per cluster does so: the controller; in a directory, which has none, the
//!   nodes in turn (docs/adr/0047).
//!
//! What an objection means for sessions, pools and packets is derived elsewhere, from the same objects. Not here: what only a node can know,
//! which it reports in its NodeStatus, and what is in force of a pool (docs/adr/0014).

mod followed;
pub mod judge;
mod keep;
pub mod status;

pub use keep::{Options, Place, Spoken, Told, keep};
pub use status::ACCEPTED;
