use std::net::IpAddr;

use cairn_net::{Asn, Prefix};
use serde::{Deserialize, Serialize};

use super::load::typed;
use super::{Community, ConfigError, Origin, PeerType, RouteSource};

/// A route to try a policy on, without a daemon. Only the prefix is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestRoute {
    /// The prefix.
    pub prefix: Prefix,
    /// NEXT_HOP. Default: the unspecified address, as of a route of this speaker.
    #[serde(default)]
    pub next_hop: Option<IpAddr>,
    /// AS_PATH, the nearest AS first. Default: empty.
    #[serde(default)]
    pub as_path: Vec<Asn>,
    /// ORIGIN. Default: igp.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// MULTI_EXIT_DISC. Default: none.
    #[serde(default)]
    pub med: Option<u32>,
    /// LOCAL_PREF. Default: none; 0 for one from an external neighbour with GRACEFUL_SHUTDOWN, as the speaker has it (RFC 8326).
    #[serde(default)]
    pub local_preference: Option<u32>,
    /// Communities of any kind. Default: none.
    #[serde(default)]
    pub communities: Vec<Community>,
    /// The tag that an import policy set. Default: 0.
    #[serde(default)]
    pub tag: u32,
    /// Where it was learned: `local`, `ebgp`, `ibgp`, `client` or `confederation`. Default: ebgp.
    #[serde(default)]
    pub source: Option<RouteSource>,
    /// The neighbour whose import or export is tried. Default: the unspecified address.
    #[serde(default)]
    pub peer: Option<IpAddr>,
    /// What that neighbour is. Default: ebgp.
    #[serde(default)]
    pub peer_type: Option<PeerType>,
}

/// Reads a route.
///
/// # Errors
/// The first fault of syntax or type, with its place.
pub fn load_route(text: &str, source: &str) -> Result<TestRoute, ConfigError> {
    typed(text, source)
}
