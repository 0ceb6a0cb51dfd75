//! One session: what its peer's entry in bgpd's document says.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use bgpd_api::config::{
    Bfd, Config, InterfaceNeighbor, Neighbor, NextHopMode, PeerOptions, PrefixLimitAction as LimitAction,
    Secret as Password, Timers,
};
use cairn_api::core::Secret;
use cairn_api::kinds::{BgpPassword, BgpPeer, NextHopMode as Mode, PrefixLimitAction, SourceAddress};
use cairn_api::{GoDuration, Object};
use cairn_net::{Asn, Family, RemoteAs};

use super::filter::{Direction, Filters, Scope};
use super::{Inputs, Member};
use crate::condition::{Condition, Reason};

/// TTL of packets to external peers without TTL security: as far as it takes.
const ANY_DISTANCE: u8 = 255;
/// The longest description that bgpd takes; no name of an object is as long.
const DESCRIPTION: usize = 255;

/// Secrets by `namespace/name`, and the namespace that passwords are looked up in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) by_name: &'a BTreeMap<String, Box<Object<Secret>>>,
}

/// Why there is a session.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The node-to-node mesh.
    Mesh,
    /// A BGPPeer, by name.
    Peer(&'a str, &'a BgpPeer),
}

/// What names the other end in bgpd's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target<'a> {
    /// Its address.
    Address(IpAddr),
    /// The interface behind which it is.
    Interface(&'a str),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Interface(name) => write!(f, "the peer of interface {name}"),
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote<'a> {
    /// The node, if it is one.
    pub(super) node: Option<&'a str>,
    /// Its AS.
    pub(super) asn: RemoteAs,
}

/// A session that should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) target: Target<'a>,
    pub(super) port: Option<u16>,
    pub(super) remote: Remote<'a>,
    pub(super) origin: Origin<'a>,
}

impl<'a> Session<'a> {
    /// Whom conditions about it name.
    pub(super) fn subject(&self) -> String {
        match (self.origin, self.remote.node) {
            (Origin::Peer(name, _), _) => format!("BGPPeer/{name}"),
            (Origin::Mesh, Some(node)) => format!("Node/{node}"),
            (Origin::Mesh, None) => "BGPConfiguration/default".to_owned(),
        }
    }

    /// Do both come from one object?
    pub(super) fn same_peer(&self, other: &Self) -> bool {
        self.subject() == other.subject()
    }

