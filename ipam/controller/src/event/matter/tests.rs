use std::sync::Arc;

use cairn_api::kinds::NodeStatus;
use cairn_api::{GROUP_VERSION, Metadata, Object, Timestamp};
use cairn_net::Asn;
use cairn_verdict::judge::{NodeFacts, Reason};

use super::*;

fn condition(kind: &str, status: ConditionStatus, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Timestamp::from_unix(1),
        observed_generation: None,
    }
}

const YES: ConditionStatus = ConditionStatus::True;
const NO: ConditionStatus = ConditionStatus::False;

fn told(kind: &'static str, name: &str, conditions: Vec<Condition>) -> Told {
    let uid = format!("uid-{name}");
    Told { kind, api_version: GROUP_VERSION, name: name.to_owned(), uid, conditions, reasons: Vec::new() }
}

/// Nodes `n1`, `n2` and so on, with addresses 192.0.2.1 and so on.
fn spoken(nodes: u8, objects: Vec<Told>) -> Spoken {
    let facts = |number: u8| NodeFacts {
        uid: format!("uid-n{number}"),
        addresses: vec![IpAddr::from([192, 0, 2, number])],
        ..NodeFacts::default()
    };
    let peers = objects.iter().filter(|told| told.kind == "BGPPeer");
    let peers = peers.map(|told| (IpAddr::from([192, 0, 2, 254]), told.name.clone())).collect();
    let nodes = (1..=nodes).map(|number| (format!("n{number}"), facts(number))).collect();
    Spoken { objects, nodes, peers }
}

fn session(peer: [u8; 4], state: &str, error: &str) -> SessionReport {
    SessionReport {
        peer_ip: peer.into(),
        bgp_peer: String::new(),
        as_number: Asn(64512),
        state: state.to_owned(),
        since: None,
        last_error: error.to_owned(),
        received: 0,
        advertised: 0,
    }
}

fn reports(all: Vec<(&str, Vec<Condition>, Vec<SessionReport>)>) -> Reports {
    let report = |(name, conditions, sessions): (&str, _, _)| {
        let mut object = Object::new(Metadata::named(name), NodeStatus::default());
        object.status = Some(NodeReport { conditions, sessions, ..NodeReport::default() });
        (name.to_owned(), Arc::new(object))
    };
    all.into_iter().map(report).collect()
}

/// `Kind/name about reason: message [first + more]`, in order.
fn lines(matters: &Matters) -> Vec<String> {
    let line = |(matter, by): (&Matter, &By)| {
        let Matter { regarding, about, reason, message } = matter;
        assert_eq!(regarding.uid, format!("uid-{}", regarding.name));
        format!(
            "{}/{} {about} {reason}: {message} [{} + {}]",
            regarding.kind, regarding.name, by.first, by.more
        )
    };
    matters.iter().map(line).collect()
}

#[test]
fn a_condition_that_is_false_is_told_of_its_object_unless_somebody_wanted_it_so() {
    let spoken = spoken(
        1,
        vec![
            told("BGPPeer", "tor", vec![condition("Accepted", NO, "FilterMissing", "spec.filters[0]")]),
            told(
                "IPPool",
                "p",
                vec![
                    condition("Accepted", YES, "OK", ""),
                    condition("Allocatable", NO, "PoolDisabled", "is disabled"),
                    condition("Encapsulation", NO, "BothModes", "both"),
                ],
            ),
            told("EgressGateway", "g", vec![condition("Active", NO, "Released", "given back")]),
        ],
    );
    assert_eq!(
        lines(&all(&spoken, &Reports::new())),
        [
            "BGPPeer/tor Accepted FilterMissing: spec.filters[0] [ + 0]",
            "IPPool/p Encapsulation BothModes: both [ + 0]",
        ]
    );
}

