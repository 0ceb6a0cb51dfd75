//! CNI in the lab: the reference implementation's programs, and a node with nothing but felix-lite in a namespace of its own.
//!
//! Shared by the tests `cni_*` and the benchmark `cni`.

pub mod node;
