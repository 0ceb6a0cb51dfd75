use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Secret, millis};

/// BFD with a neighbour (RFC 5880). A neighbour has it as soon as it, or its peer group, has this map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bfd {
    /// False: none, whatever the peer group says. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Desired Min TX Interval. Unit: milliseconds. Range: 50 to 60000. Default: 300.
    #[serde(with = "millis", skip_serializing_if = "Option::is_none")]
    pub min_tx_interval: Option<Duration>,
    /// Required Min RX Interval. Unit: milliseconds. Range: 50 to 60000. Default: 300.
    #[serde(with = "millis", skip_serializing_if = "Option::is_none")]
    pub min_rx_interval: Option<Duration>,
    /// Detect Mult: packets in a row whose loss the neighbour takes for a failure. Range: 1 to 255. Default: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<u8>,
    /// The neighbour is behind routers (RFC 5883). Default: true with `ebgpMultihop`, or `ttlSecurityHops` above 1; otherwise false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multihop: Option<bool>,
    /// Least time to live of packets of a multihop session. Range: 1 to 255. Default: what `ttlSecurityHops` says, otherwise 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ttl: Option<u8>,
    /// Send nothing before the neighbour does. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<bool>,
    /// No BGP session before the BFD session is up. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Authentication of packets; both sides have the same. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<BfdAuthentication>,
}

impl Bfd {
    /// The settings with those of `group` where they are not set.
    #[must_use]
    pub fn or(self, group: &Self) -> Self {
        Self {
            enabled: self.enabled.or(group.enabled),
            min_tx_interval: self.min_tx_interval.or(group.min_tx_interval),
            min_rx_interval: self.min_rx_interval.or(group.min_rx_interval),
            multiplier: self.multiplier.or(group.multiplier),
            multihop: self.multihop.or(group.multihop),
            min_ttl: self.min_ttl.or(group.min_ttl),
            passive: self.passive.or(group.passive),
            strict: self.strict.or(group.strict),
            authentication: self.authentication.or_else(|| group.authentication.clone()),
        }
    }
}

/// Authentication of BFD packets (RFC 5880 section 6.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BfdAuthentication {
    /// The method.
    #[serde(rename = "type")]
    pub kind: BfdAuthenticationType,
    /// Auth Key ID. Range: 0 to 255.
    pub key_id: u8,
    /// The secret. Range: 1 to 16 bytes for `simple`, 1 to 20 for the others. Excludes `passwordFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the secret; one line end after it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// A method of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BfdAuthenticationType {
    /// The secret in clear: against accidents only.
    Simple,
    /// SHA1.
    KeyedSha1,
    /// SHA1 with a number that grows with every packet.
    MeticulousKeyedSha1,
}

impl BfdAuthenticationType {
    /// Longest secret. Unit: bytes.
    pub const fn max_secret(self) -> usize {
        match self {
            Self::Simple => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => 20,
        }
    }
}
