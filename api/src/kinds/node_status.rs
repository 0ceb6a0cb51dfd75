use std::net::IpAddr;

use cairn_net::{Asn, Prefix};
use serde::{Deserialize, Serialize};

use crate::{Condition, ConditionStatus, Faults, Kind, Object, Timestamp, WireguardKey};

/// What a node's daemons report of themselves. Named like the node; written by its felix-lite.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {}

/// The report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Timestamp>,
    /// `Ready`, and one for each kind of thing that is wrong: its type is the reason, its message has a line for each thing.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The BGP sessions that should be.
    #[serde(default)]
    pub sessions: Vec<SessionReport>,
    /// The BGPPeers by which there should be sessions, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bgp_peers: Vec<PeerDemand>,
    /// Blocks that the node announces.
    #[serde(default)]
    pub blocks: Vec<Prefix>,
    /// Learned routes in the kernel.
    #[serde(default)]
    pub installed_routes: u64,
    /// Attachments of pods.
    #[serde(default)]
    pub attachments: u64,
    /// The public key by which other nodes know this one in WireGuard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_public_key: Option<WireguardKey>,
}

impl NodeReport {
    /// Conditions that are good while true; all others are there while something is wrong.
    const GOOD: [&str; 3] = ["Ready", "BGPReady", "DataplaneInSync"];
    /// Conditions that say what somebody wanted, and how far it is: no fault either way.
    const ASKED_FOR: [&str; 2] = ["Draining", "Drained"];

    /// Does one of its conditions say that something is not as it should be?
    pub fn is_fault(condition: &Condition) -> bool {
        let kind = condition.kind.as_str();
        let good = Self::GOOD.contains(&kind);
        !Self::ASKED_FOR.contains(&kind) && (condition.status == ConditionStatus::True) != good
    }

    /// Most things that one condition names, and most bytes that are said of each: far below the 32 KiB that Kubernetes allows a message.
    const NAMED: usize = 8;
    const LONGEST: usize = 1024;

    /// The message of a condition that says several things: a line for each of the first, and how many more there are.
    pub fn message(things: &[String]) -> String {
        let line = |thing: &String| {
            let end = thing.floor_char_boundary(Self::LONGEST);
            thing[..end].replace(['\n', '\r'], " ")
        };
        let mut lines: Vec<String> = things.iter().take(Self::NAMED).map(line).collect();
        if things.len() > Self::NAMED {
            lines.push(format!("{AND}{}{MORE}", things.len() - Self::NAMED));
        }
        lines.join("\n")
    }

    /// What such a message says, without how many more there are.
    pub fn things(message: &str) -> impl Iterator<Item = &str> {
        let is_rest = |line: &str| {
            let count = line.strip_prefix(AND).and_then(|line| line.strip_suffix(MORE));
            count.is_some_and(|count| count.parse::<usize>().is_ok())
        };
        message.split('\n').filter(move |line| !is_rest(line))
    }
}

/// Around the number of things that a message does not name.
const AND: &str = "and ";
const MORE: &str = " more";

/// What one BGPPeer asks of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PeerDemand {
    /// Its name.
    pub name: String,
    /// How many sessions there should be by it, with those that bgpd does not have: the neighbour of an interface was not found, or bgpd is away.
    pub sessions: u64,
}

/// One BGP session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionReport {
    /// The peer's address.
    #[serde(rename = "peerIP")]
    pub peer_ip: IpAddr,
    /// The BGPPeer by which there is the session. Empty: it is of the node-to-node mesh.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bgp_peer: String,
    /// The peer's AS number; 0 while that of an external one is not known.
    pub as_number: Asn,
    /// State of RFC 4271 section 8.2.2, such as `Established`.
    pub state: String,
    /// When the state was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why the session went down last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Prefixes taken from the peer.
    #[serde(default)]
    pub received: u64,
    /// Prefixes announced to it.
    #[serde(default)]
    pub advertised: u64,
}

impl Kind for NodeStatus {
    type Status = NodeReport;
    const KIND: &'static str = "NodeStatus";
    const PLURAL: &'static str = "nodestatuses";

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_line_for_each_of_few_things_and_an_end() {
        let things: Vec<String> = (0..20).map(|number| format!("IPPool/p{number}: no\nway")).collect();
        let message = NodeReport::message(&things);
        assert!(message.starts_with("IPPool/p0: no way\nIPPool/p1: no way\n"), "{message}");
        assert!(message.ends_with("\nIPPool/p7: no way\nand 12 more"), "{message}");
        let read: Vec<&str> = NodeReport::things(&message).collect();
        assert_eq!((read.len(), read[7]), (8, "IPPool/p7: no way"));
        assert_eq!(NodeReport::message(&things[..1]), "IPPool/p0: no way");
        let long: Vec<String> = (0..20).map(|_| "ä".repeat(40_000)).collect();
        assert!(NodeReport::message(&long).len() < 32 * 1024);
        assert_eq!(NodeReport::things("and so on\nand 3 more").collect::<Vec<_>>(), ["and so on"]);
    }
}
