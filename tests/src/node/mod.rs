//! One node: how its PID 1 comes to be, what root file system it has, and how to run a command in it.
//!
//! `up` starts `cairn-lab node-init`, which makes the namespaces and starts `cairn-lab node-main` as PID 1 in them. The two
//! talk over the standard streams: a [`Spec`] goes in, `ready` comes out when the root is mounted; `start` goes in when all links
//! are there, and the node's command is run. If the lab dies in between, the end of the stream ends the node.

mod enter;
mod init;
mod reap;
mod root;
mod spec;

pub use enter::{NodeProcess, enter_namespaces};
pub use init::{initialise, run_as_init};
pub use spec::Spec;
