//! A pool gets another range, or other blocks: what that takes is planned first, shown, and then done step by step.
//!
//! - [`Change::of`]: what a wish comes down to. A range around the present one, or inside of it, is another range of the same pool; one apart is
//!   a pool of its own, which the pods move to, and so is another size of blocks.
//! - [`plan()`]: what is still to be done, what speaks against it, what must follow elsewhere, and who is in the way. Pure.
//! - [`perform`]: one step. Each looks again and is a compare-and-swap.
//!
//! A change says all that is wanted at its end, so that the steps follow from it and from what is there now: whoever was interrupted plans
//! again with the same change, and finds what is left. Nothing here takes an address away from a pod (docs/adr/0046).

mod act;
mod change;
mod holder;
mod objection;
mod plan;
mod seen;

pub use act::{Performed, perform};
pub use change::{Change, Wish};
pub use holder::{Holder, Left};
pub use plan::{Finding, Plan, Step, plan};
pub use seen::Seen;

#[cfg(test)]
mod tests;
