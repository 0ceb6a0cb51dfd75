//! What a session is: roles, limits, keys, and ranges of neighbours that are not named one by one.

use std::fmt;
use std::str::FromStr;

use cairn_net::{Asn, Prefix};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Name, Secret};

/// What this speaker is to an external neighbour (RFC 9234).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The neighbour's transit provider.
    Provider,
    /// A route server.
    RouteServer,
    /// A client of a route server.
    RouteServerClient,
    /// The neighbour's customer.
    Customer,
    /// A lateral peer.
    Peer,
}

/// What the first prefix beyond `maxPrefixes` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrefixLimitAction {
    /// Ends the session until the neighbour is enabled anew, or until `maxPrefixesRestartTime` is over.
    #[default]
    Idle,
    /// Gives a warning, and keeps the session.
    Warn,
}

/// Neighbours that are not named one by one: whoever connects from the prefix is one. Each lives as long as its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenRange {
    /// Where they connect from. Of several ranges that an address is in, the longest prefix counts.
    pub prefix: Prefix,
    /// The peer group whose options hold for them.
    pub peer_group: Name,
    /// AS numbers that they may have, as numbers or ranges. Default: `remoteAs` of the peer group. Either all external or
    /// the local AS alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_as: Vec<AsnRange>,
    /// How many there may be at a time. Range: 1 to 10000. Default: 100.
    #[serde(default = "hundred")]
    pub limit: u32,
}

const fn hundred() -> u32 {
    100
}

/// An AS number, or a range of them: `64512-65534`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsnRange {
    /// The first.
    pub first: Asn,
    /// The last; not before the first.
    pub last: Asn,
}

impl FromStr for AsnRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.trim().parse::<Asn>().map_err(|error| error.to_string());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: number(first)?, last: number(last)? };
        if range.first > range.last {
            return Err(format!("{text:?}: the first AS of a range must not be above the last"));
        }
        Ok(range)
    }
}

impl fmt::Display for AsnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl<'de> Deserialize<'de> for AsnRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "an AS number, or a range such as 64512-65534")
    }
}

impl Serialize for AsnRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A key of the TCP Authentication Option (RFC 5925). Both sides need one with the same numbers, algorithm and secret, the
/// numbers the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpAoKey {
    /// KeyID of what is sent with this key. Range: 0 to 255.
    pub send_id: u8,
    /// KeyID of what is received with this key. Range: 0 to 255.
    pub receive_id: u8,
    /// The secret. Range: 1 to 80 bytes.
    pub secret: Secret,
    /// The message authentication code. Default: `hmac-sha1-96`.
    #[serde(default)]
    pub algorithm: TcpAoAlgorithm,
}

/// Message authentication codes of TCP-AO (RFC 5926, and one of the kernel's).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TcpAoAlgorithm {
    /// HMAC-SHA-1-96.
    #[default]
    #[serde(rename = "hmac-sha1-96")]
    HmacSha1,
    /// AES-128-CMAC-96.
    #[serde(rename = "aes-128-cmac-96")]
    Aes128Cmac,
    /// HMAC-SHA-256, cut to 96 bits.
    #[serde(rename = "hmac-sha256-96")]
    HmacSha256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_as_numbers_are_read_and_printed() {
        for text in ["65001", "64512-65534", "4200000000-4294967294"] {
            assert_eq!(text.parse::<AsnRange>().unwrap().to_string(), text);
        }
        for wrong in ["", "-", "2-1", "1-", "a-b", "1-2-3"] {
            assert!(wrong.parse::<AsnRange>().is_err(), "{wrong:?}");
        }
    }
}
