//! The protocol of felix-lite's CNI socket, and its client.
//!
//! One connection carries one [`Request`] and one [`Reply`], each a 4-byte big-endian length and JSON. With the
//! first byte of a request goes the pod's network namespace as a file descriptor (`SCM_RIGHTS`), where there is one:
//! the plugin sees the runtime's paths and felix-lite, in a container of its own, need not.
//!
//! Invariants: a frame is at most [`MAX_FRAME`] bytes; every value is validated when it is decoded, so that a
//! [`ContainerId`] or [`IfName`] in hand is a good one. Unknown keys are ignored: plugin and daemon may be of different releases.
//! Not here: CNI's own formats (see the crate `cairn-cni`), a runtime: the client blocks, the server brings its own sockets.

mod attachment;
mod client;
mod fd;
mod frame;
mod gateway;
mod reply;
mod request;
mod spool;
pub mod value;

pub use attachment::{Attachment, ContainerId, IfName, PodId};
pub use client::{Client, ClientError};
pub use fd::{receive, send};
pub use frame::{FrameError, HEADER, MAX_FRAME, body_len, encode};
pub use gateway::{HOST_MAC, MARK, MARK_MASK, NODES_PRIORITY, NODES_TABLE, TUNNEL_GROUP, WORKLOAD, gateway};
pub use reply::{Attached, Code, Network, Refusal, Reply};
pub use request::{Add, AddressRequest, Check, Command, Del, Gc, PROTOCOL, Request};
pub use spool::{Spool, SpoolError};

/// Where felix-lite listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cairn/cni.sock";

/// Where DELs wait while felix-lite is away, unless told otherwise.
pub const DEFAULT_SPOOL: &str = "/var/lib/cairn/cni-del";
