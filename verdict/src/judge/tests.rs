use cairn_api::core::{NodeAddress, NodeState, SecretBytes};
use cairn_api::{Draft, Metadata};
use serde_json::{Value, json};

use super::*;

/// Name, kind and spec of each object; what is expected of some.
struct Case {
    name: &'static str,
    objects: Vec<(&'static str, &'static str, Value)>,
    /// Kind, name, reason, and words of the message: field, value and rule.
    wrong: Vec<(&'static str, &'static str, &'static str, Vec<&'static str>)>,
}

fn read_as<K: Kind>(name: &str, spec: &Value) -> (String, Result<Arc<Object<K>>, String>) {
    let draft = Object::new(Metadata::named(name), Draft::<K>::new(spec.clone()));
    (name.to_owned(), draft.finished().map(Arc::new))
}

fn node(addresses: &[&str], rack: &str) -> NodeFacts {
    NodeFacts {
        uid: String::new(),
        labels: [("rack".to_owned(), rack.to_owned())].into(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        unreachable: false,
    }
}

/// Two nodes, a Secret, and what a case has.
fn cluster(objects: &[(&str, &str, Value)]) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.nodes.insert("n1".to_owned(), node(&["192.0.2.1", "2001:db8::1"], "a"));
    cluster.nodes.insert("n2".to_owned(), node(&["192.0.2.2"], "b"));
    let mut secret = Secret::default();
    for (key, value) in [("key", "word\n".to_owned()), ("empty", String::new()), ("long", "x".repeat(81))] {
        secret.data.insert(key.to_owned(), SecretBytes(value.into_bytes()));
    }
    let secret = Object::new(Metadata::namespaced("cairn-system", "bgp"), secret);
    cluster.secrets.insert("bgp".to_owned(), Arc::new(secret));
    for (kind, name, spec) in objects {
        match *kind {
            "IPPool" => {
                let (name, pool) = read_as::<IpPool>(name, spec);
                let unread = pool.is_err().then(|| Draft::<IpPool>::new(spec.clone()).range());
                cluster.unread_ranges.extend(unread.flatten());
                cluster.pools.insert(name, pool);
            }
            "IPReservation" => cluster.reservations.extend([read_as(name, spec)]),
            "BGPConfiguration" => cluster.bgp.extend([read_as(name, spec)]),
            "BGPPeer" => cluster.peers.extend([read_as(name, spec)]),
            "BGPFilter" => cluster.filters.extend([read_as(name, spec)]),
            "NodeConfiguration" => cluster.configurations.extend([read_as(name, spec)]),
            "EgressGateway" => cluster.gateways.extend([read_as(name, spec)]),
            other => panic!("{other}"),
        }
    }
    cluster
}

