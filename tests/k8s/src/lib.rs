//! The real Kubernetes for tests: no imitation of any part of it.
//!
//! - [`program`]: etcd and the parts of Kubernetes, built from their Go modules into the user's cache, once for each version of them.
//! - [`pki`]: an authority, certificates and kubeconfig files.
//! - [`ApiServer`]: etcd and kube-apiserver as two processes on loopback, ready in a few seconds; needs no root.

mod api_server;
pub mod pki;
pub mod program;

pub use api_server::ApiServer;
