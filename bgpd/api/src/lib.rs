//! All that other programs may know of bgpd: its configuration document, its gRPC schema and a typed client.
//!
//! * [`config`]: the document that `bgpd --config` reads and the `Apply` call takes.
//! * [`proto`]: the messages and services of `proto/bgpd.proto`, generated.
//! * [`client`]: a client that speaks `cairn-net` types.
//! * [`convert`]: between both.
//! * [`route`], [`next_hop`], [`peer`], [`policy`], [`bfd`]: what the client's streams carry.
//!
//! Not here: anything of the protocol itself; this crate does not know bgp-core.

pub mod bfd;
pub mod client;
pub mod config;
pub mod convert;
pub mod next_hop;
pub mod peer;
pub mod policy;
pub mod proto;
pub mod route;

pub use client::{Client, ClientError};

/// Where bgpd listens for gRPC unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cairn/bgpd.sock";
