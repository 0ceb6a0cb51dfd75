//! Real bgpd processes on loopback addresses, driven over their sockets. No root needed.
//!
//! Every test has addresses of its own in 127.0.0.0/8, so all can run at once.

mod apply;
mod bmp;
mod hostile;
mod metrics;
mod mrt;
mod peering;
mod policy;
mod pressure;
mod process;
mod recording;
mod reload;
mod requests;
mod session;
mod views;
mod world;
