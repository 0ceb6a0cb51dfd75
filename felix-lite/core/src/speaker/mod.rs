//! bgpd's document for this node: who it is, whom it speaks with, and what passes.
//!
//! - **Mesh** (`nodeToNodeMeshEnabled`, on by default): one session with each other node that is no route reflector, over
//!   IPv4 where both have it, else over IPv6; it carries every family that both have an address of.
//! - **BGPPeer**: by address, by the interface behind which the peer is, or by selector over nodes. A selector makes the session from both ends: a node that
//!   `peerSelector` selects gets sessions with the nodes that the object is for. Of several that name one
//!   address, that for this node by name wins over that by selector, over one for all nodes, over the mesh.
//! - **IPv4 over IPv6**: a session over IPv6 carries IPv4, too, where pods may have it and neither end has an address of it: the next hops
//!   are those of IPv6 then (RFC 8950).
//! - **Export**: the peer's BGPFilters first; what they leave undecided passes if this node originates it, or, on a
//!   route reflector towards its own AS, if it was learned from its own AS. So nothing learned is handed on to a ToR.
//! - **Import**: the peer's BGPFilters first; all else passes. What must not reach the kernel is kept out there.
//! - Graceful restart is always on, in both roles.

mod filter;
mod identity;
mod peer;
mod session;

use std::collections::BTreeMap;

use bgpd_api::config::{Config, GracefulRestart};
use cairn_api::Object;
use cairn_api::kinds::{BgpConfiguration, BgpFilter, BgpPeer};
use cairn_net::Asn;

pub(crate) use identity::{Identities, Member, router_id};
pub(crate) use peer::concerns;
pub(crate) use session::Secrets;

use crate::condition::{Condition, Reason};
use crate::host::Host;
use filter::Filters;
use session::Session;

/// All that the document follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) node: &'a str,
    pub(crate) nodes: &'a BTreeMap<String, Member>,
    pub(crate) bgp: &'a BgpConfiguration,
    pub(crate) peers: &'a BTreeMap<String, Box<Object<BgpPeer>>>,
    pub(crate) filters: &'a BTreeMap<String, Box<Object<BgpFilter>>>,
    pub(crate) secrets: Secrets<'a>,
    pub(crate) host: &'a Host,
    /// May pods have addresses of IPv4?
    pub(crate) ipv4_pods: bool,
}

impl Inputs<'_> {
    /// The AS of a node.
    fn asn(&self, member: &Member) -> Asn {
        member.identity.asn.unwrap_or(self.bgp.as_number)
    }
}

/// The BGPPeers by which there should be sessions: the description that bgpd tells of each, also of those that make no document.
pub(crate) type Demands = BTreeMap<String, Vec<String>>;

/// The document, as far as it can be derived, with all that is wrong, and whose sessions it should have.
pub(crate) fn config(inputs: Inputs<'_>) -> (Option<Config>, Vec<Condition>, Demands) {
    let mut conditions = identity::check(inputs);
    let mut demands = Demands::new();
    let Some(me) = inputs.nodes.get(inputs.node) else { return (None, conditions, demands) };

    let sessions = peer::sessions(inputs, me, &mut conditions);
    for session in &sessions {
        if let Some(peer) = session.peer() {
            demands.entry(peer.to_owned()).or_default().push(session.description());
        }
    }
    let (config, mut found) = document(inputs, me, &sessions);
    let faults = config.faults();
    if faults.is_empty() {
        conditions.extend(found);
        return (Some(config), conditions, demands);
    }
    // One that makes no document by itself must not keep the others from theirs.
    let (good, bad): (Vec<Session<'_>>, Vec<_>) =
        sessions.into_iter().partition(|session| document(inputs, me, &[*session]).0.faults().is_empty());
    let (config, kept) = document(inputs, me, &good);
    let left = config.faults();
    if !bad.is_empty() && left.is_empty() {
        found = kept;
        for session in bad {
            let (config, own) = document(inputs, me, &[session]);
            found.extend(own);
            found.extend(config.faults().into_iter().map(|fault| session.refused(&fault.to_string())));
        }
        conditions.extend(found);
        return (Some(config), conditions, demands);
    }
    conditions.extend(found);
    conditions.extend(faults.into_iter().map(|fault| Condition {
        subject: format!("Node/{}", inputs.node),
        reason: Reason::Invalid,
        message: format!("bgpd keeps its configuration: {fault}"),
    }));
    (None, conditions, demands)
}

/// The document of some sessions, and what is wrong with those that are left out.
fn document<'a>(inputs: Inputs<'a>, me: &Member, sessions: &[Session<'a>]) -> (Config, Vec<Condition>) {
    let mut config = Config::new(router_id(inputs.node, &me.identity), inputs.asn(me));
    config.listen.port = inputs.bgp.listen_port;
    config.cluster_id = me.identity.cluster_id;
    config.graceful_restart = GracefulRestart { enabled: Some(true), ..GracefulRestart::default() };

    let (mut filters, mut conditions) = (Filters::new(inputs.filters), Vec::new());
    for session in sessions {
        // The speaker announces one restart time to all its peers: the longest that is asked for.
        let restart_time = session.restart_time(inputs).map(cairn_api::GoDuration::get);
        config.graceful_restart.restart_time = config.graceful_restart.restart_time.max(restart_time);
        if let Err(condition) = session.enter(inputs, me, &mut filters, &mut config) {
            conditions.push(condition);
        }
    }
    filters.finish(&mut config);
    (config, conditions)
}

/// A community as bgpd writes it.
pub(crate) fn community(value: cairn_api::Community) -> bgpd_api::config::Community {
    match value {
        cairn_api::Community::Standard(high, low) => {
            bgpd_api::config::Community::Standard(u32::from(high) << 16 | u32::from(low))
        }
        cairn_api::Community::Large(global, first, second) => {
            bgpd_api::config::Community::Large(global, first, second)
        }
    }
}
