//! The configuration document of bgpd: one YAML (or JSON) text, read from a file or handed over by `Apply`.
//!
//! Field names are camelCase, as in the Kubernetes manifests beside which the document usually lies. Every field has
//! a type of its own here: nothing is parsed a second time. Unknown fields are refused, and every fault that
//! [`load()`] reports says where it is: source, line, column, path of the field, the value, and the rule it breaks.
//! All faults of meaning are reported at once; a fault of syntax or type ends the reading, so that one comes alone.
//!
//! Times are whole seconds in the document and `Duration` here.
//!
//! Invariant: a [`Config`] that comes from [`load()`] is valid; one that was put together in code is checked
//! by [`Config::faults`], and in any case by the daemon that it is handed to.

mod add_path;
mod best_path;
mod bfd;
mod bmp;
mod community;
mod community_pattern;
mod error;
mod file_pattern;
mod filter_chain;
mod load;
mod locate;
mod millis;
mod mrt;
mod name;
mod neighbor;
mod next_hop;
mod number;
mod originate;
mod outbound;
mod path_pattern;
mod policies;
mod policy;
mod regex;
mod seconds;
mod secret;
mod session;
mod speaker;
mod test_route;
mod validate;

pub use add_path::{AddPath, AddPathSend, PathCount};
pub use best_path::{BestPath, Confederation};
pub use bfd::{Bfd, BfdAuthentication, BfdAuthenticationType};
pub use bmp::BmpCollector;
pub use community::Community;
pub use community_pattern::{Administrator, CommunityKind, CommunityPattern, ExtendedSubtype, NumberSpan};
pub use error::{ConfigError, Fault};
pub use file_pattern::FilePattern;
pub use filter_chain::FilterChain;
pub use load::{MAX_DOCUMENT, load, to_yaml};
pub use mrt::{Mrt, MrtTables, MrtUpdates};
pub use name::Name;
pub use neighbor::{InterfaceNeighbor, Neighbor, PeerOptions};
pub use next_hop::NextHopTracking;
pub use number::{NumberChange, NumberRange};
pub use originate::OriginatedRoute;
pub use outbound::{
    Aggregate, Blackhole, ConditionalAdvertisement, ConditionalAdvertisements, DefaultOriginate, NextHopMode,
    RemovePrivateAs, SendCommunity,
};
pub use path_pattern::{AsPathEntry, AsPathPattern, AsPathToken};
pub use policies::{Policies, load_policies};
pub use policy::{
    AsReplacement, CommunityChange, CommunityMatch, Filter, Match, NextHopAction, Origin, PathPrepend,
    PeerType, PrefixRange, Quantity, RouteSource, Rule, SetActions, Verdict,
};
pub use regex::{AsPathRegex, AttributeRegex};
pub use secret::Secret;
pub use session::{AsnRange, ListenRange, PrefixLimitAction, Role, TcpAoAlgorithm, TcpAoKey};
pub use speaker::{
    Config, FamilyTimes, ForwardingState, GracefulRestart, Listen, Metrics, Multipath, ShutdownMode, Timers,
};
pub use test_route::{TestRoute, load_route};
