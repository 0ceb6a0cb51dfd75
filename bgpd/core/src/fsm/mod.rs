//! The finite state machine of one connection to a peer.
//!
//! Spec: RFC 4271 section 8; RFC 6608 (subcodes of an FSM error).
//! Shape: [`Fsm::handle`] takes an [`Event`] (a fact) and appends [`Action`]s (imperatives). One function per state, and each looks
//! at every event. A peer has one machine that opens connections and one for each accepted connection, until
//! `collision` leaves one.
//! Invariants: handling never fails; a timer runs only in the states that RFC 4271 gives it; at most one connection per machine.
//! Not here: bytes and framing, routes, graceful restart (`speaker`).

mod action;
mod backoff;
mod collision;
mod event;
mod jitter;
mod machine;
mod settings;
mod state;
mod states;
mod timer;

pub use action::Action;
pub use backoff::Backoff;
pub use collision::{Contender, Survivor, resolve};
pub use event::Event;
pub use jitter::Jitter;
pub use machine::{Agreement, Fsm};
pub use settings::Settings;
pub use state::State;
pub use timer::Timers;

#[cfg(test)]
mod tests;
