//! The lab: containerlab topologies on network namespaces, and what the scenarios need to drive them.
//!
//! A node is one process (its PID 1, a copy of `cairn-lab`) in network, mount, PID, UTS and IPC namespaces of its own, with an
//! overlay of the host's root kept in memory. Nothing of a node lives anywhere else: when PID 1 dies, so do the node's
//! processes, interfaces, mounts and files. The only traces on the host are `/run/cairn-lab/<lab>` and what `/proc` tells,
//! so that [`Lab::down`] also finds what a killed lab left running.
//!
//! Programs used: `ip` (iproute2), and in a node whatever its image stands for.

pub mod cni;
pub mod demo;
pub mod feature;
pub mod graph;
pub mod image;
pub mod interface;
pub mod lab;
pub mod node;
pub mod pod;
pub mod probe;
pub mod session;
pub mod speaker;
pub mod status;
pub mod topology;

pub use cairn_gotools as gotools;
pub use lab::Lab;
pub use topology::Topology;
