//! What the plugin asks.

use std::net::IpAddr;

use cairn_net::{Families, Family, Mac};
use serde::{Deserialize, Serialize};

use crate::{Attachment, PodId};

/// The protocol's version. It changes only where an older daemon would misread a request.
pub const PROTOCOL: u32 = 1;

/// One question of the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL`] of the asker.
    pub version: u32,
    /// What to do.
    pub command: Command,
}

/// The verbs of CNI that need the daemon, and what an operator asks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Connect a container. The namespace must come along as a file descriptor.
    Add(Add),
    /// Disconnect a container. The namespace comes along if it still exists.
    Del(Del),
    /// Compare the kernel with what ADD made. The namespace must come along.
    Check(Check),
    /// Ready for ADD?
    Status,
    /// Remove the stale attachments of a network.
    Gc(Gc),
    /// Not of CNI: give the node another WireGuard key.
    #[serde(rename = "rotate-wireguard-key")]
    RotateWireguardKey,
}

impl Command {
    /// The verb as CNI spells it.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Del(_) => "DEL",
            Self::Check(_) => "CHECK",
            Self::Status => "STATUS",
            Self::Gc(_) => "GC",
            Self::RotateWireguardKey => "rotate-wireguard-key",
        }
    }
}

/// ADD: connect a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// What to make.
    pub attachment: Attachment,
    /// `name` of the network configuration: GC works within it.
    pub network: String,
    /// `CNI_NETNS`, for logs and results; the namespace itself comes as a file descriptor.
    pub netns: String,
    /// The pod, where an orchestrator names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodId>,
    /// MTU in bytes, 1280 to 65535 where IPv6 is used, else from 68; `None`: that of the node's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// MAC address of the pod's end; `None`: the kernel's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Which addresses are wanted.
    #[serde(default)]
    pub addresses: AddressRequest,
}

/// Which addresses an attachment wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressRequest {
    /// Families to assign; `None`: each one that has a pool for this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<Family>>,
    /// Names or CIDRs of the pools to take from, of either family; none named for a family: any pool that selects this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Exactly these addresses, at most one of a family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl AddressRequest {
    /// The families asked for by name, if any.
    pub fn families(&self) -> Option<Families> {
        self.families.as_ref().map(|families| families.iter().copied().collect())
    }
}

/// DEL: disconnect a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Del {
    /// What to remove.
    pub attachment: Attachment,
    /// `name` of the network configuration.
    pub network: String,
}

/// CHECK: is the attachment as ADD left it?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What to look at.
    pub attachment: Attachment,
    /// `CNI_NETNS`, for messages.
    pub netns: String,
    /// Addresses that `prevResult` gives to the container's interface; `None` without a `prevResult`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Vec<IpAddr>>,
}

/// GC: remove the stale attachments of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gc {
    /// `name` of the network configuration.
    pub network: String,
    /// `cni.dev/valid-attachments`: what must stay. `None`: the runtime does not say, so only that goes whose interface is gone.
    pub valid: Option<Vec<Attachment>>,
}
