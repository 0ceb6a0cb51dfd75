//! Who the nodes are in BGP.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::core::{Node, NodeIdentity};
use cairn_net::{Family, RouterId};

use super::Inputs;
use crate::condition::{Condition, Reason};

/// What counts of a Node object: other fields may change as they like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) identity: NodeIdentity,
    pub(crate) labels: BTreeMap<String, String>,
    /// What is wrong with the annotations; the identity is empty then.
    pub(crate) fault: Option<String>,
}

impl Member {
    pub(crate) fn of(node: &Object<Node>) -> Self {
        let labels = node.metadata.labels.clone();
        match node.identity() {
            Ok(identity) => Self { identity, labels, fault: None },
            Err(faults) => {
                Self { identity: NodeIdentity::default(), labels, fault: Some(faults.to_string()) }
            }
        }
    }

    /// Families that the node has an address of.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.identity.address(*family).is_some())
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        Family::ALL.into_iter().filter_map(|family| Some(self.identity.address(family)?.addr))
    }
}

/// The BGP identifier: as annotated, else the IPv4 address, else derived from the node's name (FNV-1a).
pub(crate) fn router_id(name: &str, identity: &NodeIdentity) -> RouterId {
    let from_address = || match identity.ipv4.map(|own| own.addr) {
        Some(IpAddr::V4(v4)) => RouterId::try_from(v4).ok(),
        _ => None,
    };
    let from_name = || {
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        RouterId::new(hash.max(1)).expect("at least 1")
    };
    identity.router_id.or_else(from_address).unwrap_or_else(from_name)
}

/// What is wrong with the identities.
pub(super) fn check(inputs: Inputs<'_>) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut report = |name: &str, reason, message| {
        found.push(Condition { subject: format!("Node/{name}"), reason, message });
    };
    for (name, member) in inputs.nodes {
        if let Some(fault) = &member.fault {
            report(name, Reason::Invalid, format!("no session with it: {fault}"));
        }
    }
    let Some(me) = inputs.nodes.get(inputs.node) else {
        let message = "there is no such Node object: bgpd is not configured until there is".to_owned();
        report(inputs.node, Reason::NodeUnknown, message);
        return found;
    };
    if me.families().next().is_none() && me.fault.is_none() {
        let message = "neither an annotation nor an InternalIP gives it an address: no sessions".to_owned();
        report(inputs.node, Reason::AddressUnknown, message);
    }
    for own in me.families().filter_map(|family| me.identity.address(family)) {
        if !inputs.host.addresses.is_empty() && !inputs.host.receives(own.addr) {
            let message = format!("no interface of this node has its address {}", own.addr);
            report(inputs.node, Reason::AddressUnknown, message);
        }
    }
    let mut ids: HashMap<RouterId, &str> = HashMap::new();
    for (name, member) in inputs.nodes {
        let id = router_id(name, &member.identity);
        if let Some(other) = ids.insert(id, name) {
            report(name, Reason::DuplicateRouterId, format!("router id {id} is that of Node/{other}, too"));
        }
    }
    found
}
