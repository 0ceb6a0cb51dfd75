//! What Cairn says to an API server, said to a real one. Run by `cargo xtask test --tier k8s`.

mod access;
mod agreement;
mod chart;
mod cluster;
mod controller;
mod deploy;
mod migrate;
mod outage;
mod pool;
mod store;
mod verdict;
