//! The BGP speaker as a pure state machine: `wire`, `fsm`, `rib`, `nexthop`, `policy`, `speaker`.
//!
//! No socket, no clock, no runtime, no configuration file: bytes, time and configuration come in as values.

pub mod fsm;
pub mod monitor;
pub mod nexthop;
pub mod policy;
pub mod rib;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod speaker;
pub mod wire;
