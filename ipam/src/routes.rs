use std::net::IpAddr;

use cairn_net::Prefix;

/// What the node is to announce and to blackhole, as far as addresses are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// Its own blocks whose claim is confirmed, in order.
    pub blocks: Vec<BlockRoute>,
    /// Addresses in use that lie in no block of its own, in order: each needs a host route of its own.
    pub borrowed: Vec<BorrowedRoute>,
}

/// A block of the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRoute {
    /// The range.
    pub cidr: Prefix,
    /// The name of its pool.
    pub pool: String,
}

/// An address borrowed from another node's block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BorrowedRoute {
    /// The address.
    pub address: IpAddr,
    /// The name of its pool.
    pub pool: String,
}
