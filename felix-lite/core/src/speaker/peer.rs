//! Which sessions there are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{BgpPeer, ReversePeering};
use cairn_net::Family;

use super::{Inputs, Member, Session};
use crate::condition::{Condition, Reason};
use crate::speaker::session::{Origin, Remote, Target};

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
    for (rank, session) in configured(inputs, me, conditions).into_iter().chain(mesh(inputs, me, conditions))
    {
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
            found.extend(with_node(inputs, me, node, origin, conditions).map(|session| (rank, session)));
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
fn mesh<'a>(inputs: Inputs<'a>, me: &'a Member, conditions: &mut Vec<Condition>) -> Vec<(Rank, Session<'a>)> {
    if !inputs.bgp.node_to_node_mesh_enabled || me.identity.cluster_id.is_some() {
        return Vec::new();
    }
    selected(inputs, |_, member| member.identity.cluster_id.is_none())
        .filter_map(|node| with_node(inputs, me, node, Origin::Mesh, conditions))
        .map(|session| (Rank::Mesh, session))
        .collect()
}

/// The session with a node, over the first family that both have an address of.
fn with_node<'a>(
    inputs: Inputs<'a>,
    me: &Member,
    node: &'a str,
    origin: Origin<'a>,
    conditions: &mut Vec<Condition>,
) -> Option<Session<'a>> {
    let member = inputs.nodes.get(node)?;
    let shared = me.families().find_map(|family| member.identity.address(family));
    match shared {
        Some(own) => Some(Session {
            target: Target::Address(own.addr),
            port: None,
            remote: Remote { node: Some(node), asn: inputs.asn(member).into() },
            origin,
        }),
        None => {
            // A node without any address, and this node's own lack of one, are reported where they belong.
            if member.families().next().is_some() && me.families().next().is_some() {
                conditions.push(Condition {
                    subject: format!("Node/{node}"),
                    reason: Reason::AddressUnknown,
                    message: "no session: it shares no address family with this node".to_owned(),
                });
            } else if member.fault.is_none() && me.families().next().is_some() {
                conditions.push(Condition {
                    subject: format!("Node/{node}"),
                    reason: Reason::AddressUnknown,
                    message: "no session: neither an annotation nor an InternalIP gives it an address"
                        .to_owned(),
                });
            }
            None
        }
    }
}