    fn spec(&self) -> Option<&'a BgpPeer> {
        match self.origin {
            Origin::Peer(_, spec) => Some(spec),
            Origin::Mesh => None,
        }
    }

    fn condition(&self, reason: Reason, message: String) -> Condition {
        Condition { subject: self.subject(), reason, message }
    }

    /// That of the mesh is missed by all of its sessions, and said once.
    fn without_password(&self, reason: Reason, why: &str) -> Condition {
        match self.origin {
            Origin::Peer(..) => self.condition(reason, format!("no session with {}: {why}", self.target)),
            Origin::Mesh => {
                let subject = "BGPConfiguration/default".to_owned();
                Condition { subject, reason, message: format!("no session of the mesh: {why}") }
            }
        }
    }

    /// bgpd would not take it.
    pub(super) fn refused(&self, why: &str) -> Condition {
        self.condition(Reason::Invalid, format!("no session with {}: {why}", self.target))
    }

    /// Puts the peer's entry into the document; a condition where there can be none.
    pub(super) fn enter(
        &self,
        inputs: Inputs<'a>,
        me: &Member,
        filters: &mut Filters<'a>,
        config: &mut Config,
    ) -> Result<(), Condition> {
        let options = self.options(inputs, me, filters)?;
        match self.target {
            Target::Address(address) => {
                config.neighbors.push(Neighbor { address, peer_group: None, options });
            }
            Target::Interface(name) => {
                let interface = name.to_owned();
                config.interface_neighbors.push(InterfaceNeighbor { interface, peer_group: None, options });
            }
        }
        Ok(())
    }

    fn options(
        &self,
        inputs: Inputs<'a>,
        me: &Member,
        filters: &mut Filters<'a>,
    ) -> Result<PeerOptions, Condition> {
        let spec = self.spec();
        let local_as = inputs.asn(me);
        let external = self.remote.asn.number(local_as) != Some(local_as);
        let shown_as = self.shown_as(local_as)?;
        let reflector_client = !external && self.is_client(inputs, me);
        let scope = Scope { external, reflector: !external && me.identity.cluster_id.is_some() };
        let names: &[String] = spec.map_or(&[], |spec| &spec.filters);
        let subject = self.subject();
        let ttl_security_hops = spec.and_then(|spec| spec.ttl_security).map(|hops| hops.min(254));
        // An interface's peer is on its link.
        let on_link = matches!(self.target, Target::Interface(_));
        let far = external && ttl_security_hops.is_none() && !on_link;
        Ok(PeerOptions {
            remote_as: Some(self.remote.asn),
            local_as: shown_as,
            // The peer knows this number alone: neither what it sends nor what it is sent shows the other one.
            local_as_no_prepend: shown_as.map(|_| true),
            local_as_replace_as: shown_as.map(|_| true),
            description: Some(self.description()),
            local_address: self.local_address(me)?,
            port: self.port,
            ebgp_multihop: far.then_some(ANY_DISTANCE),
            ttl_security_hops,
            password: self.password(inputs)?,
            timers: spec.and_then(|spec| spec.keepalive_time).map(timers),
            bfd: self.bfd(inputs),
            families: Some(self.families(inputs, me)),
            next_hop: spec.and_then(|spec| next_hop(spec.next_hop())),
            next_hop_addresses: self.next_hop_addresses(me)?,
            route_reflector_client: reflector_client.then_some(true),
            allowas_in: spec.and_then(|spec| spec.num_allowed_local_as_numbers),
            max_prefixes: spec.and_then(|spec| spec.max_prefixes),
            max_prefixes_warning: spec.and_then(|spec| spec.max_prefixes_warning),
            max_prefixes_action: spec.and_then(|spec| spec.max_prefixes_action).map(limit_action),
            max_prefixes_restart_time: spec
                .and_then(|spec| spec.max_prefixes_restart_time)
                .map(GoDuration::get),
            import: Some(filters.name(&subject, names, Direction::Import, scope)?.into()),
            export: Some(filters.name(&subject, names, Direction::Export, scope)?.into()),
            ..PeerOptions::default()
        })
    }

    /// Another AS number than the node's, if the peer is to see one.
    fn shown_as(&self, local_as: Asn) -> Result<Option<Asn>, Condition> {
        let wanted = self.spec().and_then(|spec| spec.local_as_number).filter(|asn| *asn != local_as);
        let Some(asn) = wanted else { return Ok(None) };
        let remote = self.remote.asn.number(local_as);
        let why = if self.remote.node.is_some() {
            "nodes know each other by their own AS numbers".to_owned()
        } else if remote == Some(local_as) {
            format!("the peer is in this node's own AS {local_as}")
        } else if remote == Some(asn) {
            format!("it is the peer's own; a session inside of AS {asn} needs a node of AS {asn}")
        } else {
            return Ok(Some(asn));
        };
        let message = format!("no session with {}: localASNumber {asn} cannot be shown: {why}", self.target);
        Err(self.condition(Reason::Unsupported, message))
    }

    /// The BGPPeer by which there is the session; none of the mesh.
    pub(super) fn peer(&self) -> Option<&'a str> {
        match self.origin {
            Origin::Peer(name, _) => Some(name),
            Origin::Mesh => None,
        }
    }

    /// For people; and bgpd tells it back with the session, whose object is known by it. So the object's name is never cut.
    pub(super) fn description(&self) -> String {
        let text = match (self.origin, self.remote.node) {
            (Origin::Peer(name, _), Some(node)) => format!("BGPPeer {name}, node {node}"),
            (Origin::Peer(name, _), None) => format!("BGPPeer {name}"),
            (Origin::Mesh, node) => format!("mesh, node {}", node.unwrap_or_default()),
        };
        match self.origin {
            Origin::Peer(name, _) if text.len() > DESCRIPTION => name.to_owned(),
            _ => text.chars().take(DESCRIPTION).collect(),
        }
    }

    /// An internal peer of a route reflector is its client, unless it is a reflector of the same cluster.
    fn is_client(&self, inputs: Inputs<'_>, me: &Member) -> bool {
        let theirs = self.remote.node.and_then(|node| inputs.nodes.get(node)?.identity.cluster_id);
        me.identity.cluster_id.is_some_and(|own| theirs != Some(own))
    }

    /// The node's own address of the peer's family, unless the kernel is to choose.
    fn local_address(&self, me: &Member) -> Result<Option<IpAddr>, Condition> {
        if self.spec().is_some_and(|spec| spec.source_address == SourceAddress::None) {
            return Ok(None);
        }
        // The link's own, of an interface's peer.
        let Target::Address(address) = self.target else { return Ok(None) };
        let family = Family::of(address);
        match me.identity.address(family) {
            Some(own) => Ok(Some(own.addr)),
            None => {
                let message = format!("no session with {address}: this node has no {family} address");
                Err(self.condition(Reason::AddressUnknown, message))
            }
        }
    }

    /// A session between the nodes' own addresses carries routes of the other family through the own address of that one, which may be on
    /// another interface. Elsewhere the interface of the session has what it takes.
    fn next_hop_addresses(&self, me: &Member) -> Result<Option<Vec<IpAddr>>, Condition> {
        let own = || me.families().filter_map(|family| me.identity.address(family)).map(|own| own.addr);
        Ok(self.local_address(me)?.map(|_| own().collect()))
    }

    /// Families that this node has an address of; towards another node, only those that both have, and IPv4 also where neither has it but
    /// pods do: IPv6 says the way (RFC 8950). Where one of the two has it, its next hops would be of IPv4.
    fn families(&self, inputs: Inputs<'_>, me: &Member) -> Vec<Family> {
        let remote = self.remote.node.and_then(|node| inputs.nodes.get(node));
        let over_ipv6 = match self.target {
            Target::Address(address) => address.is_ipv6(),
            Target::Interface(_) => true,
        };
        let extended = inputs.ipv4_pods && over_ipv6 && me.identity.ipv6.is_some();
        let carried = |family: &Family| {
            let own = me.identity.address(*family).is_some();
            let theirs = remote.map_or(own, |member| member.identity.address(*family).is_some());
            own && theirs || (!own && !theirs && *family == Family::Ipv4 && extended)
        };
        let mut families: Vec<Family> = Family::ALL.into_iter().filter(carried).collect();
        if families.is_empty() {
            families.push(match self.target {
                Target::Address(address) => Family::of(address),
                Target::Interface(_) => Family::Ipv6,
            });
        }
        families
    }

    pub(super) fn restart_time(&self, inputs: Inputs<'_>) -> Option<GoDuration> {
        let time = match self.spec() {
            Some(spec) => spec.max_restart_time,
            None => inputs.bgp.node_mesh_max_restart_time,
        };
        time.filter(|time| time.get().as_secs() > 0)
    }

    /// BFD as the peer's or the mesh's object wants it.
    fn bfd(&self, inputs: Inputs<'_>) -> Option<Bfd> {
        let bfd = match self.spec() {
            Some(spec) => spec.bfd,
            None => inputs.bgp.node_mesh_bfd,
        }?;
        let far = self.spec().and_then(|spec| spec.ttl_security).is_some_and(|hops| hops > 1);
        Some(Bfd {
            min_tx_interval: bfd.min_tx_interval.map(GoDuration::get),
            min_rx_interval: bfd.min_rx_interval.map(GoDuration::get),
            multiplier: bfd.multiplier,
            // Always said: the `ebgpMultihop` of external sessions only lets packets through, and says nothing of the distance.
            multihop: Some(bfd.multihop.unwrap_or(far)),
            strict: bfd.strict.then_some(true),
            ..Bfd::default()
        })
    }

    fn password(&self, inputs: Inputs<'_>) -> Result<Option<Password>, Condition> {
        let password = match self.spec() {
            Some(spec) => spec.password.as_ref(),
            None => inputs.bgp.node_mesh_password.as_ref(),
        };
        let Some(BgpPassword { secret_key_ref: reference }) = password else { return Ok(None) };
        let name = format!("{}/{}", inputs.secrets.namespace, reference.name);
        let missing = |what: String| self.without_password(Reason::SecretMissing, &what);
        let secret =
            inputs.secrets.by_name.get(&name).ok_or_else(|| missing(format!("there is no Secret {name}")))?;
        let value = secret
            .spec
            .get(&reference.key)
            .ok_or_else(|| missing(format!("Secret {name} has no key {}", reference.key)))?;
        let text = std::str::from_utf8(value).unwrap_or_default().trim_end_matches(['\n', '\r']);
        if text.is_empty() || text.len() > 80 {
            let why = format!("key {} of Secret {name} must be a text of 1 to 80 bytes", reference.key);
            return Err(self.without_password(Reason::Invalid, &why));
        }
        Ok(Some(Password::new(text)))
    }
}

/// A keepalive time implies a hold time of thrice as much.
fn timers(keepalive: GoDuration) -> Timers {
    Timers {
        keepalive_time: Some(keepalive.get()),
        hold_time: Some((keepalive.get() * 3).max(std::time::Duration::from_secs(3))),
        ..Timers::default()
    }
}

fn limit_action(action: PrefixLimitAction) -> LimitAction {
    match action {
        PrefixLimitAction::Idle => LimitAction::Idle,
        PrefixLimitAction::Warn => LimitAction::Warn,
    }
}

fn next_hop(mode: Mode) -> Option<NextHopMode> {
    match mode {
        Mode::Auto => None,
        Mode::Own => Some(NextHopMode::Itself),
        Mode::Keep => Some(NextHopMode::Unchanged),
    }
}
