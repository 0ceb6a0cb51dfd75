//! Desired versus actual: one loop for every kind of kernel object.
//!
//! The owner says what should be ([`Reconciler::set`], [`Reconciler::unset`]) and what it sees ([`Reconciler::observe`]); each
//! [`Reconciler::reconcile`] writes the difference in batches. A refused object waits with exponential back-off and never
//! holds up the others. What somebody else changes is repaired at once, but not for ever: who changes it again each time is in a
//! quarrel with us, which gets slower and is told. The clock is a parameter.
//!
//! An object costs one look-up of its key, when it is set; from there on it has a number, and what is written is encoded from
//! where it lies.
//!
//! Invariants: the cost of a change depends on that change alone; nothing that is in the kernel and not wanted is deleted
//! before [`Reconciler::allow_prune`]; an object that is as it should be is not written again.
//! Not here: what the objects are (see [`Backend`]), order between kinds (the owner runs one reconciler after the other).

mod backend;
mod engine;
mod entries;
mod entry;
mod kernel;
mod retry;

pub mod fake;

pub use backend::{Backend, Objects, Operation, Refused};
pub use engine::{Failure, Quarrel, Reconciler, Report};
pub use kernel::{Owned, Rtnetlink, Tables};
pub use retry::BackOff;

#[cfg(test)]
mod tests;
