//! Scenarios: real daemons, real routers, real packets, in namespaces. One file for each; each runs for IPv4, IPv6 and both from one
//! body. They need root, so a plain `cargo test` leaves them out and `cargo xtask test --tier lab` runs them.
//!
//! When a scenario fails, its logs, states and a capture of each node's control traffic are kept; the message says where.

/// Declares a scenario: a function of the families, run for each choice of them.
macro_rules! scenario {
    ($name:ident) => {
        mod $name {
            use cairn_lab::lab::Families;

            #[test]
            #[ignore = "needs root: run by cargo xtask test --tier lab"]
            fn ipv4() -> anyhow::Result<()> {
                super::$name(Families::Ipv4)
            }

            #[test]
            #[ignore = "needs root: run by cargo xtask test --tier lab"]
            fn ipv6() -> anyhow::Result<()> {
                super::$name(Families::Ipv6)
            }

            #[test]
            #[ignore = "needs root: run by cargo xtask test --tier lab"]
            fn dual() -> anyhow::Result<()> {
                super::$name(Families::Dual)
            }
        }
    };
}
pub(crate) use scenario;

mod bfd;
mod borrowing;
mod churn;
mod demo;
mod firewall;
mod flow;
mod interop;
mod mesh;
mod one_node;
mod outside;
mod policy;
mod propagation;
mod racks;
mod reflector;
mod refusals;
mod restart;
mod route;
mod router_restart;
mod routers;
mod sessions;
mod takeover;
mod unnumbered;
mod wait;
mod world;
