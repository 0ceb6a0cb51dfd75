//! Next hops as other programs see them.

use std::net::IpAddr;
use std::time::Duration;

use cairn_net::Prefix;
use serde::Serialize;

/// A piece of the list of next hops.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NextHopPage {
    /// Next hops are tracked.
    pub tracked: bool,
    /// In the order of their addresses.
    pub next_hops: Vec<NextHop>,
}

/// A next hop of learned paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHop {
    /// Its address.
    pub address: IpAddr,
    /// How many accepted paths have it.
    pub paths: u64,
    /// Interior cost; 0 on a connected network. `None`: it cannot be reached.
    pub metric: Option<u32>,
    /// It is on a network of one of this machine's interfaces.
    pub connected: bool,
    /// Why it cannot be reached. Empty: it can, or the kernel's routes are not known yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unreachable: String,
    /// The prefix of the longest route that leads there.
    pub via: Option<Prefix>,
    /// Who made that route: `kernel`, `static`, `ospf` ..., `bgp` for one of the Loc-RIB, `link` for a link-local address, `self` for one
    /// of this machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Where packets to it go.
    pub gateways: Vec<NextHopGateway>,
    /// It is behind a blackhole: packets to it are dropped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
    /// Since when that is so.
    #[serde(rename = "sinceSeconds", serialize_with = "crate::peer::seconds")]
    pub since: Duration,
}

/// A router on a link, or the next hop itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHopGateway {
    /// Its address.
    pub address: Option<IpAddr>,
    /// The number of the interface.
    pub interface: u32,
    /// The name of the interface, such as `if7` if it is gone.
    pub interface_name: String,
}
