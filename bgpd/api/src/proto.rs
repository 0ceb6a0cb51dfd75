//! `proto/bgpd.proto` as Rust. Written by `cargo xtask gen`; not edited by hand.

#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]

include!("generated/cairn.bgpd.v1.rs");
