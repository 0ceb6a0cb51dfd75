//! Raw netlink: build a batch of messages, send it with one syscall, learn what became of each.
//!
//! Spec: RFC 3549 and `Documentation/userspace-api/netlink` of Linux. Header and attributes are in host order; what
//! is in network order says so in its name.
//! Invariants: the parser never panics and never reads outside the bytes it was given; every wait is bounded.
//! Not here: what the messages mean (see [`crate::object`], [`crate::nftables`], [`crate::conntrack`], [`crate::wireguard`]); any runtime
//! (see [`crate::monitor`]).

mod attribute;
mod batch;
mod frame;
pub(crate) mod generic;
pub(crate) mod option;
mod socket;

pub use attribute::{Attribute, Attributes};
pub(crate) use attribute::{read_addr, read_u16, read_u32};
pub use batch::{Batch, Message};
pub use frame::{Frame, Frames};
pub use socket::{Protocol, Socket};