#[test]
fn what_a_node_reports_is_told_of_whom_it_is_about_and_once() {
    let spoken = spoken(
        3,
        vec![
            told("BGPPeer", "tor", vec![condition("Accepted", NO, "SecretMissing", "no Secret")]),
            told("IPPool", "p", vec![]),
        ],
    );
    let problem = |reason, message| condition(reason, YES, reason, message);
    let shared = || {
        vec![
            problem("DuplicateRouterId", "Node/n3: router id is that of Node/n1, too"),
            problem("SecretMissing", "BGPPeer/tor: no session with 192.0.2.254: there is no Secret"),
            problem("AttachmentUnavailable", "IPPool/p: no pods by MACVLAN on this node: there is no eth1"),
            condition("Ready", YES, "OK", ""),
        ]
    };
    let mut own = shared();
    own.extend([
        condition("BGPReady", NO, "Unavailable", "bgpd does not answer"),
        condition("Draining", YES, "Cordoned", "the node is cordoned"),
        condition("Drained", YES, "Empty", "nothing is left that is in use"),
        condition("KernelRefused", YES, "Refused", "a route"),
        problem("AddressUnknown", "Node/n1: no interface of this node has its address"),
        problem("BlockConflict", "BlockAffinity/10-0-0-0-26: n9 announces it"),
    ]);
    let found = all(
        &spoken,
        &reports(vec![("n1", own, vec![]), ("n2", shared(), vec![]), ("gone", shared(), vec![])]),
    );
    assert_eq!(
        lines(&found),
        [
            "BGPPeer/tor Accepted SecretMissing: no Secret [ + 0]",
            "IPPool/p AttachmentUnavailable AttachmentUnavailable: no pods by MACVLAN on this node: there is no eth1 [n1 + 1]",
            "Node/n1 AddressUnknown AddressUnknown: no interface of this node has its address [n1 + 0]",
            "Node/n1 BGPReady Unavailable: bgpd does not answer [n1 + 0]",
            "Node/n1 BlockConflict BlockConflict: BlockAffinity/10-0-0-0-26: n9 announces it [n1 + 0]",
            "Node/n1 KernelRefused Refused: a route [n1 + 0]",
            "Node/n3 DuplicateRouterId DuplicateRouterId: router id is that of Node/n1, too [n1 + 1]",
        ],
        "what the object says itself is not said again, and of a report without Node nothing"
    );
}

#[test]
fn an_object_with_two_faults_is_told_once_though_its_condition_has_the_word_of_one() {
    let peer = |accepted, message| {
        let reasons = vec![Reason::FilterMissing, Reason::SecretMissing];
        let conditions = vec![condition("Accepted", accepted, "FilterMissing", message)];
        Told { reasons, ..told("BGPPeer", "tor", conditions) }
    };
    let problem = |reason, message| condition(reason, YES, reason, message);
    let said = || {
        vec![
            problem("FilterMissing", "BGPPeer/tor: no session: there is no filter"),
            problem("SecretMissing", "BGPPeer/tor: no session: there is no Secret"),
        ]
    };
    let found = |peer| lines(&all(&spoken(1, vec![peer]), &reports(vec![("n1", said(), vec![])])));
    assert_eq!(
        found(peer(NO, "no filter; no Secret")),
        ["BGPPeer/tor Accepted FilterMissing: no filter; no Secret [ + 0]"]
    );
    assert_eq!(found(peer(YES, "")).len(), 2, "what is judged and not said yet is told by the nodes");
}

#[test]
fn what_is_said_of_one_object_in_one_word_is_one_matter() {
    let secret = |message| condition("SecretMissing", YES, "SecretMissing", message);
    let refused = |message| condition("KernelRefused", YES, "Refused", message);
    let own = vec![
        refused("route b\nroute a\nand 3 more"),
        secret("BGPPeer/tor: no session with a\nBGPPeer/tor: no session with b\nBGPPeer/other: no session"),
    ];
    let other = vec![secret("BGPPeer/tor: no session with d\nBGPPeer/tor: no session with c\nand 1 more")];
    let spoken = spoken(2, vec![told("BGPPeer", "tor", vec![])]);
    assert_eq!(
        lines(&all(&spoken, &reports(vec![("n1", own, vec![]), ("n2", other, vec![])]))),
        [
            "BGPPeer/tor SecretMissing SecretMissing: no session with a; no session with b; no session with c; and others [n1 + 1]",
            "Node/n1 KernelRefused Refused: route a; route b [n1 + 0]",
            "Node/n1 SecretMissing SecretMissing: BGPPeer/other: no session [n1 + 0]",
        ],
        "each thing is told of whom it is about, and not how many more there are"
    );
}

