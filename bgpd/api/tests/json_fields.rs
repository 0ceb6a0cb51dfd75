//! The names in `cairnctl -o json` are a promise: docs/guide/json.md lists exactly those that are printed.

use std::collections::BTreeSet;
use std::time::Duration;

use bgpd_api::config::{Community, Origin};
use bgpd_api::next_hop::{NextHop, NextHopGateway};
use bgpd_api::peer::{
    Counters, EventKind, FamilyStatus, HistoryEvent, Notification, Peer, PeerFamily, SessionState,
    SpeakerStatus, Status,
};
use bgpd_api::route::{AsSegment, Attributes, Path, Route, RouteSource};
use cairn_net::{Asn, Family};
use serde::Serialize;
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

fn notification() -> Option<Notification> {
    Some(Notification { code: 6, subcode: 2, text: "Cease".to_owned(), age: SECOND })
}

fn peer() -> Peer {
    let family =
        PeerFamily { family: Family::Ipv4, received: 3, accepted: 2, sent: 1, end_of_rib: true, stale: 0 };
    Peer {
        address: "192.0.2.1".parse().unwrap(),
        remote_as: Asn(65001),
        local_as: Asn(65002),
        description: String::new(),
        enabled: true,
        state: SessionState::Established,
        state_for: SECOND,
        up_down: Some(SECOND),
        last_error: String::new(),
        last_error_age: SECOND,
        notes: Vec::new(),
        established_count: 1,
        dropped_count: 0,
        router_id: "10.0.0.1".parse().ok(),
        local: "192.0.2.2:179".parse().ok(),
        remote_port: Some(40000),
        hold_time: SECOND,
        keepalive_time: SECOND,
        hold_timer: SECOND,
        keepalive_timer: SECOND,
        connect_timer: SECOND,
        capabilities: Vec::new(),
        capabilities_sent: Vec::new(),
        capabilities_received: Vec::new(),
        notification_sent: notification(),
        notification_received: notification(),
        families: vec![family],
        counters: Counters::default(),
    }
}

fn route() -> Route {
    let attributes = Attributes {
        origin: Origin::Igp,
        as_path: vec![
            AsSegment::Sequence(vec![Asn(65001)]),
            AsSegment::Set(vec![Asn(65002)]),
            AsSegment::ConfedSequence(vec![Asn(65003)]),
            AsSegment::ConfedSet(vec![Asn(65004)]),
        ],
        next_hop: "192.0.2.1".parse().ok(),
        med: Some(1),
        local_preference: Some(100),
        atomic_aggregate: true,
        aggregator: Some((Asn(65001), "192.0.2.1".parse().unwrap())),
        communities: vec![Community::Standard(1)],
        extended_communities: vec![1],
        originator_id: "192.0.2.1".parse().ok(),
        cluster_list: vec!["192.0.2.1".parse().unwrap()],
    };
    let path = |source| Path {
        best: true,
        multipath: false,
        stale: false,
        refused: "by the filter".to_owned(),
        source,
        decided_by: "router id".to_owned(),
        age: SECOND,
        path_id: 1,
        next_hop_metric: Some(1),
        attributes: attributes.clone(),
    };
    let sources = [RouteSource::Peer("192.0.2.1".parse().unwrap()), RouteSource::Local("config".to_owned())];
    Route { prefix: "10.0.0.0/8".parse().unwrap(), paths: sources.map(path).to_vec() }
}

fn status() -> Status {
    Status {
        version: String::new(),
        pid: 1,
        uptime: SECOND,
        speaker: Some(SpeakerStatus { router_id: "10.0.0.1".parse().unwrap(), local_as: Asn(65001) }),
        listening: Vec::new(),
        peers: 1,
        peers_established: 1,
        families: vec![FamilyStatus { family: Family::Ipv4, complete: true }],
        prefixes: 1,
        attribute_sets: 1,
    }
}

fn next_hop() -> NextHop {
    NextHop {
        address: "192.0.2.1".parse().unwrap(),
        paths: 1,
        metric: Some(1),
        connected: false,
        unreachable: "no route leads there".to_owned(),
        via: "192.0.2.0/24".parse().ok(),
        protocol: "static".to_owned(),
        gateways: vec![NextHopGateway {
            address: "192.0.2.254".parse().ok(),
            interface: 1,
            interface_name: "eth0".to_owned(),
        }],
        discarded: true,
        since: SECOND,
    }
}

fn event() -> HistoryEvent {
    HistoryEvent { time: SECOND, kind: EventKind::Up, text: String::new(), count: 1, last_time: SECOND }
}

/// Adds the name of every field, as `outer.inner`.
fn names(value: &Value, outer: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if outer.is_empty() { name.clone() } else { format!("{outer}.{name}") };
                found.insert(name.clone());
                names(value, &name, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| names(element, outer, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names in the first column of the table below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../../../docs/guide/json.md");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_page_lists_the_fields_that_are_printed() {
    fn check(heading: &str, value: &impl Serialize) {
        let mut printed = BTreeSet::new();
        names(&serde_json::to_value(value).unwrap(), "", &mut printed);
        let documented = documented(heading);
        let (missing, gone): (Vec<_>, Vec<_>) =
            (printed.difference(&documented).collect(), documented.difference(&printed).collect());
        assert!(missing.is_empty() && gone.is_empty(), "{heading}: missing {missing:?}, gone {gone:?}");
    }
    check("A neighbour", &peer());
    check("A route", &route());
    check("The daemon", &status());
    check("A next hop", &next_hop());
    check("An event", &event());
}
