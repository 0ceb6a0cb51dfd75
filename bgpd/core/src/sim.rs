//! A network of speakers in virtual time: for tests and measurements.
//!
//! Each node is a [`Speaker`]; two nodes that name each other as peers can connect. Bytes take [`Sim::latency`], keep their order, and
//! are lost with their connection. Nothing here is random: the same calls give the same run.

mod network;

pub use network::{Node, Sim};
