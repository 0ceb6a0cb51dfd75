use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, NoStatus, Object, bounds};

/// The pods of one node that egress gateways select: written by that node, which alone knows them, and read by the nodes that have the gateways'
/// addresses. It has the node's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressMembers {
    /// The pods of each gateway that has any here.
    #[serde(default)]
    pub members: Vec<GatewayMembers>,
}

/// The pods of a node that one gateway selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayMembers {
    /// The gateway's name.
    pub gateway: String,
    /// The pods' addresses.
    pub addresses: Vec<IpAddr>,
}

impl EgressMembers {
    /// The addresses of the pods that a gateway selects.
    pub fn of(&self, gateway: &str) -> &[IpAddr] {
        self.members
            .iter()
            .find(|members| members.gateway == gateway)
            .map_or(&[], |members| &members.addresses)
    }
}

impl Kind for EgressMembers {
    type Status = NoStatus;
    const KIND: &'static str = "EgressMembers";
    const PLURAL: &'static str = "egressmembers";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        faults.at_most("spec.members", object.spec.members.len(), bounds::LIST);
        for (at, members) in object.spec.members.iter().enumerate() {
            let before = &object.spec.members[..at];
            let unique = before.iter().all(|other| other.gateway != members.gateway);
            faults.require(unique, "spec.members", &members.gateway, "each gateway once");
        }
    }
}
