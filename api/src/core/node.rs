use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, metadata::null_as_default};

/// core/v1 Node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Ranges that Kubernetes gave to the node.
    #[serde(
        rename = "podCIDRs",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub pod_cidrs: Vec<Prefix>,
    /// Is it cordoned?
    pub unschedulable: bool,
    /// Its taints.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

impl Node {
    /// Taints of a node that nobody can reach, or that is not ready, as Kubernetes sets them.
    const OUT_OF_REACH: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

    /// Does Kubernetes say that the node cannot be reached, or is not ready?
    pub fn is_out_of_reach(&self) -> bool {
        self.taints.iter().any(|taint| Self::OUT_OF_REACH.contains(&taint.key.as_str()))
    }
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// What it is about.
    pub key: String,
    /// More about it.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

/// Status of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeState {
    /// Its addresses, in order of preference.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<NodeAddress>,
    /// What its kubelet, and others, say of it.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<NodeCondition>,
}

/// A condition of a Node. When it last changed, or was looked at, says nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCondition {
    /// What is judged, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// A sentence for people.
    #[serde(deserialize_with = "null_as_default")]
    pub message: String,
}

/// An address of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, `InternalDNS`, `ExternalDNS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address, or a name.
    pub address: String,
}

impl Kind for Node {
    type Status = NodeState;
    const API_VERSION: &'static str = "v1";
    const KIND: &'static str = "Node";
    const PLURAL: &'static str = "nodes";
    const STRICT: bool = false;

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        // Not whether its addresses are one too many: that is not its writer's doing, and ranges elsewhere may choose.
        if let Err(found) = object.claims() {
            for fault in found.into_vec() {
                faults.add(fault.path, fault.value, fault.rule);
            }
        }
    }
}
