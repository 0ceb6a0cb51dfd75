//! From all objects to what speaks against each of them. Pure, and a function of the current state.
//!
//! What cannot be read is [`Reason::Invalid`], and nothing else is said of it. Others that name it are not to blame: it exists.

mod bgp;
mod egress;
mod node;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cairn_api::core::{Node, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, EgressGateway, IpPool, IpReservation, NodeConfiguration,
};
use cairn_api::{Fault, Kind, Object};
use cairn_net::Prefix;

/// The objects of a kind by name: each as it can be read, or why it cannot.
pub type Objects<K> = BTreeMap<String, Result<Arc<Object<K>>, String>>;

/// All that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// By name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Those that passwords may be in, by name.
    pub secrets: BTreeMap<String, Arc<Object<Secret>>>,
    /// All of them.
    pub pools: Objects<IpPool>,
    /// The ranges of those that cannot be read, as far as they say one.
    pub unread_ranges: Vec<Prefix>,
    /// All of them.
    pub reservations: Objects<IpReservation>,
    /// All of them.
    pub bgp: Objects<BgpConfiguration>,
    /// All of them.
    pub peers: Objects<BgpPeer>,
    /// All of them.
    pub filters: Objects<BgpFilter>,
    /// All of them.
    pub configurations: Objects<NodeConfiguration>,
    /// All of them.
    pub gateways: Objects<EgressGateway>,
}

/// What counts of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// So that another one of its name is not meant.
    pub uid: String,
    /// What selectors look at.
    pub labels: BTreeMap<String, String>,
    /// Its own addresses, and those of which one has yet to be chosen: IPv4, IPv6.
    pub addresses: Vec<IpAddr>,
    /// Has Kubernetes not heard of it for a while? What it reported then may no longer be so.
    pub unreachable: bool,
}

impl NodeFacts {
    /// Those of a Node.
    pub fn of(node: &Object<Node>) -> Self {
        let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
        Self {
            uid: node.metadata.uid.clone(),
            labels: node.metadata.labels.clone(),
            addresses: node.claims().unwrap_or_default().addresses().collect(),
            unreachable: conditions.iter().any(|found| found.kind == "Ready" && found.status == "Unknown"),
        }
    }
}

/// What speaks against an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// In one word.
    pub reason: Reason,
    /// Field, value and rule.
    pub message: String,
}

/// What is wrong, in one word for programs: the words that nodes use in their reports, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be read, or fields contradict each other or a rule.
    Invalid,
    /// A Node that is named does not exist.
    NodeUnknown,
    /// There is no node that it is for.
    NoNode,
    /// A node is to have a session with itself.
    OwnAddress,
    /// A BGPFilter that is named does not exist.
    FilterMissing,
    /// A Secret, or a key in it, that is named does not exist.
    SecretMissing,
    /// No speaker can do what it says.
    Unsupported,
    /// An address, or a session, is that of another object, too.
    Ambiguous,
    /// An address is in the range of a pool.
    CidrOverlap,
    /// A range is in no pool.
    OutsideOfPools,
}

impl Reason {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::NodeUnknown => "NodeUnknown",
            Self::NoNode => "NoNode",
            Self::OwnAddress => "OwnAddress",
            Self::FilterMissing => "FilterMissing",
            Self::SecretMissing => "SecretMissing",
            Self::Unsupported => "Unsupported",
            Self::Ambiguous => "Ambiguous",
            Self::CidrOverlap => "CIDROverlap",
            Self::OutsideOfPools => "OutsideOfPools",
        }
    }
}

/// What speaks against each object of the kinds that are judged, by kind and name. An object that nothing speaks against is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict(HashMap<(&'static str, String), Vec<Objection>>);

impl Verdict {
    /// What speaks against one.
    pub fn of<K: Kind>(&self, name: &str) -> &[Objection] {
        self.0.get(&(K::KIND, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn add<K: Kind>(
        &mut self,
        name: &str,
        reason: Reason,
        path: impl Into<String>,
        value: impl fmt::Display,
        rule: impl Into<String>,
    ) {
        // As long as a value of a fault may be, wherever it comes from.
        let value = value.to_string().chars().take(128).collect();
        let message = Fault { path: path.into(), value, rule: rule.into() }.to_string();
        self.put::<K>(name, Objection { reason, message });
    }

    fn put<K: Kind>(&mut self, name: &str, objection: Objection) {
        self.0.entry((K::KIND, name.to_owned())).or_default().push(objection);
    }

    fn unreadable<K: Kind>(&mut self, objects: &Objects<K>) {
        for (name, object) in objects {
            if let Err(why) = object {
                self.put::<K>(name, Objection { reason: Reason::Invalid, message: why.clone() });
            }
        }
    }
}

/// Those that can be read.
fn read<K: Kind>(objects: &Objects<K>) -> impl Iterator<Item = (&str, &Object<K>)> {
    objects.iter().filter_map(|(name, object)| Some((name.as_str(), &**object.as_ref().ok()?)))
}

/// Judges all of them.
pub fn judge(cluster: &Cluster) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.unreadable(&cluster.pools);
    verdict.unreadable(&cluster.reservations);
    verdict.unreadable(&cluster.bgp);
    verdict.unreadable(&cluster.peers);
    verdict.unreadable(&cluster.filters);
    verdict.unreadable(&cluster.configurations);
    verdict.unreadable(&cluster.gateways);
    pool::judge(cluster, &mut verdict);
    bgp::judge(cluster, &mut verdict);
    node::judge(cluster, &mut verdict);
    egress::judge(cluster, &mut verdict);
    verdict
}
