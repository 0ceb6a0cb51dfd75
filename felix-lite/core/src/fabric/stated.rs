//! What objects say to be behind peers, as far as it may be.
//!
//! Every node has routes to it that lead into the device. One that another node's address is in would lead encrypted packets themselves there,
//! and one of a pool would take pods' addresses from the nodes that have them: whoever may write such an object must not be able to cut off
//! others by it.

use std::net::IpAddr;

use cairn_net::Prefix;

use super::{Addresses, Members};
use crate::condition::Reason;

/// A prefix that is not taken to be behind a peer, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    pub(super) prefix: Prefix,
    pub(super) reason: Reason,
    /// The rest of a sentence that begins with the prefix.
    pub(super) why: String,
}

/// All that no peer of this node can have behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    /// This node.
    pub(super) node: &'a str,
    pub(super) own: &'a Addresses,
    pub(super) members: &'a Members,
    /// The ranges of all pools, with their names.
    pub(super) pools: &'a [(String, Prefix)],
}

impl Taken<'_> {
    /// The prefixes that may be behind a peer at this address, and the others.
    pub(super) fn sort(self, stated: &[Prefix], endpoint: IpAddr) -> (Vec<Prefix>, Vec<Refused>) {
        let (mut fit, mut refused) = (Vec::new(), Vec::new());
        for prefix in stated {
            match self.objection(*prefix, endpoint) {
                None => fit.push(*prefix),
                Some((reason, why)) => refused.push(Refused { prefix: *prefix, reason, why }),
            }
        }
        (fit, refused)
    }

    fn objection(self, prefix: Prefix, endpoint: IpAddr) -> Option<(Reason, String)> {
        let mut own = self.own.iter().flatten().map(|address| (*address, self.node));
        let node = own.find(|(address, _)| prefix.contains(*address));
        if let Some((address, name)) = node.or_else(|| self.members.first_within(prefix)) {
            return Some((Reason::Ambiguous, format!("contains {address}, the address of Node/{name}")));
        }
        if prefix.contains(endpoint) {
            let why = format!("contains {endpoint}, where the peer's encrypted packets go");
            return Some((Reason::Invalid, why));
        }
        let (name, cidr) = self.pools.iter().find(|(_, cidr)| cidr.overlaps(prefix))?;
        Some((Reason::CidrOverlap, format!("overlaps the range {cidr} of IPPool/{name}")))
    }
}