fn tor(more: &Value) -> Value {
    let mut spec = json!({ "peerIP": "192.0.2.254", "asNumber": 65001 });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn secret(name: &str, key: &str) -> Value {
    json!({ "secretKeyRef": { "name": name, "key": key } })
}

fn check(cases: Vec<Case>) {
    for case in cases {
        let Verdict(found) = judge(&cluster(&case.objects));
        let told: usize = found.values().map(Vec::len).sum();
        assert_eq!(told, case.wrong.len(), "{}: {found:#?}", case.name);
        for (kind, name, reason, words) in &case.wrong {
            let objections = found.get(&(*kind, (*name).to_owned())).map_or(&[][..], Vec::as_slice);
            let is_told = objections.iter().any(|objection| {
                objection.reason.as_str() == *reason
                    && words.iter().all(|word| objection.message.contains(word))
            });
            assert!(is_told, "{}: {reason} {words:?} of {kind} {name}: {objections:#?}", case.name);
        }
    }
}

#[test]
fn what_cannot_be_read_is_invalid_and_says_field_value_and_rule() {
    let unreadable = |kind, spec, words| Case {
        name: kind,
        objects: vec![(kind, "a", spec), ("BGPFilter", "fine", json!({}))],
        wrong: vec![(kind, "a", "Invalid", words)],
    };
    check(vec![
        unreadable(
            "IPPool",
            json!({ "cidr": "10.0.0.0/16", "nodeSelector": "a = 'b'" }),
            vec!["spec.nodeSelector", "a = 'b'"],
        ),
        unreadable(
            "IPPool",
            json!({ "cidr": "10.0.0.0/16", "namespaceSelector": "has(" }),
            vec!["spec.namespaceSelector"],
        ),
        unreadable(
            "IPPool",
            json!({ "cidr": "10.0.0.0/28", "blockSize": 26 }),
            vec!["spec.blockSize", "\"26\"", "not shorter"],
        ),
        unreadable("BGPPeer", tor(&json!({ "nodeSelector": "(" })), vec!["spec.nodeSelector"]),
        unreadable("BGPPeer", json!({ "peerSelector": "a in" }), vec!["spec.peerSelector"]),
        unreadable(
            "BGPFilter",
            json!({ "exportV4": [{ "action": "Accept", "cidr": "fd00::/8", "matchOperator": "In" }] }),
            vec!["spec.exportV4[0].cidr", "fd00::/8"],
        ),
        unreadable("BGPConfiguration", json!({}), vec!["metadata.name", "\"a\"", "default"]),
        unreadable("BGPConfiguration", json!({ "listenPort": 70000 }), vec!["spec.listenPort", "70000"]),
        unreadable(
            "IPReservation",
            json!({ "reservedCIDRs": ["10.0.0.5/28"] }),
            vec!["spec.reservedCIDRs[0]", "10.0.0.5/28"],
        ),
        unreadable("NodeConfiguration", json!({ "nodeSelector": "!" }), vec!["spec.nodeSelector"]),
        unreadable(
            "EgressGateway",
            json!({ "egressIPs": ["192.0.2.7"], "podSelector": "app ==" }),
            vec!["spec.podSelector", "app =="],
        ),
    ]);
}

#[test]
fn a_peer_that_names_what_is_not_there() {
    check(vec![
        Case {
            name: "everything is there",
            objects: vec![
                ("BGPFilter", "f", json!({})),
                (
                    "BGPPeer",
                    "tor",
                    tor(&json!({ "node": "n1", "filters": ["f"], "password": secret("bgp", "key") })),
                ),
            ],
            wrong: vec![],
        },
        Case {
            name: "no filter, and one that cannot be read",
            objects: vec![
                ("BGPFilter", "odd", json!({ "exportV4": 1 })),
                ("BGPPeer", "tor", tor(&json!({ "filters": ["odd", "f"] }))),
            ],
            wrong: vec![
                ("BGPFilter", "odd", "Invalid", vec!["spec.exportV4"]),
                ("BGPPeer", "tor", "FilterMissing", vec!["spec.filters[1]", "\"f\"", "no such BGPFilter"]),
            ],
        },
        Case {
            name: "no Secret, no key, no password",
            objects: vec![
                (
                    "BGPPeer",
                    "a",
                    json!({ "peerIP": "192.0.2.251", "asNumber": 1, "password": secret("none", "key") }),
                ),
                (
                    "BGPPeer",
                    "b",
                    json!({ "peerIP": "192.0.2.252", "asNumber": 1, "password": secret("bgp", "none") }),
                ),
                (
                    "BGPPeer",
                    "c",
                    json!({ "peerIP": "192.0.2.253", "asNumber": 1, "password": secret("bgp", "empty") }),
                ),
                ("BGPConfiguration", "default", json!({ "nodeMeshPassword": secret("bgp", "long") })),
            ],
            wrong: vec![
                (
                    "BGPPeer",
                    "a",
                    "SecretMissing",
                    vec!["spec.password.secretKeyRef.name", "\"none\"", "no such Secret"],
                ),
                (
                    "BGPPeer",
                    "b",
                    "SecretMissing",
                    vec!["spec.password.secretKeyRef.key", "\"none\"", "no such key"],
                ),
                ("BGPPeer", "c", "Invalid", vec!["secretKeyRef.key", "\"empty\"", "1 to 80 bytes"]),
                (
                    "BGPConfiguration",
                    "default",
                    "Invalid",
                    vec!["spec.nodeMeshPassword.secretKeyRef.key", "\"long\""],
                ),
            ],
        },
        Case {
            name: "no Secret of the mesh",
            objects: vec![(
                "BGPConfiguration",
                "default",
                json!({ "nodeMeshPassword": secret("mesh", "key") }),
            )],
            wrong: vec![(
                "BGPConfiguration",
                "default",
                "SecretMissing",
                vec!["spec.nodeMeshPassword", "\"mesh\""],
            )],
        },
    ]);
}

#[test]
fn a_peer_of_an_unknown_node_or_of_itself() {
    check(vec![
        Case {
            name: "no Node",
            objects: vec![("BGPPeer", "tor", tor(&json!({ "node": "n9" })))],
            wrong: vec![("BGPPeer", "tor", "NodeUnknown", vec!["spec.node", "\"n9\"", "no such Node"])],
        },
        Case {
            name: "itself by name and by selector, and a reflector that all nodes peer with",
            objects: vec![
                ("BGPPeer", "a", json!({ "node": "n1", "peerIP": "2001:db8::1", "asNumber": 64512 })),
                (
                    "BGPPeer",
                    "b",
                    json!({ "nodeSelector": "rack == 'b'", "peerIP": "192.0.2.2", "asNumber": 64512 }),
                ),
                ("BGPPeer", "c", json!({ "peerIP": "192.0.2.1", "asNumber": 64512 })),
            ],
            wrong: vec![
                ("BGPPeer", "a", "OwnAddress", vec!["spec.peerIP", "2001:db8::1", "Node/n1"]),
                ("BGPPeer", "b", "OwnAddress", vec!["spec.peerIP", "192.0.2.2", "Node/n2"]),
            ],
        },
    ]);
}

#[test]
fn a_session_in_two_objects_is_ambiguous_unless_one_is_more_specific() {
    check(vec![
        Case {
            name: "two for all nodes, and one for one of them",
            objects: vec![
                ("BGPPeer", "a", tor(&json!({}))),
                ("BGPPeer", "b", tor(&json!({}))),
                ("BGPPeer", "c", tor(&json!({ "node": "n1" }))),
            ],
            wrong: vec![("BGPPeer", "b", "Ambiguous", vec!["spec.peerIP", "192.0.2.254", "BGPPeer/a"])],
        },
        Case {
            name: "selectors that share no node, and two that do",
            objects: vec![
                ("BGPPeer", "a", tor(&json!({ "nodeSelector": "rack == 'a'" }))),
                ("BGPPeer", "b", tor(&json!({ "nodeSelector": "rack == 'b'" }))),
                ("BGPPeer", "c", tor(&json!({ "nodeSelector": "has(rack)" }))),
            ],
            wrong: vec![("BGPPeer", "c", "Ambiguous", vec!["BGPPeer/a", "Node/n1"])],
        },
        Case {
            name: "the interface of one node, and those of two",
            objects: vec![
                ("BGPPeer", "a", json!({ "interface": "eth1", "asNumber": "external", "node": "n1" })),
                ("BGPPeer", "b", json!({ "interface": "eth1", "asNumber": "external", "node": "n1" })),
                ("BGPPeer", "c", json!({ "interface": "eth1", "asNumber": "external", "node": "n2" })),
            ],
            wrong: vec![("BGPPeer", "b", "Ambiguous", vec!["spec.interface", "\"eth1\"", "BGPPeer/a"])],
        },
    ]);
}

#[test]
fn a_filter_whose_rules_no_speaker_can_follow() {
    let prepends = |numbers: Value| json!([{ "prependASPath": { "prefix": numbers } }]);
    let rule =
        |operations: Value| json!({ "action": "Accept", "asPathPrefix": [65001], "operations": operations });
    check(vec![Case {
        name: "several numbers behind a match of the path",
        objects: vec![
            ("BGPFilter", "good", json!({ "exportV4": [rule(prepends(json!([65001, 65001])))] })),
            (
                "BGPFilter",
                "bad",
                json!({ "importV6": [rule(json!([])), rule(prepends(json!([65001, 65002])))] }),
            ),
        ],
        wrong: vec![(
            "BGPFilter",
            "bad",
            "Unsupported",
            vec!["spec.importV6[1].operations", "65002 65001", "asPathPrefix"],
        )],
    }]);
}

#[test]
fn ranges_and_selectors_that_meet_nothing() {
    check(vec![
        Case {
            name: "a range in a pool, one around it, and one of no pool",
            objects: vec![
                ("IPPool", "p", json!({ "cidr": "10.0.0.0/16" })),
                (
                    "IPReservation",
                    "r",
                    json!({ "reservedCIDRs": ["10.0.1.0/24", "10.0.0.0/8", "10.9.0.0/24", "fd00::/64"] }),
                ),
            ],
            wrong: vec![
                ("IPReservation", "r", "OutsideOfPools", vec!["spec.reservedCIDRs[2]", "10.9.0.0/24"]),
                ("IPReservation", "r", "OutsideOfPools", vec!["spec.reservedCIDRs[3]", "fd00::/64"]),
            ],
        },
        Case {
            name: "pools that cannot be read: a range in one of them, and one of no pool",
            objects: vec![
                ("IPPool", "bad", json!({ "cidr": "10.1.0.0/16", "nodeSelector": "(" })),
                ("IPPool", "worse", json!({ "cidr": "10.2.0.1/16" })),
                ("IPReservation", "r", json!({ "reservedCIDRs": ["10.1.2.0/24", "10.2.3.0/24"] })),
            ],
            wrong: vec![
                ("IPPool", "bad", "Invalid", vec!["spec.nodeSelector"]),
                ("IPPool", "worse", "Invalid", vec!["spec.cidr", "10.2.0.1/16"]),
                ("IPReservation", "r", "OutsideOfPools", vec!["spec.reservedCIDRs[1]", "10.2.3.0/24"]),
            ],
        },
        Case {
            name: "configurations of nodes",
            objects: vec![
                ("NodeConfiguration", "default", json!({ "mtu": 1400 })),
                ("NodeConfiguration", "rack", json!({ "nodeSelector": "rack == 'c'" })),
            ],
            wrong: vec![(
                "NodeConfiguration",
                "rack",
                "NoNode",
                vec!["spec.nodeSelector", "rack == 'c'", "none of the nodes"],
            )],
        },
    ]);
}

#[test]
fn an_egress_address_that_nobody_can_have() {
    let gateway = |addresses: Value| json!({ "egressIPs": addresses });
    check(vec![Case {
        name: "of a pool, of a node, of another gateway, of no node",
        objects: vec![
            ("IPPool", "p", json!({ "cidr": "10.0.0.0/16" })),
            ("EgressGateway", "a", gateway(json!(["10.0.0.7"]))),
            ("EgressGateway", "b", gateway(json!(["2001:db8::1"]))),
            ("EgressGateway", "c", gateway(json!(["192.0.2.7"]))),
            ("EgressGateway", "d", gateway(json!(["192.0.2.7", "2001:db8::7"]))),
            ("EgressGateway", "e", gateway(json!(["2001:db8::7"]))),
            ("EgressGateway", "f", json!({ "egressIPs": ["192.0.2.8"], "nodeSelector": "rack == 'c'" })),
        ],
        wrong: vec![
            (
                "EgressGateway",
                "a",
                "CIDROverlap",
                vec!["spec.egressIPs[0]", "10.0.0.7", "IPPool/p", "10.0.0.0/16"],
            ),
            ("EgressGateway", "b", "Ambiguous", vec!["2001:db8::1", "Node/n1"]),
            ("EgressGateway", "d", "Ambiguous", vec!["spec.egressIPs[0]", "192.0.2.7", "EgressGateway/c"]),
            ("EgressGateway", "f", "NoNode", vec!["spec.nodeSelector", "rack == 'c'"]),
        ],
    }]);
}

#[test]
fn what_is_wrong_with_one_object_says_nothing_of_others() {
    let objects = vec![
        ("IPPool", "bad", json!({ "cidr": "10.1.0.0/16", "nodeSelector": "(" })),
        ("IPPool", "good", json!({ "cidr": "10.0.0.0/16" })),
        ("BGPPeer", "bad", tor(&json!({ "filters": ["none"] }))),
        ("BGPPeer", "good", json!({ "peerIP": "192.0.2.253", "asNumber": 65001 })),
        ("EgressGateway", "bad", json!({ "egressIPs": ["10.0.0.7"] })),
        ("EgressGateway", "good", json!({ "egressIPs": ["192.0.2.7"] })),
    ];
    let verdict = judge(&cluster(&objects));
    assert!(verdict.of::<IpPool>("good").is_empty() && verdict.of::<BgpPeer>("good").is_empty());
    assert!(verdict.of::<EgressGateway>("good").is_empty());
    assert_eq!(verdict.of::<IpPool>("bad").len(), 1);
    assert_eq!(verdict.of::<BgpPeer>("bad").len(), 1);
    assert_eq!(verdict.of::<EgressGateway>("bad").len(), 1);
}

#[test]
fn each_address_that_may_be_the_nodes_own_counts_as_one() {
    let internal = |address: &str| NodeAddress { kind: "InternalIP".to_owned(), address: address.to_owned() };
    let mut node = Object::new(Metadata::named("n1"), Node::default());
    let addresses = ["192.0.2.1", "198.51.100.1", "2001:db8::1"].map(internal).into();
    node.status = Some(NodeState { addresses, ..NodeState::default() });
    let own = |node: &Object<Node>| -> Vec<String> {
        NodeFacts::of(node).addresses.iter().map(ToString::to_string).collect()
    };
    assert_eq!(own(&node), ["192.0.2.1", "198.51.100.1", "2001:db8::1"]);
    let key = cairn_api::annotation::IPV4_ADDRESS.to_owned();
    node.metadata.annotations.insert(key, "198.51.100.1/24".to_owned());
    assert_eq!(own(&node), ["198.51.100.1", "2001:db8::1"]);
}
