use std::net::SocketAddr;

use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, WireguardKey, bounds};

/// Somebody to whom packets are encrypted: a node, or a host outside of the cluster.
///
/// That of a node has the node's name, and its felix-lite writes the keys. For a host outside an operator writes the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireguardPeer {
    /// The public key. The private one never leaves its host.
    pub public_key: WireguardKey,
    /// Where its encrypted packets go. Default: the address of the Node of this name, with `wireguardListeningPort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// Addresses behind it besides those of its blocks: every node has routes to them.
    #[serde(default, rename = "allowedIPs", skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<Prefix>,
}

impl WireguardPeer {
    /// That of a node with this key.
    pub const fn of(public_key: WireguardKey) -> Self {
        Self { public_key, endpoint: None, allowed_ips: Vec::new() }
    }
}

impl Kind for WireguardPeer {
    type Status = crate::NoStatus;
    const KIND: &'static str = "WireguardPeer";
    const PLURAL: &'static str = "wireguardpeers";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        if let Some(endpoint) = object.spec.endpoint {
            let ip = endpoint.ip();
            let usable = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
            let rule = "a unicast address and a port from 1 to 65535";
            faults.require(usable && endpoint.port() != 0, "spec.endpoint", endpoint, rule);
        }
        faults.at_most("spec.allowedIPs", object.spec.allowed_ips.len(), bounds::LIST);
        for prefix in &object.spec.allowed_ips {
            let rule = "longer than /0: a default route is no peer's";
            faults.require(prefix.len() > 0, "spec.allowedIPs", prefix, rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    #[test]
    fn what_no_packet_could_be_sent_to_is_refused() {
        let mut peer = WireguardPeer::of(WireguardKey([1; 32]));
        let faults = |peer: &WireguardPeer| {
            Object::new(Metadata::named("outside"), peer.clone())
                .validate()
                .err()
                .map(|found| found.to_string())
        };
        peer.endpoint = Some("203.0.113.9:51820".parse().unwrap());
        peer.allowed_ips = vec!["10.99.0.0/24".parse().unwrap()];
        assert_eq!(faults(&peer), None);
        for wrong in ["0.0.0.0:51820", "203.0.113.9:0", "[ff02::1]:51820", "127.0.0.1:1"] {
            peer.endpoint = Some(wrong.parse().unwrap());
            assert!(faults(&peer).unwrap().contains("spec.endpoint"), "{wrong}");
        }
        peer.endpoint = None;
        peer.allowed_ips.push("0.0.0.0/0".parse().unwrap());
        assert!(faults(&peer).unwrap().contains("spec.allowedIPs"));
    }
}
