use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use cairn_api::kinds::AllowedUse;
use cairn_net::{Families, Family, Prefix};
use serde::{Deserialize, Serialize};

/// Who has addresses: for a pod's attachment `<network>.<container id>.<interface>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(String);

impl Handle {
    /// From any text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The handle of an attachment.
    pub fn of_attachment(network: &str, container: &str, interface: &str) -> Self {
        Self(format!("{network}.{container}.{interface}"))
    }

    /// The handle of the address of a node's tunnels, of a family. No attachment has one with a slash.
    pub fn of_tunnels(family: Family) -> Self {
        Self(format!("cairn/tunnel/{family}"))
    }

    /// Is it that of a node's tunnels?
    pub fn is_tunnel(&self) -> bool {
        Family::ALL.into_iter().any(|family| *self == Self::of_tunnels(family))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is asked for. All of it is given, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For whom. The same handle that asks twice gets the same addresses.
    pub handle: Handle,
    /// The pod as `namespace/name`, for people, and to let it have its fixed address again at once. Empty where there is none.
    pub pod: String,
    /// One address of each.
    pub families: Families,
    /// Names or ranges of pools to take from, in order; for a family that none is of, any pool that fits.
    pub pools: Vec<String>,
    /// Exact addresses to have, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Labels of the pod's namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What the addresses are for. Pools that select namespaces do so for workloads alone.
    pub purpose: AllowedUse,
}

impl Request {
    /// A request for one address of each family, from any pool.
    pub fn any(handle: Handle, families: Families) -> Self {
        Self {
            handle,
            pod: String::new(),
            families,
            pools: Vec::new(),
            addresses: Vec::new(),
            namespace_labels: BTreeMap::new(),
            purpose: AllowedUse::Workload,
        }
    }
}

/// An address that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The address.
    pub address: IpAddr,
    /// The block it is of.
    pub block: Prefix,
    /// The name of its pool.
    pub pool: String,
}
