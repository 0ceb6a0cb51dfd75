use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use cairn_net::{Asn, RemoteAs, serde_as_text};
use serde::{Deserialize, Serialize};

use super::Bfd;
use super::bgp_configuration::{BgpPassword, restart_time};
use crate::{Condition, Faults, GoDuration, Kind, Object, Selector, bounds, name};

/// A BGP session of some nodes: with an address, with whoever is behind an interface, or with other nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpPeer {
    /// The one node that has the session. Not together with `nodeSelector`; neither means all nodes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The nodes that have the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Selector>,
    /// The peer's address. Exactly one of this, `interface` and `peerSelector`.
    #[serde(default, rename = "peerIP", skip_serializing_if = "Option::is_none")]
    pub peer_ip: Option<PeerAddress>,
    /// The interface behind which the peer is, the one router on a link that needs no addresses but link-local ones (unnumbered). It is
    /// found by router advertisements. Range: 1 to 15 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// The nodes to peer with, such as route reflectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_selector: Option<Selector>,
    /// The peer's AS number; or `external` for any but the node's own, `internal` for that. Required with `peerIP` and `interface`; nodes
    /// are known by their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_number: Option<RemoteAs>,
    /// The AS number shown to this peer, which is in another AS and no node, in place of the node's. Default: the node's.
    #[serde(default, rename = "localASNumber", skip_serializing_if = "Option::is_none")]
    pub local_as_number: Option<Asn>,
    /// How often our own AS number may be in a received path. Range: 0 to 10. Default: 0.
    #[serde(default, rename = "numAllowedLocalASNumbers", skip_serializing_if = "Option::is_none")]
    pub num_allowed_local_as_numbers: Option<u8>,
    /// The next hop of what is announced. Default: `Auto`.
    #[serde(default)]
    pub next_hop_mode: NextHopMode,
    /// The older word for `nextHopMode: Keep`; see [`BgpPeer::next_hop`]. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_original_next_hop: bool,
    /// TCP MD5 password (RFC 2385). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<BgpPassword>,
    /// The local address of the session. Default: `UseNodeIP`.
    #[serde(default)]
    pub source_address: SourceAddress,
    /// Graceful restart time. Range: 0 to 4095 s. Default: 120 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restart_time: Option<GoDuration>,
    /// Time between keepalives. Range: 1 to 21845 s; the hold time is three times it. Default: 30 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<GoDuration>,
    /// Generalised TTL security (RFC 5082): the peer is at most that many hops away. Range: 1 to 255. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_security: Option<u8>,
    /// BFD with the peer. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Bfd>,
    /// Prefixes of each family that the peer may announce, each path counted. One more ends the session (RFC 4486), unless
    /// `maxPrefixesAction` says otherwise. Range: 1 to 4294967295. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<u32>,
    /// Percentage of `maxPrefixes` beyond which bgpd's log has a warning. Range: 1 to 100. Default: 75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes_warning: Option<u8>,
    /// What the first prefix too many does. Default: `Idle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes_action: Option<PrefixLimitAction>,
    /// After how long a session that ended so begins anew. Range: 1 to 65535 s. Default: not before the peer is enabled by hand, with
    /// `cairnctl bgp neighbor` on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes_restart_time: Option<GoDuration>,
    /// Names of filters, in order; the first rule that matches decides. What none matches is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// Do the nodes that `peerSelector` selects have their end of the session by this object too? Goes with
    /// `peerSelector`. Default: `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_peering: Option<ReversePeering>,
    /// The gateway to the peer. Read so that it can be refused by name: routes to peers are the node's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reachable_by: String,
    /// Workloads to peer with. Read so that it can be refused by name: pods have no sessions with their node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub local_workload_selector: String,
}

/// What the first prefix beyond `maxPrefixes` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PrefixLimitAction {
    /// Ends the session until `maxPrefixesRestartTime` is over, or the peer is enabled by hand.
    #[default]
    Idle,
    /// Gives a warning, and keeps the session.
    Warn,
}

/// What is reported of a BGPPeer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BgpPeerStatus {
    /// Its sessions, of all nodes together, as far as nodes report them. Written by the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionCounts>,
    /// `Accepted`: false where the object, or something that it names, makes no sense. `Established`: true where all of its sessions are, with
    /// reason `OK`, `SessionDown` or `NotReported`; the message names nodes whose sessions are not. Reason and message say what, and the guide
    /// what to do.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// How many sessions there are by an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionCounts {
    /// How many there should be.
    pub wanted: u64,
    /// How many of these are established.
    pub established: u64,
}

