//! Pods as the controller reads them: where they are, and which addresses they have.

use std::net::IpAddr;

use cairn_api::{Faults, Kind, Object};
use serde::{Deserialize, Serialize};

/// core/v1 Pod. Others read `cairn_api::core::Pod`, which has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// The node it runs on. Empty while it is not scheduled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
}

/// Status of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodState {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// The addresses that its node says it has.
    #[serde(rename = "podIPs", skip_serializing_if = "Option::is_none")]
    pub pod_ips: Option<Vec<PodIp>>,
}

/// One of a pod's addresses. As text, so that an odd one does not make the pod unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

impl Kind for Pod {
    type Status = PodState;
    const API_VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const NAMESPACED: bool = true;
    const STRICT: bool = false;

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}

/// The addresses that a pod uses, whatever node it names: none once it has ended.
pub fn addresses(pod: &Object<Pod>) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
        return Vec::new();
    }
    status.pod_ips.iter().flatten().filter_map(|found| found.ip.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;

    use super::*;

    #[test]
    fn a_pod_has_its_addresses_until_it_has_ended() {
        let ips = ["10.0.0.1", "no address", "fd00::1"].map(|ip| PodIp { ip: ip.to_owned() });
        let of = |phase: &str| {
            let mut pod = Object::new(Metadata::namespaced("a", "p"), Pod::default());
            pod.status = Some(PodState { phase: phase.to_owned(), pod_ips: Some(ips.to_vec()) });
            addresses(&pod).len()
        };
        assert_eq!(["", "Pending", "Running", "Unknown", "Succeeded", "Failed"].map(of), [2, 2, 2, 2, 0, 0]);
        assert!(addresses(&Object::new(Metadata::namespaced("a", "p"), Pod::default())).is_empty());
    }
}
