//! The speaker: everything that BGP is, apart from sockets and clocks.
//!
//! The shell calls [`Speaker::handle`] with what happens, drains [`Speaker::poll_output`], pulls bytes with
//! [`Speaker::transmit`], and sleeps until [`Speaker::poll_timeout`]. Lists come from [`Speaker::peers`] and [`Speaker::routes`].
//! Invariants: nothing here fails or panics, whatever comes in; an input costs what it changes; the same inputs at the same
//! times give the same outputs.

mod add_path;
mod aggregate;
mod bfd;
mod condition;
mod config;
mod configure;
mod connection;
mod down;
mod drive;
mod dynamic;
mod egress;
mod establish;
mod handover;
mod ingest;
mod input;
mod interface;
mod list;
mod monitor;
mod next_hop;
mod operator;
mod originate;
mod outbound;
mod output;
mod own;
mod peer;
mod policy_view;
mod refresh;
mod remote_as;
mod retention;
mod rib;
mod run;
mod session;
mod session_config;
mod startup;
mod statistics;
mod timer;
mod view;

pub use add_path::{AddPathConfig, AddPathSend};
pub use aggregate::AggregateConfig;
pub use bfd::{BfdConfig, BfdState};
pub use config::{
    BestPathConfig, BlackholeConfig, Confederation, Config, GracefulRestartConfig, NextHopMode, Password,
    PeerConfig, ShutdownMode, TimerConfig, TransportConfig, Ttl,
};
pub use connection::Opens;
pub use down::DownReason;
pub use dynamic::Welcome;
pub use handover::{HandOverError, HandedOver, STATE_VERSION, Surroundings, TakeOverError, TakenOver};
pub use input::{ConnId, Direction, Input, SoftReset};
pub use interface::Interface;
pub use list::{Listing, PrefixMatch, RibKind, RouteView};
pub use next_hop::{NextHopStatistics, NextHopView};
pub use originate::OriginatedRoute;
pub use outbound::{
    ConditionalAdvertisement, DefaultOriginate, OutboundConfig, RemovePrivateAs, SendCommunities,
};
pub use output::{BestRoute, Output, PeerChange, RouteSource, TcpOptions};
pub use policy_view::{
    ExplainedStep, PolicyDifference, PolicyDirection, PolicyExplanation, PolicyPage, PolicyTally, Statement,
    StatementHits,
};
pub use run::{Speaker, Transmitted};
pub use session_config::{LimitAction, ListenRange, LocalAs, PrefixLimit, RemoteAs, RoleConfig};
pub use statistics::{FamilyStatistics, RibStatistics};
pub use view::{Counters, FamilyView, NotificationView, PeerView, SessionView, TimerView};

/// TCP port of BGP.
pub const BGP_PORT: u16 = 179;

/// The settings of a peer's state machine, for the tests of those.
#[cfg(test)]
pub(crate) fn settings_for_tests(local: &Config, peer: &PeerConfig) -> crate::fsm::Settings {
    peer::settings(local, peer, std::net::IpAddr::from([10, 0, 0, 9]), false)
}

#[cfg(test)]
mod tests;
