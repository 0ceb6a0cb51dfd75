//! What the plugin asks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_net::{Bandwidth, Families, Family, HostPort, Mac};
use serde::{Deserialize, Serialize};

use crate::{Attachment, PodId};

/// The protocol's version. It changes only where an older daemon would misread a request.
pub const PROTOCOL: u32 = 3;

/// One question of the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version that the command needs, [`PROTOCOL`] at most: a daemon that is older would leave something out of it.
    pub version: u32,
    /// What to do.
    pub command: Command,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self { version: command.version(), command }
    }
}

/// The verbs of CNI that need the daemon, and what an operator asks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Connect a container. The namespace must come along as a file descriptor.
    Add(Box<Add>),
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
    /// The first version of the protocol that knows all of it.
    fn version(&self) -> u32 {
        match self {
            Self::Add(add) if add.addresses.configured.values().any(|pools| !pools.is_empty()) => 3,
            Self::Add(add) if !add.host_ports.is_empty() || !add.bandwidth.is_unlimited() => 2,
            _ => 1,
        }
    }

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
    /// Ports of the node that lead to the pod. Since version 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// How much traffic the pod may have. Since version 2.
    #[serde(default, skip_serializing_if = "Bandwidth::is_unlimited")]
    pub bandwidth: Bandwidth,
}

/// Which addresses an attachment wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressRequest {
    /// Families to assign; `None`: each one that has a pool for this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<Family>>,
    /// Names or CIDRs of the pools to take from, of either family, as the pod itself names them; none named for a family, nor by what
    /// counts in its place: any pool that selects this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Each family of which the pod itself says nothing, with the pools of the plugin's configuration, perhaps none: they count unless the
    /// pod's namespace names others. Since version 3.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configured: BTreeMap<Family, Vec<String>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn add(json: &str) -> Request {
        let text = format!(
            r#"{{"add":{{"attachment":{{"container":"c","ifname":"eth0"}},"network":"pods","netns":"/run/netns/p"{json}}}}}"#
        );
        serde_json::from_str::<Command>(&text).unwrap().into()
    }

    #[test]
    fn only_what_an_older_daemon_would_leave_out_needs_a_newer_one() {
        assert_eq!(add("").version, 1);
        assert_eq!(add(r#","host_ports":[{"transport":"udp","host_port":53,"port":5353}]"#).version, 2);
        assert_eq!(add(r#","bandwidth":{"egress":{"bits_per_second":1000000}}"#).version, 2);
        assert_eq!(add(r#","addresses":{"configured":{"ipv4":[],"ipv6":["b"]}}"#).version, 3);
        assert_eq!(add(r#","addresses":{"configured":{"ipv4":[],"ipv6":[]}}"#).version, 1);
        assert_eq!(Request::from(Command::Status).version, 1);
    }

    #[test]
    fn ports_and_rates_are_validated_when_they_are_read() {
        for bad in [
            r#"{"transport":"tcp","host_port":0,"port":80}"#,
            r#"{"transport":"icmp","host_port":80,"port":80}"#,
            r#"{"transport":"tcp","host_port":80,"port":65536}"#,
        ] {
            assert!(serde_json::from_str::<HostPort>(bad).is_err(), "{bad}");
        }
        let slow = r#"{"egress":{"bits_per_second":999}}"#;
        assert!(serde_json::from_str::<Bandwidth>(slow).unwrap_err().to_string().contains("1000 to"));
    }
}
