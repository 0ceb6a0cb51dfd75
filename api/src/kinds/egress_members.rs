use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, NoStatus, Object};

/// The pods of one node that egress gateways select: written by that node, which alone knows them, and read by the nodes that have the gateways'
/// addresses. It has the node's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressMembers {
    /// The addresses of the pods, by the name of the gateway.
    #[serde(default)]
    pub members: BTreeMap<String, Vec<IpAddr>>,
}

impl Kind for EgressMembers {
    type Status = NoStatus;
    const KIND: &'static str = "EgressMembers";
    const PLURAL: &'static str = "egressmembers";

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}
