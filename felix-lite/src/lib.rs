//! Cairn's node daemon: the shell around felix-core.
//!
//! Watches of the datastore, endpoints of the CNI server and best paths of bgpd go into felix-core; its changes go
//! to the kernel and to bgpd. Nothing is decided here that the core could decide.
//!
//! | room | what |
//! |---|---|
//! | [`daemon`] | starts the parts and waits for the end |
//! | `engine` | the one owner of the core's state |
//! | `store` | watches of the datastore as facts |
//! | `bgp` | bgpd's client |
//! | `dataplane` | the thread that owns routes and firewall in the kernel |
//! | [`endpoint`] | the seam between the CNI server and the engine |
//! | `cni` | the CNI server |
//! | `ipam`, `namespace` | the node's allocator kept running; what namespaces say of their pods' addresses |
//! | `status`, `pool_status` | the node's report; what is said of the pools |
//! | `egress` | who has the addresses of egress gateways |
//! | `own_object` | objects of the node's name, kept true: `wireguard_peer` (its public key), `egress_members` |
//! | `wireguard_key` | the node's private key |
//! | `health` | life and readiness over HTTP |

mod args;
mod bgp;
pub mod cni;
pub mod daemon;
mod dataplane;
mod egress;
mod egress_members;
pub mod endpoint;
mod engine;
mod health;
mod ipam;
mod mailbox;
pub mod namespace;
mod own_object;
mod pool_status;
mod status;
mod store;
mod tunnel_address;
mod wireguard_key;
mod wireguard_peer;

pub use args::Args;
