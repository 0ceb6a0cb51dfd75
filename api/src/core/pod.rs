use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object};

/// core/v1 Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// The node it runs on. Empty while it is not scheduled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Does it use the node's own network?
    pub host_network: bool,
    /// Its service account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
}

/// Status of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodState {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
}

impl Kind for Pod {
    type Status = PodState;
    const API_VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const NAMESPACED: bool = true;
    const STRICT: bool = false;

    fn field<'a>(object: &'a Object<Self>, path: &str) -> Option<&'a str> {
        match path {
            "metadata.name" => Some(&object.metadata.name),
            "metadata.namespace" => Some(&object.metadata.namespace),
            "spec.nodeName" => Some(&object.spec.node_name),
            _ => None,
        }
    }

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}
