//! The speaker's values as other programs see them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use bgp_core::fsm::State;
use bgp_core::rib::{RouteAttributes, Step};
use bgp_core::speaker::{BestRoute, NotificationView, PeerView, RouteSource, RouteView, SessionView};
use bgp_core::wire::{HEADER_LEN, MAX_MESSAGE_LEN, Negotiated, Open, Origin as WireOrigin, SegmentKind};
use bgpd_api::config::{Community, Origin};
use bgpd_api::peer::{Counters, MessageCounters, Notification, Peer, PeerFamily, SessionState};
use bgpd_api::route::{self, AsSegment, Attributes, Path};

/// A route with the interfaces of its next hops, where any is link-local.
pub(super) fn best_route(best: BestRoute, links: &BTreeMap<IpAddr, u32>) -> route::BestRoute {
    let of = |hop: &IpAddr| links.get(hop).copied();
    let interfaces = if best.next_hops.iter().any(|hop| of(hop).is_some()) {
        best.next_hops.iter().map(|hop| of(hop).unwrap_or(0)).collect()
    } else {
        Vec::new()
    };
    let next_hops = best.next_hops.to_vec();
    route::BestRoute { next_hops, interfaces, source: source(best.source), blackhole: best.blackhole }
}

pub(super) fn source(source: RouteSource) -> route::RouteSource {
    match source {
        RouteSource::Peer(peer) => route::RouteSource::Peer(peer),
        RouteSource::Local(owner) => route::RouteSource::Local(owner.to_string()),
    }
}

pub(super) fn path(view: RouteView) -> Path {
    Path {
        best: view.best,
        multipath: view.selected && !view.best,
        stale: view.stale,
        refused: refused(&view),
        source: source(view.source),
        decided_by: view
            .decided_by
            .filter(|step| *step != Step::Only)
            .map(|step| step.to_string())
            .unwrap_or_default(),
        age: view.age,
        path_id: view.path_id,
        next_hop_metric: view.metric,
        attributes: attributes(&view.route),
    }
}

/// Why a path is not used.
fn refused(view: &RouteView) -> String {
    let ineligible = || view.ineligible.map(|reason| reason.to_string());
    view.rejection.map(|reason| reason.to_string()).or_else(ineligible).unwrap_or_default()
}

pub(super) fn attributes(route: &RouteAttributes) -> Attributes {
    let from = &route.attributes;
    let standard = from.communities.iter().map(|community| Community::Standard(community.0));
    let large =
        from.large_communities.iter().map(|large| Community::Large(large.global, large.local1, large.local2));
    Attributes {
        origin: match from.origin {
            WireOrigin::Igp => Origin::Igp,
            WireOrigin::Egp => Origin::Egp,
            WireOrigin::Incomplete => Origin::Incomplete,
        },
        as_path: from
            .as_path
            .segments()
            .map(|segment| {
                let asns = segment.asns().collect();
                match segment.kind {
                    SegmentKind::Set => AsSegment::Set(asns),
                    SegmentKind::Sequence => AsSegment::Sequence(asns),
                    SegmentKind::ConfedSet => AsSegment::ConfedSet(asns),
                    SegmentKind::ConfedSequence => AsSegment::ConfedSequence(asns),
                }
            })
            .collect(),
        next_hop: Some(route.next_hop.addr).filter(|addr| !addr.is_unspecified()),
        med: from.med,
        local_preference: from.local_pref,
        atomic_aggregate: from.atomic_aggregate,
        aggregator: from.aggregator.as_ref().map(|part| (part.asn, part.router_id.into())),
        communities: standard.chain(large).collect(),
        extended_communities: from
            .extended_communities
            .iter()
            .map(|part| u64::from_be_bytes(part.0))
            .collect(),
        originator_id: from.originator_id.map(Into::into),
        cluster_list: from.cluster_list.iter().map(Into::into).collect(),
    }
}

/// What the shell knows of a peer beside the speaker.
#[derive(Clone, Copy)]
pub(super) struct PeerExtras {
    /// Neither the document nor an operator keeps it down.
    pub(super) enabled: bool,
}

