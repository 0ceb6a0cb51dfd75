//! What there is one of for the cluster: it gives back what leaked, clears away what gone nodes left, and says what is wrong with objects.
//!
//! - [`judge`]: from what is seen to what is done, pure: what leaked is seen twice, and for so long, before anything happens to it.
//! - [`observe`]: what is seen. [`act`]: what is done, each step compared with what was seen.
//! - [`election`]: which of several controllers acts, pure; [`run`] renews the lease and takes the rounds.
//! - [`report`]: what nodes report, followed once for all that look at it.
//! - [`established`]: how many sessions there are by each BGPPeer, and its condition `Established`.
//! - [`event`]: events of Kubernetes about objects and nodes. What is wrong with objects is judged by `cairn_verdict`.
//! - [`health`]: liveness and metrics over HTTP.
//!
//! What it may do, why that is safe, and what is not: docs/adr/0039 and docs/adr/0047.

pub mod act;
pub mod args;
pub mod election;
pub mod established;
pub mod event;
pub mod health;
pub mod judge;
pub mod observe;
pub mod report;
pub mod run;

#[cfg(test)]
mod simulation;
