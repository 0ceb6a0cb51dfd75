//! Scenarios: real daemons, real routers, real packets, in namespaces. One file for each; each runs for IPv4, IPv6 and both from one
//! body. They need root, so a plain `cargo test` leaves them out and `cargo xtask test --tier lab` runs them.
//!
//! When a scenario fails, its logs, states and a capture of each node's control traffic are kept; the message says where.

/// The choice of families that the name of a test says.
macro_rules! named {
    (ipv4) => {
        cairn_lab::lab::Families::Ipv4
    };
    (ipv6) => {
        cairn_lab::lab::Families::Ipv6
    };
    (dual) => {
        cairn_lab::lab::Families::Dual
    };
}

/// Declares a scenario: a function of the families, run for each choice of them. After the name of a feature, as in
/// `scenario!(needs_netem, name)`, it runs only under a kernel that has it: see [`cairn_lab::feature`]. A virtual machine is slow: where the
/// families share all that is looked at, `scenario!(needs_netem, name: dual)` runs it once.
macro_rules! scenario {
    ($needs:ident, $name:ident: $($family:ident)+) => {
        mod $name {
            mod $needs {
                $(
                    #[test]
                    #[ignore = "needs root: run by cargo xtask test --tier lab"]
                    fn $family() -> anyhow::Result<()> {
                        cairn_lab::feature::require(module_path!())?;
                        super::super::$name(named!($family))
                    }
                )+
            }
        }
    };
    ($needs:ident, $name:ident) => {
        $crate::scenario!($needs, $name: ipv4 ipv6 dual);
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

mod bandwidth;
mod bfd;
mod borrowing;
mod churn;
mod clock;
mod demo;
mod doctor;
mod drain;
mod egress;
mod fabric;
mod fast_path;
mod faults;
mod firewall;
mod flow;
mod host;
mod host_ports;
mod interop;
mod ipv6_nodes;
mod mesh;
mod nat;
mod next_hops;
mod one_node;
mod outside;
mod overlay;
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
mod underlay;
mod unnumbered;
mod vrf;
mod wait;
mod wire;
mod wireguard;
mod world;
