use std::fmt;
use std::net::Ipv4Addr;

use cairn_net::Asn;

/// AGGREGATOR: who formed the aggregate route (RFC 4271 section 5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its AS, never zero.
    pub asn: Asn,
    /// Its identifier.
    pub router_id: Ipv4Addr,
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{} {}", self.asn, self.router_id)
    }
}
