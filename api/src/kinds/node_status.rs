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
    /// `Ready`, and one for each thing that is wrong.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The BGP sessions that should be.
    #[serde(default)]
    pub sessions: Vec<SessionReport>,
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
}

/// One BGP session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionReport {
    /// The peer's address.
    #[serde(rename = "peerIP")]
    pub peer_ip: IpAddr,
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