#[test]
fn sessions_that_are_missing_are_not_told_again_by_the_condition_that_counts_them() {
    let counted = vec![condition(ESTABLISHED, NO, "SessionDown", "0 of 1 sessions are established")];
    let spoken = spoken(1, vec![told("BGPPeer", "tor", counted)]);
    assert!(all(&spoken, &Reports::new()).is_empty());
}

#[test]
fn what_nodes_say_must_last_and_what_an_object_says_itself_need_not() {
    let own = vec![condition("Accepted", NO, "Invalid", "spec.cidr")];
    let reported =
        vec![condition("AttachmentUnavailable", YES, "AttachmentUnavailable", "IPPool/p: no eth1")];
    let spoken = spoken(1, vec![told("IPPool", "p", own)]);
    let found = all(&spoken, &reports(vec![("n1", reported, vec![])]));
    let passing: Vec<_> =
        found.iter().map(|(matter, by)| (matter.reason.as_str(), matter.is_passing(by))).collect();
    assert_eq!(passing, [("Invalid", false), ("AttachmentUnavailable", true)]);
}

#[test]
fn a_session_with_somebody_outside_is_one_matter_whatever_its_state_and_error() {
    let spoken = spoken(1, vec![]);
    let at = |state: &str, error: &str| {
        all(&spoken, &reports(vec![("n1", vec![], vec![session([192, 0, 2, 254], state, error)])]))
    };
    let (active, idle) = (at("Active", "refused"), at("Idle", "hold timer expired"));
    assert_eq!(
        lines(&active),
        ["Node/n1 Session SessionDown: no BGP session with 192.0.2.254 (AS 64512) [ + 0]"]
    );
    assert!(active.keys().eq(idle.keys()));
    assert_eq!(idle.values().next().unwrap().detail, "hold timer expired");
    assert!(at("Established", "").is_empty());
}

#[test]
fn a_node_that_dies_is_told_once_and_not_by_all_others() {
    let spoken = spoken(6, vec![]);
    let mesh = |dead: u8| {
        let node = |number: u8| {
            let others = (1..=6).filter(|other| *other != number);
            let sessions = others.map(|other| {
                let up = number != dead && other != dead;
                session([192, 0, 2, other], if up { "Established" } else { "Active" }, "")
            });
            (["n1", "n2", "n3", "n4", "n5", "n6"][usize::from(number) - 1], vec![], sessions.collect())
        };
        reports((1..=6).map(node).collect())
    };
    assert_eq!(
        lines(&all(&spoken, &mesh(3))),
        ["Node/n3 Session SessionDown: no BGP session with Node/n1, Node/n2, Node/n4 and others [ + 0]"]
    );
    assert!(all(&spoken, &mesh(0)).is_empty());
}

#[test]
fn a_router_that_dies_is_told_once_of_its_object_and_a_node_without_uplinks_of_the_node() {
    let peer = || vec![told("BGPPeer", "tor", vec![])];
    let down = |last: u8| session([192, 0, 2, last], "Active", "hold timer expired");
    let all_nodes = || {
        reports(vec![
            ("n1", vec![], vec![down(254)]),
            ("n2", vec![], vec![down(254)]),
            ("n3", vec![], vec![]),
        ])
    };
    let wanted = "BGPPeer/tor Session SessionDown: no BGP session with 192.0.2.254 (AS 64512) [n1 + 1]";
    assert_eq!(lines(&all(&spoken(3, peer()), &all_nodes())), [wanted]);
    let unnamed = lines(&all(&spoken(3, vec![]), &all_nodes()));
    assert!(unnamed.len() == 2 && unnamed.iter().all(|line| line.starts_with("Node/n")), "{unnamed:?}");
    let one = reports(vec![("n1", vec![], vec![down(253), down(254)]), ("n2", vec![], vec![])]);
    let wanted = "Node/n1 Session SessionDown: no BGP session with 192.0.2.253 (AS 64512), 192.0.2.254 (AS 64512) [ + 0]";
    assert_eq!(lines(&all(&spoken(2, peer()), &one)), [wanted]);
}

#[test]
fn objects_and_nodes_that_are_there_are_present() {
    let spoken = spoken(1, vec![told("IPPool", "p", vec![])]);
    let names: BTreeSet<String> =
        present(&spoken).into_iter().map(|found| format!("{}/{}", found.kind, found.uid)).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["IPPool/uid-p", "Node/uid-n1"]);
}
