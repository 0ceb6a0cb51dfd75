//! The real Kubernetes for tests: no imitation of any part of it.
//!
//! - [`program`]: etcd, the parts of Kubernetes and CoreDNS, built from their Go modules into the user's cache, once for each version of them.
//! - [`pki`]: an authority, certificates and kubeconfig files.
//! - [`ApiServer`]: etcd and kube-apiserver as two processes on loopback, ready in a few seconds; needs no root.
//! - [`image`]: container images made of programs that lie here.
//! - [`Cluster`]: all of Kubernetes on three nodes of the lab in two racks, with Cairn as its pod network.

mod api_server;
pub mod cluster;
pub mod image;
pub mod pki;
pub mod program;

pub use api_server::ApiServer;
pub use cluster::Cluster;
