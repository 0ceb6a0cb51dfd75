//! Which sessions there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{BgpPeer, ReversePeering};
use cairn_net::Family;

use super::{Inputs, Member, Session};
use crate::condition::{Condition, Reason};
use crate::speaker::session::{Origin, Remote, Target};

/// Up to so many nodes that share no family with this one have a condition each; where there are more, this one has it, once for all of them.
const FEW: usize = 3;

/// How specific the origin of a session is; the least one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    ByName,
    BySelector,
    Global,
    Mesh,
}

/// The sessions in the order of their addresses, then interfaces, one for each.
pub(super) fn sessions<'a>(
    inputs: Inputs<'a>,
    me: &'a Member,
    conditions: &mut Vec<Condition>,
) -> Vec<Session<'a>> {
    let mut chosen: BTreeMap<Target<'a>, (Rank, Session<'a>)> = BTreeMap::new();
    let mut unreachable = Unreachable::default();
    let configured = configured(inputs, me, conditions, &mut unreachable);
    let mesh = mesh(inputs, me, &mut unreachable);
    conditions.extend(unreachable.conditions(inputs.node));
    for (rank, session) in configured.into_iter().chain(mesh) {
        let Some((other, kept)) = chosen.get_mut(&session.target) else {
            chosen.insert(session.target, (rank, session));
            continue;
        };
        if *other == rank && !session.same_peer(kept) {
            conditions.push(Condition {
                subject: session.subject(),
                reason: Reason::Ambiguous,
                message: format!("{} already configures the session with {}", kept.subject(), session.target),
            });
        }
        if rank < *other {
            (*other, *kept) = (rank, session);
        }
    }
    chosen.into_values().map(|(_, session)| session).collect()
}

/// Sessions out of BGPPeers, in the order of their names.
fn configured<'a>(
    inputs: Inputs<'a>,
    me: &'a Member,
    conditions: &mut Vec<Condition>,
    unreachable: &mut Unreachable<'a>,
) -> Vec<(Rank, Session<'a>)> {
    let mut found = Vec::new();
    for (name, peer) in inputs.peers {
        let spec = &peer.spec;
        let origin = Origin::Peer(name, spec);
        let rank = match (&*spec.node, &spec.node_selector) {
            ("", None) => Rank::Global,
            ("", Some(_)) => Rank::BySelector,
            _ => Rank::ByName,
        };
        let is_for = |node: &str, member: &Member| is_for(peer, node, member);
        let mut nodes: Vec<&'a str> = Vec::new();
        if is_for(inputs.node, me) {
            if let Some(own) = spec.peer_ip.filter(|peer| me.addresses().any(|own| own == peer.addr)) {
                // An object for several nodes, one of which is the peer, is for the others.
                if rank == Rank::ByName {
                    conditions.push(Condition {
                        subject: format!("BGPPeer/{name}"),
                        reason: Reason::OwnAddress,
                        message: format!("no session: peerIP {own} is an address of this node itself"),
                    });
                }
            } else if let (Some(address), Some(asn)) = (spec.peer_ip, spec.as_number) {
                let remote = Remote { node: node_at(inputs, address.addr), asn };
                let target = Target::Address(address.addr);
                found.push((rank, Session { target, port: address.port, remote, origin }));
            }
            if let (false, Some(asn)) = (spec.interface.is_empty(), spec.as_number) {
                let target = Target::Interface(&spec.interface);
                found
                    .push((rank, Session { target, port: None, remote: Remote { node: None, asn }, origin }));
            }
            nodes.extend(selected(inputs, |_, member| is_peer(peer, member)));
        }
        if is_peer(peer, me) && spec.reverse_peering != Some(ReversePeering::Manual) {
            nodes.extend(selected(inputs, is_for));
        }
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            found.extend(with_node(inputs, me, node, origin, unreachable).map(|session| (rank, session)));
        }
    }
    found
}

/// May the document depend on this member of the cluster, as long as all else is as it is?
pub(crate) fn concerns(inputs: Inputs<'_>, name: &str, member: &Member) -> bool {
    let Some(me) = inputs.nodes.get(inputs.node).filter(|_| name != inputs.node) else { return true };
    let in_mesh = |member: &Member| member.identity.cluster_id.is_none();
    if inputs.bgp.node_to_node_mesh_enabled && in_mesh(me) && in_mesh(member) {
        return true;
    }
    inputs.peers.values().any(|peer| {
        let address = peer.spec.peer_ip.map(|peer| peer.addr);
        member.addresses().any(|own| Some(own) == address)
            || is_for(peer, inputs.node, me) && is_peer(peer, member)
            || is_peer(peer, me) && is_for(peer, name, member)
    })
}

