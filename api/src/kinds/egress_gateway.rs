use std::net::IpAddr;

use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use crate::{Condition, Faults, Kind, Object, Selector, bounds};

/// An address that some pods have outside of the cluster, wherever they run: one node at a time announces it and gives it to their packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressGateway {
    /// The addresses: one, or one of each family. Of no pool and of no node.
    #[serde(rename = "egressIPs")]
    pub egress_ips: Vec<IpAddr>,
    /// The namespaces of the pods, by their labels. Default: all.
    #[serde(default)]
    pub namespace_selector: Selector,
    /// The pods, by their labels. Default: all.
    #[serde(default)]
    pub pod_selector: Selector,
    /// Where packets get the address. Default: everywhere outside of pools and nodes.
    #[serde(default, rename = "destinationCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub destination_cidrs: Vec<Prefix>,
    /// Where they do not, of these.
    #[serde(default, rename = "excludedCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub excluded_cidrs: Vec<Prefix>,
    /// The nodes that may have the address, by their labels. Default: all.
    #[serde(default)]
    pub node_selector: Selector,
}

/// Who has the addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressGatewayStatus {
    /// The node, which alone announces them. Changed by compare-and-swap, and only while nobody announces them or by the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `Active`, with reason `OK` or `Released`; `Accepted`, with reason `OK`, `Invalid`, `CIDROverlap`, `Ambiguous` or `NoNode`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl EgressGateway {
    /// The address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.egress_ips.iter().copied().find(|address| Family::of(*address) == family)
    }
}

impl Kind for EgressGateway {
    type Status = EgressGatewayStatus;
    const KIND: &'static str = "EgressGateway";
    const PLURAL: &'static str = "egressgateways";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        let (field, rule) = ("spec.egressIPs", "one address, or one of each family");
        let text = || spec.egress_ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let of = |family| spec.egress_ips.iter().filter(|address| Family::of(**address) == family).count();
        let fit = !spec.egress_ips.is_empty() && Family::ALL.into_iter().all(|family| of(family) <= 1);
        faults.require(fit, field, text(), rule);
        for address in &spec.egress_ips {
            let link_local = match address {
                IpAddr::V4(address) => address.is_link_local(),
                IpAddr::V6(address) => address.is_unicast_link_local(),
            };
            let usable = !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
            faults.require(usable && !link_local, field, address, "a unicast address that others can answer");
        }
        faults.at_most("spec.destinationCIDRs", spec.destination_cidrs.len(), bounds::LIST);
        faults.at_most("spec.excludedCIDRs", spec.excluded_cidrs.len(), bounds::LIST);
        for prefix in &spec.destination_cidrs {
            let known = spec.address(prefix.family()).is_some();
            let rule = "of a family that has an address in egressIPs";
            faults.require(known, "spec.destinationCIDRs", prefix, rule);
        }
    }
}
