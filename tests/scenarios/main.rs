//! Scenarios: real daemons, real routers, real packets, in namespaces. One file for each; each runs for IPv4, IPv6 and both from one
//! body. They need root, so a plain `cargo test` leaves them out and `cargo xtask test --tier lab` runs them.
//!
//! When a scenario fails, its logs, states and a capture of each node's control traffic are kept; the message says where.

/// Declares a scenario: a function of the families, run for each choice of them. After the name of a feature, as in
/// `scenario!(needs_netem, name)`, it runs only under a kernel that has it: see [`cairn_lab::feature`].
macro_rules! scenario {
    ($needs:ident, $name:ident) => {
        mod $name {
            mod $needs {
                use cairn_lab::feature;
                use cairn_lab::lab::Families;

                #[test]
                #[ignore = "needs root: run by cargo xtask test --tier lab"]
                fn ipv4() -> anyhow::Result<()> {
                    feature::require(module_path!())?;
                    super::super::$name(Families::Ipv4)
                }

                #[test]
                #[ignore = "needs root: run by cargo xtask test --tier lab"]
                fn ipv6() -> anyhow::Result<()> {
                    feature::require(module_path!())?;
                    super::super::$name(Families::Ipv6)
                }

                #[test]
                #[ignore = "needs root: run by cargo xtask test --tier lab"]
                fn dual() -> anyhow::Result<()> {
                    feature::require(module_path!())?;
                    super::super::$name(Families::Dual)
                }
            }
        }
    };
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
mod egress;
mod fabric;
mod faults;
mod firewall;
mod flow;
mod host;
mod interop;
mod mesh;
mod nat;
mod next_hops;
mod one_node;
mod outside;
mod policy;
mod pools;
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
mod vrf;
mod wait;
mod wire;
mod wireguard;
mod world;
