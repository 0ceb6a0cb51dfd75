//! Who the nodes are in BGP.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cairn_api::Object;
use cairn_api::core::{Node, NodeClaims, NodeIdentity};
use cairn_net::{Family, Prefix, RouterId};

use super::Inputs;
use crate::claims::Claims;
use crate::condition::{self, Condition, Reason};

/// What counts of a Node object: other fields may change as they like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) identity: NodeIdentity,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pod_cidrs: Vec<Prefix>,
    /// What is wrong with its annotations, so that the identity is empty, or with its addresses, so that one is missing.
    pub(crate) faults: Vec<(Reason, String)>,
    /// What the identity is chosen from; nothing where the annotations are wrong.
    claims: Option<NodeClaims>,
}

impl Member {
    /// `ranges`: those that its addresses are to be of (`nodeAddressCIDRs`).
    pub(crate) fn of(node: &Object<Node>, ranges: &[Prefix]) -> Self {
        let (labels, pod_cidrs) = (node.metadata.labels.clone(), node.spec.pod_cidrs.clone());
        let (claims, faults) = match node.claims() {
            Ok(claims) => (Some(claims), Vec::new()),
            Err(faults) => (None, vec![(Reason::Invalid, format!("no session with it: {faults}"))]),
        };
        Self { identity: NodeIdentity::default(), labels, pod_cidrs, faults, claims }.chosen(ranges)
    }

    /// The same with its addresses of these ranges.
    pub(crate) fn chosen(self, ranges: &[Prefix]) -> Self {
        let Some(claims) = &self.claims else { return self };
        let (identity, faults) = claims.identity(ranges);
        let faults = faults.iter().map(|fault| (Reason::AddressUnknown, fault.to_string())).collect();
        Self { identity, faults, ..self }
    }

    /// Families that the node has an address of.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.identity.address(*family).is_some())
    }

    /// Its addresses: IPv4, IPv6.
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

/// A node's router id, and what is wrong with its identity by itself.
type Known = (RouterId, Vec<(Reason, String)>);

/// What is wrong with each node's identity: of two nodes with one router id, with the second by name.
///
/// Cost: one node's change is worked out without a look at the others, but those that claim the same.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    known: HashMap<Arc<str>, Known>,
    ids: Claims<RouterId>,
    conditions: condition::ByNode,
}

impl Identities {
    /// A node is this now, or is no more. True if other conditions follow.
    pub(crate) fn put(&mut self, name: &str, member: Option<&Member>) -> bool {
        let name: Arc<str> = name.into();
        let new = member.map(|member| (router_id(&name, &member.identity), member.faults.clone()));
        let mut affected = vec![Arc::clone(&name)];
        let old = match new.clone() {
            Some(new) => self.known.insert(Arc::clone(&name), new),
            None => self.known.remove(&name),
        };
        let ids = [old, new].map(|known| known.map(|(id, _)| id));
        if ids[0] != ids[1] {
            let [old, new] = ids;
            old.iter().for_each(|id| self.ids.remove(id, &name));
            new.iter().for_each(|id| self.ids.insert(*id, &name));
            let both = old.iter().chain(&new);
            affected.extend(both.flat_map(|id| self.ids.claimants(id)).cloned());
        }
        affected.sort_unstable();
        affected.dedup();
        affected.iter().fold(false, |news, name| news | self.judge(name))
    }

    /// What is wrong with all of them.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.values().flatten()
    }

    fn judge(&mut self, name: &Arc<str>) -> bool {
        let condition = |reason, message| Condition { subject: format!("Node/{name}"), reason, message };
        let mut conditions = Vec::new();
        if let Some((id, faults)) = self.known.get(name) {
            conditions.extend(faults.iter().map(|(reason, message)| condition(*reason, message.clone())));
            let holder = self.ids.holder(id).filter(|holder| *holder != name);
            conditions.extend(holder.map(|other| {
                condition(Reason::DuplicateRouterId, format!("router id {id} is that of Node/{other}, too"))
            }));
        }
        condition::replace(&mut self.conditions, name, conditions)
    }
}

/// What is wrong with this node's own identity.
pub(super) fn check(inputs: Inputs<'_>) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut report = |reason, message| {
        found.push(Condition { subject: format!("Node/{}", inputs.node), reason, message });
    };
    let Some(me) = inputs.nodes.get(inputs.node) else {
        report(
            Reason::NodeUnknown,
            "there is no such Node object: bgpd is not configured until there is".to_owned(),
        );
        return found;
    };
    if me.families().next().is_none() && me.faults.is_empty() {
        let message = "neither an annotation nor an InternalIP gives it an address: no sessions".to_owned();
        report(Reason::AddressUnknown, message);
    }
    for own in me.families().filter_map(|family| me.identity.address(family)) {
        if !inputs.host.addresses.is_empty() && !inputs.host.receives(own.addr) {
            let message = format!("no interface of this node has its address {}", own.addr);
            report(Reason::AddressUnknown, message);
        }
    }
    found
}
