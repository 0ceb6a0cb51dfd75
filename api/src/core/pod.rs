use std::net::IpAddr;

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
    /// The addresses that its node says it has.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
}

/// One of a pod's addresses. As text, so that an odd one does not make the pod unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

impl PodState {
    /// The addresses that the pod uses: none once it has ended.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ended = matches!(self.phase.as_str(), "Succeeded" | "Failed");
        self.pod_ips.iter().filter(move |_| !ended).filter_map(|found| found.ip.parse().ok())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_its_addresses_until_it_has_ended() {
        let pod_ips = ["10.0.0.1", "no address", "fd00::1"].map(|ip| PodIp { ip: ip.to_owned() }).to_vec();
        let of =
            |phase: &str| PodState { phase: phase.to_owned(), pod_ips: pod_ips.clone() }.addresses().count();
        assert_eq!(["", "Pending", "Running", "Unknown", "Succeeded", "Failed"].map(of), [2, 2, 2, 2, 0, 0]);
    }
}
