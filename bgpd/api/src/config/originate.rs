use std::net::IpAddr;

use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use super::Community;

/// A route that this speaker originates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginatedRoute {
    /// The prefix.
    pub prefix: Prefix,
    /// Next hop, of any family. Default: the local address of each session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// LOCAL_PREF. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// Communities, standard and large. Range: at most 255.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<Community>,
}

impl OriginatedRoute {
    /// A route with nothing but its prefix.
    pub const fn new(prefix: Prefix) -> Self {
        Self { prefix, next_hop: None, med: None, local_preference: None, communities: Vec::new() }
    }
}