pub(super) fn peer(view: PeerView, extras: PeerExtras) -> Peer {
    let session = view.session.as_ref();
    let counters = view.counters;
    let now = Instant::now();
    let until =
        |deadline: Option<Instant>| deadline.map(|at| at.saturating_duration_since(now)).unwrap_or_default();
    let opens = session.map(|session| &session.opens);
    let (error_at, last_error) = match view.last_error {
        Some((at, reason)) => (Some(at), reason.to_string()),
        None => (None, String::new()),
    };
    Peer {
        address: view.address,
        remote_as: view.asn,
        local_as: view.local_as,
        description: view.description,
        enabled: extras.enabled,
        state: state(view.state),
        state_for: view.since.elapsed(),
        up_down: view.turned.map(|at| at.elapsed()),
        last_error,
        last_error_age: error_at.as_ref().map(Instant::elapsed).unwrap_or_default(),
        notes: view.notes,
        established_count: counters.established,
        dropped_count: counters.dropped,
        router_id: session.map(|session| session.router_id),
        local: view.ends.map(|(local, _)| local),
        remote_port: view.ends.map(|(_, remote)| remote.port()),
        hold_time: session.map(|session| session.hold_time).unwrap_or_default(),
        keepalive_time: session.map(|session| session.keepalive).unwrap_or_default(),
        hold_timer: until(view.timers.hold),
        keepalive_timer: until(view.timers.keepalive),
        connect_timer: until(view.timers.connect),
        capabilities: session.map(capabilities).unwrap_or_default(),
        capabilities_sent: opens.map(|opens| capability_texts(&opens.sent)).unwrap_or_default(),
        capabilities_received: opens.map(|opens| capability_texts(&opens.received)).unwrap_or_default(),
        notification_sent: view.notification_sent.as_ref().map(notification),
        notification_received: view.notification_received.as_ref().map(notification),
        families: view
            .families
            .iter()
            .map(|part| PeerFamily {
                family: part.family,
                received: part.counts.received.into(),
                accepted: part.counts.accepted.into(),
                sent: part.advertised.into(),
                end_of_rib: part.end_of_rib,
                stale: part.counts.stale.into(),
            })
            .collect(),
        counters: message_counters(&counters),
    }
}

fn message_counters(counters: &bgp_core::speaker::Counters) -> Counters {
    let received = MessageCounters {
        opens: counters.opens_received,
        updates: counters.updates_received,
        notifications: counters.notifications_received,
        keepalives: counters.keepalives_received,
        route_refreshes: counters.route_refreshes_received,
    };
    let sent = MessageCounters {
        opens: counters.opens_sent,
        updates: counters.updates_sent,
        notifications: counters.notifications_sent,
        keepalives: counters.keepalives_sent,
        route_refreshes: counters.route_refreshes_sent,
    };
    Counters {
        messages_received: received.total(),
        messages_sent: sent.total(),
        updates_received: received.updates,
        updates_sent: sent.updates,
        received,
        sent,
    }
}

fn notification(last: &NotificationView) -> Notification {
    let (code, subcode) = last.notification.code.to_wire();
    Notification { code, subcode, text: last.notification.to_string(), age: last.at.elapsed() }
}

/// The capabilities of an OPEN, header and all.
fn capability_texts(open: &[u8]) -> Vec<String> {
    let open = open.get(HEADER_LEN..).and_then(|body| Open::decode(body).ok());
    open.iter().flat_map(|open| &open.capabilities).map(ToString::to_string).collect()
}

pub(super) fn state(state: State) -> SessionState {
    match state {
        State::Idle => SessionState::Idle,
        State::Connect => SessionState::Connect,
        State::Active => SessionState::Active,
        State::OpenSent => SessionState::OpenSent,
        State::OpenConfirm => SessionState::OpenConfirm,
        State::Established => SessionState::Established,
    }
}

fn capabilities(session: &SessionView) -> Vec<String> {
    let agreed: &Negotiated = &session.negotiated;
    let families = agreed.families.iter().map(|family| format!("{family}-unicast"));
    let add_path = |families: cairn_net::Families, way: &'static str| {
        families.iter().map(move |family| format!("add-path-{way}-{family}"))
    };
    let add_path = add_path(agreed.add_path_receive, "receive").chain(add_path(agreed.add_path_send, "send"));
    let flags = [
        (agreed.four_octet_as, "4-octet-as"),
        (agreed.route_refresh, "route-refresh"),
        (agreed.enhanced_route_refresh, "enhanced-route-refresh"),
        (agreed.graceful_restart, "graceful-restart"),
        (agreed.notification_restart, "graceful-restart-notification"),
        (agreed.extended_next_hop, "extended-next-hop"),
        (agreed.max_message_len > MAX_MESSAGE_LEN, "extended-message"),
        (agreed.role.is_some(), "role"),
    ];
    families
        .chain(add_path)
        .chain(flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned()))
        .collect()
}
