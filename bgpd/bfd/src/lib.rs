//! Bidirectional Forwarding Detection (RFC 5880, 5881, 5883) without sockets, clocks or threads.
//!
//! The shell calls [`Endpoint::handle`] with what happens, drains [`Endpoint::poll_output`], and sleeps until
//! [`Endpoint::poll_timeout`]. Invariants: nothing here fails or panics, whatever comes in; once the sessions are configured, receiving,
//! sending and timing allocate nothing; memory depends on the number of sessions alone; the same inputs at the same times
//! give the same outputs.
//!
//! | room | what |
//! |---|---|
//! | [`packet`] | the control packet: decode, encode, authentication (RFC 5880 section 4) |
//! | [`Session`] | the state machine with its variables (section 6.8) |
//! | [`Endpoint`] | all sessions: which one a packet belongs to, the timer wheel, what is to be sent, and how they go on in another process |
//!
//! What is done: asynchronous mode, both roles, Poll Sequences, the peer's Demand mode, authentication by simple password, keyed and
//! meticulous keyed SHA1. What is not: the Echo function (the advertised Required Min Echo RX Interval is zero, so no peer may send
//! any), Demand mode of our own, keyed MD5.

mod config;
mod endpoint;
mod handover;
mod jitter;
pub mod packet;
mod session;
mod state;
mod view;
mod wheel;

pub use cairn_net::handover::Damaged;
pub use config::{Authentication, AuthenticationKind, Hops, Key, SessionConfig};
pub use endpoint::{Datagram, Endpoint, Input, Output, SessionId};
pub use packet::{Discard, MAX_PACKET, MIN_PACKET, Packet};
pub use session::{Change, Session};
pub use state::{Diagnostic, State};
pub use view::{Counters, Remote, SessionView, Transition};

/// UDP port that single-hop control packets are sent to (RFC 5881 section 4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// UDP port that multihop control packets are sent to (RFC 5883 section 5).
pub const MULTI_HOP_PORT: u16 = 4784;
/// UDP ports that control packets are sent from (RFC 5881 section 4).
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Time to live of what is sent, and of what a single-hop session accepts (RFC 5881 section 5).
pub const TTL: u8 = 255;

#[cfg(test)]
mod tests;
