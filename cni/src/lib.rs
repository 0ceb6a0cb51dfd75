//! The CNI plugin: a thin client of felix-lite.
//!
//! Specification: CNI 1.1.0, and the formats of 1.0.0, 0.4.0 and 0.3.1. [`run()`] is the whole of it but for the process:
//! environment and standard input in, what to print and the exit code out.
//! Invariants: no token, no kubeconfig, no netlink; every input is bounded and validated here, and every outcome is JSON on
//! standard output; nothing waits longer than its limit in [`limits`].
//! [`install`] is apart from that: how the plugin comes onto a node.
//! Not here: the pod's wiring, addresses, firewall (felix-lite), and the socket's protocol (`felix-api`).

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod args;
mod config;
mod environment;
mod exchange;
pub mod install;
mod invocation;
pub mod limits;
mod log;
mod netns;
mod result;
mod run;
mod version;

pub use environment::{Environment, Verb};
pub use invocation::Invocation;
pub use log::Level;
pub use run::{Outcome, run};
pub use version::SpecVersion;
