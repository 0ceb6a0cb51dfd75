//! What felix-lite answers.

use std::fmt;
use std::net::IpAddr;

use cairn_net::Mac;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// ADD is done: traffic may flow.
    Attached(Attached),
    /// DEL, CHECK, STATUS, GC or what an operator asked for succeeded.
    Done,
    /// Nothing was done, or all of it was undone.
    Refused(Refusal),
}

/// An attachment as it is in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Name of the host's end.
    pub host_ifname: String,
    /// MAC address of the host's end.
    pub host_mac: Mac,
    /// MAC address of the container's end.
    pub pod_mac: Mac,
    /// MTU of both ends, in bytes.
    pub mtu: u32,
    /// The container's addresses, at most one of a family, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// For each of them the network that it is in; empty where the node routes and is the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
}

/// The network that an address of a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Length of its subnet in bits.
    pub prefix_len: u8,
    /// Does the container have a way out of it?
    pub has_default: bool,
    /// The router on that way; `None`: the link itself leads everywhere, or nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// An error in CNI's terms.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{msg} (code {code}){}{details}", if details.is_empty() { "" } else { ": " })]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// One line: who and what.
    pub msg: String,
    /// Why, and what to do about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Refusal {
    /// An error of a kind, in one line.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same with the reason.
    #[must_use]
    pub fn because(mut self, details: impl fmt::Display) -> Self {
        self.details = details.to_string();
        self
    }
}

/// CNI's error codes (specification 1.1.0, sections 2 and 5), and Cairn's own from 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The configuration's `cniVersion` is not spoken here.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// A key of the configuration is not supported; the message holds key and value.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// The container, or its namespace, does not exist.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// An environment variable is missing or wrong; the message names it.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// Reading or writing failed.
    pub const IO: Self = Self(5);
    /// The configuration is not JSON, or not of the expected shape.
    pub const DECODE: Self = Self(6);
    /// A value of the configuration breaks a rule.
    pub const INVALID_CONFIG: Self = Self(7);
    /// Transient: the runtime should try again.
    pub const TRY_AGAIN: Self = Self(11);
    /// STATUS: ADD would not work now.
    pub const NOT_AVAILABLE: Self = Self(50);
    /// STATUS: ADD would not work now, and containers may be without connectivity.
    pub const LIMITED_CONNECTIVITY: Self = Self(51);
    /// Address management refused: no pool, pool full, address taken.
    pub const IPAM: Self = Self(100);
    /// The kernel refused.
    pub const KERNEL: Self = Self(101);
    /// CHECK: the kernel is not as ADD left it.
    pub const CHECK_FAILED: Self = Self(102);
    /// An interface of that name is in the container already, and is not ours.
    pub const INTERFACE_EXISTS: Self = Self(103);
    /// A port of the node leads to another container already.
    pub const PORT_IN_USE: Self = Self(104);
    /// Something in Cairn that should not happen.
    pub const INTERNAL: Self = Self(199);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