/// Is the object for this node?
fn is_for(peer: &Object<BgpPeer>, name: &str, member: &Member) -> bool {
    match (&*peer.spec.node, &peer.spec.node_selector) {
        ("", None) => true,
        ("", Some(selector)) => selector.matches(&member.labels),
        (node, _) => node == name,
    }
}

/// Is this node one of those that `peerSelector` selects?
fn is_peer(peer: &Object<BgpPeer>, member: &Member) -> bool {
    peer.spec.peer_selector.as_ref().is_some_and(|selector| selector.matches(&member.labels))
}

/// Other nodes for which the condition holds.
fn selected<'a>(inputs: Inputs<'a>, wanted: impl Fn(&str, &Member) -> bool) -> impl Iterator<Item = &'a str> {
    let others = inputs.nodes.iter().filter(move |(name, _)| *name != inputs.node);
    others.filter(move |(name, member)| wanted(name, member)).map(|(name, _)| name.as_str())
}

/// The node that has this address.
fn node_at(inputs: Inputs<'_>, address: IpAddr) -> Option<&str> {
    let has =
        |member: &Member| member.identity.address(Family::of(address)).is_some_and(|own| own.addr == address);
    inputs.nodes.iter().find(|(_, member)| has(member)).map(|(name, _)| name.as_str())
}

/// Sessions of the node-to-node mesh.
fn mesh<'a>(
    inputs: Inputs<'a>,
    me: &'a Member,
    unreachable: &mut Unreachable<'a>,
) -> Vec<(Rank, Session<'a>)> {
    if !inputs.bgp.node_to_node_mesh_enabled || me.identity.cluster_id.is_some() {
        return Vec::new();
    }
    selected(inputs, |_, member| member.identity.cluster_id.is_none())
        .filter_map(|node| with_node(inputs, me, node, Origin::Mesh, unreachable))
        .map(|session| (Rank::Mesh, session))
        .collect()
}

/// The session with a node, over the first family that both have an address of.
fn with_node<'a>(
    inputs: Inputs<'a>,
    me: &Member,
    node: &'a str,
    origin: Origin<'a>,
    unreachable: &mut Unreachable<'a>,
) -> Option<Session<'a>> {
    let member = inputs.nodes.get(node)?;
    let Some(own) = me.families().find_map(|family| member.identity.address(family)) else {
        unreachable.insert(me, node, member);
        return None;
    };
    Some(Session {
        target: Target::Address(own.addr),
        port: None,
        remote: Remote { node: Some(node), asn: inputs.asn(member).into() },
        origin,
    })
}

/// Nodes that this one is to have sessions with, and can have none, for want of an address.
#[derive(Debug, Default)]
struct Unreachable<'a> {
    /// They have none at all.
    without: BTreeSet<&'a str>,
    /// They have none of a family that this node has, too.
    apart: BTreeSet<&'a str>,
}

impl<'a> Unreachable<'a> {
    /// A node is one of them. What is wrong with what it says of itself, and this node's own lack of addresses, are reported where they belong; of two
    /// nodes that share no family the one without IPv4 says so.
    fn insert(&mut self, me: &Member, name: &'a str, member: &Member) {
        if me.families().next().is_none() {
            return;
        }
        if member.families().next().is_none() {
            if member.faults.is_empty() {
                self.without.insert(name);
            }
        } else if me.identity.address(Family::Ipv4).is_none() {
            self.apart.insert(name);
        }
    }

    fn conditions(&self, node: &str) -> Vec<Condition> {
        let condition = |name: &str, message: &str| {
            let (subject, message) = (format!("Node/{name}"), message.to_owned());
            Condition { subject, reason: Reason::AddressUnknown, message }
        };
        let without = "no session: neither an annotation nor an InternalIP gives it an address";
        let mut found: Vec<Condition> = self.without.iter().map(|name| condition(name, without)).collect();
        if self.apart.len() <= FEW {
            let apart = "no session: it shares no address family with this node";
            found.extend(self.apart.iter().map(|name| condition(name, apart)));
            return found;
        }
        let named: Vec<String> = self.apart.iter().take(FEW).map(|name| format!("Node/{name}")).collect();
        let named = named.join(", ");
        let message =
            format!("no session with {named} and others: they share no address family with this node");
        found.push(condition(node, &message));
        found
    }
}
