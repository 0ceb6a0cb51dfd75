//! What the speaker shows to those who record it: events in order, and how they are written as BMP and MRT.
//!
//! The speaker makes [`MonitorEvent`]s only while somebody wants them ([`Scope`]). Encoders are pure functions of values; collectors,
//! files and clocks are the shell's.
//! Not here: counters for people (`speaker`'s views).

pub mod bgp4mp;
pub mod bmp;
mod event;
pub mod mrt;
mod routes;

pub use event::{MonitorEvent, MonitoredPeer, Scope};
pub use routes::{MonitoredRoute, encode_updates};

#[cfg(test)]
mod tests;
