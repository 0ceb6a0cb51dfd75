//! Cluster state in, this node's desired state out: a pure function.
//!
//! [`State::apply`] takes facts ([`Update`]) and only marks what they touch; [`State::changes`] works out what follows
//! and gives the net difference since the last call ([`Change`]), in dependency order.
//!
//! Invariants:
//! - what is given out depends on the current facts alone, never on their order or on facts that no longer hold;
//! - a learned route and an endpoint cost O(1), all else the size of what it may touch;
//! - nothing here fails: what is refused or impossible is a [`Condition`].
//!
//! Not here: any clock, socket or syscall (clippy.toml keeps them out), and how the kernel or bgpd is spoken to.

mod announce;
mod change;
mod claims;
mod condition;
mod drain;
mod egress;
mod endpoint;
mod fabric;
mod firewall;
mod host;
mod host_port;
mod mtu;
mod nat;
mod paths;
mod pod_cidr;
mod reverse_path;
mod route;
mod settings;
mod speaker;
mod state;
mod table;
mod underlay;
mod update;

pub use change::Change;
pub use condition::{Condition, Reason};
pub use drain::{DrainCause, DrainState};
pub use egress::{Claim, Detour, EGRESS_MARKS, EgressSlot};
pub use endpoint::Endpoint;
pub use fabric::{
    Encapsulation, HostTunnel, HostWireguard, OwnAddresses, Tunnel, TunnelKind, TunnelPeer, TunnelPools,
    VxlanSettings, WireguardPeer,
};
pub use firewall::Element;
pub use host::{Host, HostAddress, HostHop, HostLink, HostRoute};
pub use nat::Nat;
pub use route::{Gateway, NextHop, Route};
pub use settings::Settings;
pub use state::State;
pub use underlay::{PoolAttachment, Underlay};
pub use update::Update;

/// The labels of an object.
pub type Labels = std::collections::BTreeMap<String, String>;
