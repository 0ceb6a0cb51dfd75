//! bgpd at the other end of its socket.
//!
//! - [`client`]: the task that keeps bgpd's document and announcements what the engine says, and reads its routes.
//! - [`stale`]: what was learned from a bgpd that went away, until its successor is in sync.
//!
//! While bgpd is down nothing that was learned is forgotten: the kernel goes on forwarding (I2).

mod client;
mod stale;

pub(crate) use client::{Bgp, BgpEvent};
pub(crate) use stale::Stale;
