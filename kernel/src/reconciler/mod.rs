//! Desired versus actual: one loop for every kind of kernel object.
//!
//! The owner says what should be ([`Reconciler::set`], [`Reconciler::unset`]) and what it sees ([`Reconciler::observe`]); each
//! [`Reconciler::reconcile`] writes the difference in batches. A refused object waits with exponential back-off and never
//! holds up the others. The clock is a parameter.
//!
//! Invariants: the cost of a change depends on that change alone; nothing that is in the kernel and not wanted is deleted
//! before [`Reconciler::allow_prune`]; an object that is as it should be is not written again.
//! Not here: what the objects are (see [`Backend`]), order between kinds (the owner runs one reconciler after the other).

mod backend;
mod engine;
mod entry;
mod kernel;
mod retry;

pub mod fake;

pub use backend::{Backend, Objects, Operation};
pub use engine::{Failure, Reconciler, Report};
pub use kernel::{Owned, Rtnetlink};
pub use retry::BackOff;

#[cfg(test)]
mod tests;