/// Who configures the other end of a session between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ReversePeering {
    /// The same object.
    #[default]
    Auto,
    /// Another object, which selects the nodes the other way round.
    Manual,
}

/// The next hop of what is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NextHopMode {
    /// As RFC 4271 section 5.1.3 says: self to eBGP peers and for own routes.
    #[default]
    Auto,
    /// Always the own address.
    #[serde(rename = "Self")]
    Own,
    /// Never changed where it is valid.
    Keep,
}

/// The local address of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SourceAddress {
    /// The node's BGP address.
    #[default]
    UseNodeIP,
    /// What the kernel chooses.
    None,
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:1790`, `2001:db8::1`, `[2001:db8::1]:1790`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// The address.
    pub addr: IpAddr,
    /// The port; `None` means 179.
    pub port: Option<u16>,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.addr, port).fmt(f),
            None => self.addr.fmt(f),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(addr) = text.parse() {
            return Ok(Self { addr, port: None });
        }
        let socket: Option<SocketAddr> = text.parse().ok();
        socket
            .filter(|socket| socket.port() != 0)
            .map(|socket| Self { addr: socket.ip(), port: Some(socket.port()) })
            .ok_or_else(|| {
                let value: String = text.chars().take(64).collect();
                format!(
                    "{value:?} is not a valid peer: an address, or address:port ([address]:port for IPv6)"
                )
            })
    }
}

serde_as_text!(PeerAddress, "an address, or address:port");

impl BgpPeer {
    /// The next hop of what is announced, by whichever field says so.
    pub const fn next_hop(&self) -> NextHopMode {
        if self.keep_original_next_hop { NextHopMode::Keep } else { self.next_hop_mode }
    }
}

impl Kind for BgpPeer {
    type Status = BgpPeerStatus;
    const KIND: &'static str = "BGPPeer";
    const PLURAL: &'static str = "bgppeers";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        if !spec.node.is_empty() {
            name::check(&spec.node, "spec.node", faults);
            faults.require(
                spec.node_selector.is_none(),
                "spec.nodeSelector",
                spec.node_selector.as_ref().map(ToString::to_string).unwrap_or_default(),
                "not together with spec.node",
            );
        }
        who(spec, faults);
        if let Some(RemoteAs::Number(asn)) = spec.as_number {
            faults.speaker_asn("spec.asNumber", Some(asn));
        }
        faults.speaker_asn("spec.localASNumber", spec.local_as_number);
        let allowed = spec.num_allowed_local_as_numbers.unwrap_or(0);
        faults.require(allowed <= 10, "spec.numAllowedLocalASNumbers", allowed, "0 to 10");
        faults.require(spec.ttl_security != Some(0), "spec.ttlSecurity", 0, "1 to 255 hops");
        if let Some(password) = &spec.password {
            password.validate("spec.password", faults);
        }
        if let Some(bfd) = &spec.bfd {
            bfd.validate("spec.bfd", faults);
        }
        prefix_limit(spec, faults);
        restart_time(spec.max_restart_time, "spec.maxRestartTime", faults);
        if let Some(time) = spec.keepalive_time {
            let fits = (1..=21_845).contains(&time.get().as_secs()) && time.get().subsec_millis() == 0;
            faults.require(fits, "spec.keepaliveTime", time, "whole seconds, 1s to 21845s");
        }
        faults.at_most("spec.filters", spec.filters.len(), bounds::LIST);
        for (index, filter) in spec.filters.iter().enumerate() {
            name::check(filter, &format!("spec.filters[{index}]"), faults);
        }
        faults.require(
            !spec.keep_original_next_hop || spec.next_hop_mode != NextHopMode::Own,
            "spec.keepOriginalNextHop",
            true,
            "means nextHopMode Keep: not together with nextHopMode Self",
        );
        faults.require(
            spec.reverse_peering.is_none() || spec.peer_selector.is_some(),
            "spec.reversePeering",
            spec.reverse_peering.map(|mode| format!("{mode:?}")).unwrap_or_default(),
            "only together with spec.peerSelector",
        );
        unsupported(spec, faults);
    }
}

/// What goes with `maxPrefixes` means nothing without it, and a session that is kept has nothing to wait for.
fn prefix_limit(spec: &BgpPeer, faults: &mut Faults) {
    faults.require(spec.max_prefixes != Some(0), "spec.maxPrefixes", 0, "1 to 4294967295");
    if let Some(percent) = spec.max_prefixes_warning {
        faults.require(
            (1..=100).contains(&percent),
            "spec.maxPrefixesWarning",
            percent,
            "1 to 100 percent of spec.maxPrefixes",
        );
    }
    if let Some(time) = spec.max_prefixes_restart_time {
        let fits = (1..=65_535).contains(&time.get().as_secs()) && time.get().subsec_millis() == 0;
        faults.require(fits, "spec.maxPrefixesRestartTime", time, "whole seconds, 1s to 65535s");
    }
    let (warning, action, time) =
        (spec.max_prefixes_warning, spec.max_prefixes_action, spec.max_prefixes_restart_time);
    for (path, value) in [
        ("spec.maxPrefixesWarning", warning.map(|percent| percent.to_string())),
        ("spec.maxPrefixesAction", action.map(|action| format!("{action:?}"))),
        ("spec.maxPrefixesRestartTime", time.map(|time| time.to_string())),
    ] {
        let alone = value.filter(|_| spec.max_prefixes.is_none());
        faults.require(
            alone.is_none(),
            path,
            alone.unwrap_or_default(),
            "only together with spec.maxPrefixes",
        );
    }
    faults.require(
        action != Some(PrefixLimitAction::Warn) || time.is_none(),
        "spec.maxPrefixesRestartTime",
        time.map(|time| time.to_string()).unwrap_or_default(),
        "not together with spec.maxPrefixesAction Warn, which ends no session",
    );
}

/// Fields of Calico's BGPPeer that mean something which is not to be had here.
fn unsupported(spec: &BgpPeer, faults: &mut Faults) {
    for (path, value, rule) in [
        (
            "spec.reachableBy",
            &spec.reachable_by,
            "not supported: leave it out, and give the nodes a route to the peer themselves",
        ),
        (
            "spec.localWorkloadSelector",
            &spec.local_workload_selector,
            "not supported: a node has sessions with addresses (peerIP), routers behind its interfaces (interface) and nodes (peerSelector), not with its pods",
        ),
    ] {
        faults.require(value.is_empty(), path, value, rule);
    }
}

/// The peer is an address or an interface with an AS number, or a selector without one.
fn who(spec: &BgpPeer, faults: &mut Faults) {
    const ONE: &str = "exactly one of spec.peerIP, spec.interface and spec.peerSelector";
    let address = spec.peer_ip.map(|peer| ("spec.peerIP", peer.to_string()));
    let interface = (!spec.interface.is_empty()).then(|| ("spec.interface", spec.interface.clone()));
    let selector = spec.peer_selector.as_ref().map(|nodes| ("spec.peerSelector", nodes.to_string()));
    let named: Vec<_> = [address, interface, selector].into_iter().flatten().collect();
    match named.as_slice() {
        [] => return faults.add("spec.peerIP", "", ONE),
        [_] => {}
        [(path, value), ..] => return faults.add(*path, value, ONE),
    }
    if spec.peer_selector.is_some() {
        let asn = spec.as_number.map(|asn| asn.to_string()).unwrap_or_default();
        faults.require(asn.is_empty(), "spec.asNumber", asn, "not together with spec.peerSelector");
        return;
    }
    let rule = "required with spec.peerIP and spec.interface: a number, external or internal";
    faults.require(spec.as_number.is_some(), "spec.asNumber", "", rule);
    if let Some(peer) = spec.peer_ip {
        let fits = !peer.addr.is_unspecified() && !peer.addr.is_multicast();
        faults.require(fits, "spec.peerIP", peer, "a unicast address");
    }
    if !spec.interface.is_empty() {
        let name = &spec.interface;
        let odd = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
        let fits = name.len() <= 15 && !name.contains(odd) && !matches!(name.as_str(), "." | "..");
        faults.require(
            fits,
            "spec.interface",
            name,
            "the name of an interface: 1 to 15 bytes, no blank, slash or colon",
        );
    }
}
