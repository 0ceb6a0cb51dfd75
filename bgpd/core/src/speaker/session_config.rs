//! Options of a peer that concern what its session is: as which AS we speak, in which role, and how much it may say.

use std::ops::RangeInclusive;
use std::time::Duration;

use cairn_net::{Asn, Prefix};

use super::PeerConfig;
use crate::wire::Role;

/// Another AS number towards an external peer than our own (RFC 7705).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAs {
    /// The number in our OPEN, and in front of the paths that we announce. Neither our own nor the peer's.
    pub asn: Asn,
    /// It is not put in front of the paths that the peer announces.
    pub no_prepend: bool,
    /// It stands in the paths that we announce instead of our own number, not in front of it.
    pub replace_as: bool,
}

/// Our role towards an external peer (RFC 9234).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleConfig {
    /// What we are to the peer.
    pub role: Role,
    /// A peer that does not name its role is refused.
    pub strict: bool,
}

/// How many prefixes of each family a peer may announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLimit {
    /// The most. Range: 1 and more.
    pub max: u32,
    /// Number of prefixes beyond which a warning is given, once until it is no longer exceeded.
    pub warn_above: u32,
    /// What the first prefix too many does.
    pub action: LimitAction,
}

impl PrefixLimit {
    /// Percentage of the limit beyond which a warning is given, unless configured.
    pub const WARN_PERCENT: u8 = 75;

    /// A limit that ends the session for good, with a warning at this percentage of it. Range: 1 to 100.
    pub fn new(max: u32, warn_percent: u8) -> Self {
        let warn_above = u64::from(max) * u64::from(warn_percent.min(100)) / 100;
        let warn_above = u32::try_from(warn_above).unwrap_or(max);
        Self { max, warn_above, action: LimitAction::Idle }
    }
}

/// What the first prefix too many does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitAction {
    /// Ends the session (Cease / Maximum Number of Prefixes Reached) until the peer is started again.
    Idle,
    /// Ends the session, and begins a new one after this time.
    RestartAfter(Duration),
    /// Gives a warning.
    Warn,
}

/// Which AS a peer may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RemoteAs {
    /// That of its configuration.
    #[default]
    Configured,
    /// One that is in a range, as its OPEN says; never empty, and either all external or ours alone.
    OneOf(Vec<RangeInclusive<Asn>>),
    /// Any that makes it an external peer, as its OPEN says: neither ours, nor one of our confederation.
    External,
}

/// Peers that are not configured one by one: whoever connects from the prefix is one, for as long as its session lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenRange {
    /// Where they connect from. The longest prefix that an address is in counts.
    pub prefix: Prefix,
    /// How many there may be at a time.
    pub limit: u32,
    /// The configuration of each.
    pub peer: PeerConfig,
}
