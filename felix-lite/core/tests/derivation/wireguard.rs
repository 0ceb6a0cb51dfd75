use std::collections::BTreeSet;

use cairn_api::kinds::{
    AffinityState, EncapMode, IpPool, NodeConfiguration, UnencryptedPeers, WireguardPeer as KeyObject,
};
use cairn_api::{Metadata, Object, WireguardKey};
use felix_core::{
    Element, Gateway, Host, HostTunnel, HostWireguard, OwnAddresses, Reason, Route, State, TunnelKind, Update,
};

use crate::world::{Reader, affinity, complete, derived, gone, host, ip, learned, node, pool, prefix};

const WG: u32 = 70;

/// The key of a node, by its name.
pub(crate) fn key(name: &str) -> WireguardKey {
    WireguardKey([name.as_bytes()[0]; 32])
}

pub(crate) fn key_of(name: &str) -> Update {
    key_object(name, KeyObject::of(key(name)))
}

pub(crate) fn key_object(name: &str, spec: KeyObject) -> Update {
    Update::WireguardPeer(name.to_owned(), Some(Box::new(Object::new(Metadata::named(name), spec))))
}

pub(crate) fn configuration(unencrypted: UnencryptedPeers) -> Update {
    let spec = NodeConfiguration {
        wireguard_enabled: Some(true),
        wireguard_enabled_v6: Some(true),
        wireguard_unencrypted_peers: Some(unencrypted),
        ..NodeConfiguration::default()
    };
    let object = Object::new(Metadata::named("default"), spec);
    Update::NodeConfiguration("default".to_owned(), Some(Box::new(object)))
}

/// The node's interfaces, with the device and these peers ready on it.
pub(crate) fn net(ready: &[&str]) -> Update {
    let base = host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254", "2001:db8::fe"]);
    let Update::Host(host) = base else { unreachable!() };
    let ready: BTreeSet<WireguardKey> = ready.iter().map(|name| key(name)).collect();
    Update::Host(Box::new(Host {
        tunnels: [(TunnelKind::Wireguard, HostTunnel { index: WG, port: 0 })].into(),
        wireguard: [(TunnelKind::Wireguard, HostWireguard { key: key("a"), ready, known: BTreeSet::new() })]
            .into(),
        ..*host
    }))
}

/// Nodes `a` (this one), `b`, `c`, each with a block of each family, and pools for these.
fn cluster() -> Vec<Update> {
    vec![
        node("a", &["192.0.2.1/24", "2001:db8::1/64"], &[]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
        node("c", &["2001:db8:1::3"], &[]),
        affinity("10.0.1.0/26", "b", AffinityState::Confirmed),
        affinity("10.0.2.0/26", "c", AffinityState::Confirmed),
        affinity("fd00::40/122", "b", AffinityState::Confirmed),
        pool("v4", IpPool::of(prefix("10.0.0.0/16"))),
        pool("v6", IpPool::of(prefix("fd00::/64"))),
    ]
}

fn with(facts: impl IntoIterator<Item = Update>) -> Reader {
    derived(cluster().into_iter().chain(facts))
}

fn through(reader: &Reader, text: &str) -> bool {
    let route = reader.routes.get(&prefix(text));
    matches!(route, Some(Route::Gateways(ways)) if ways.len() == 1 && ways[0].index == WG)
}

fn prefixes(texts: &[&str]) -> BTreeSet<cairn_net::Prefix> {
    texts.iter().map(|text| prefix(text)).collect()
}

#[test]
fn what_goes_to_a_peers_blocks_is_encrypted_and_belongs_to_him() {
    let found = with([
        configuration(UnencryptedPeers::Allow),
        net(&["b", "c"]),
        key_of("a"),
        key_of("b"),
        key_of("c"),
        learned("10.0.1.0/26", &["192.0.2.2"]),
        learned("10.0.200.1/32", &["192.0.2.2"]),
        learned("10.0.200.2/32", &["192.0.2.2", "2001:db8:1::3"]),
        learned("10.9.0.0/26", &["192.0.2.2"]),
    ]);
    let device = &found.tunnels[&TunnelKind::Wireguard];
    assert_eq!((device.wireguard_port, device.mtu), (Some(51820), 1500 - 80), "one peer is behind IPv6");
    assert_eq!(found.settings.unwrap().mtu, Some(1420));
    let b = &found.wireguard["b"];
    assert_eq!((b.key, b.endpoint), (key("b"), "192.0.2.2:51820".parse().unwrap()));
    assert!(b.is_node);
    let behind = ["10.0.1.0/26", "10.0.200.1/32", "fd00::40/122", "192.0.2.2/32", "2001:db8::2/128"];
    assert_eq!(b.allowed, prefixes(&behind), "its blocks, what it announces, and itself");
    assert!(b.own.is_empty(), "nothing is sent to itself unless that is asked for");
    assert_eq!(found.wireguard["c"].endpoint, "[2001:db8:1::3]:51820".parse().unwrap());
    assert!(!found.wireguard.contains_key("a"));
    for block in ["10.0.1.0/26", "10.0.2.0/26", "fd00::40/122", "10.0.200.1/32"] {
        assert!(through(&found, block), "{block}: {:?}", found.routes);
    }
    let onlink = Gateway { address: ip("192.0.2.2"), index: WG, onlink: true };
    assert_eq!(found.routes[&prefix("10.0.1.0/26")], Route::Gateways([onlink].into()));
    assert!(!through(&found, "10.0.200.2/32"), "of two nodes");
    assert!(!through(&found, "10.9.0.0/26"), "of no pool");
    assert!(found.conditions.is_empty(), "{:?}", found.conditions);
}

#[test]
fn it_goes_before_the_pools_encapsulation_and_only_for_the_families_that_are_on() {
    let vxlan = IpPool { vxlan_mode: EncapMode::Always, ..IpPool::of(prefix("10.0.0.0/16")) };
    let spec = NodeConfiguration { wireguard_enabled: Some(true), ..NodeConfiguration::default() };
    let v4_only = Update::NodeConfiguration(
        "default".to_owned(),
        Some(Box::new(Object::new(Metadata::named("default"), spec))),
    );
    let found = with([
        v4_only,
        net(&["b"]),
        key_of("b"),
        key_of("c"),
        pool("v4", vxlan),
        learned("fd00::40/122", &["2001:db8::2"]),
    ]);
    assert!(through(&found, "10.0.1.0/26") && !through(&found, "fd00::40/122"), "{:?}", found.routes);
    assert_eq!(found.wireguard["b"].allowed, prefixes(&["10.0.1.0/26", "192.0.2.2/32", "2001:db8::2/128"]));
    assert!(found.tunnels.len() > 1, "VXLAN is there for nodes without a key");
}

#[test]
fn a_route_moves_once_the_peer_is_ready_and_his_addresses_are_his_before() {
    let mut state = State::new("a", "cairn-system");
    let mut reader = Reader::default();
    let facts = [
        configuration(UnencryptedPeers::Allow),
        net(&[]),
        key_of("b"),
        learned("10.0.1.0/26", &["192.0.2.2"]),
    ];
    cluster().into_iter().chain(facts).chain([Update::Complete]).for_each(|fact| state.apply(fact));
    reader.read(&mut state);
    let plain = Route::Gateways([Gateway::on(ip("192.0.2.2"), 2)].into());
    assert_eq!(reader.routes[&prefix("10.0.1.0/26")], plain);
    assert!(reader.wireguard["b"].allowed.contains(&prefix("10.0.1.0/26")));
    assert!(reader.has_condition(Reason::Unencrypted, "of 1 nodes (c)"), "{:?}", reader.conditions);

    state.apply(net(&["b"]));
    reader.read(&mut state);
    assert!(through(&reader, "10.0.1.0/26"));
    for (unencrypted, words) in
        [(UnencryptedPeers::Refuse, "nothing is sent"), (UnencryptedPeers::Allow, "it is sent unencrypted")]
    {
        state.apply(configuration(unencrypted));
        reader.read(&mut state);
        assert!(reader.has_condition(Reason::Unencrypted, words), "{:?}", reader.conditions);
        assert_eq!(reader.conditions.len(), 1);
    }
    state.apply(affinity("10.0.1.64/26", "b", AffinityState::Confirmed));
    assert_eq!(reader.read(&mut state), 2, "the peer and the route, nothing else");
    state.apply(affinity("10.0.1.64/26", "c", AffinityState::Confirmed));
    reader.read(&mut state);
    assert!(!reader.wireguard["b"].allowed.contains(&prefix("10.0.1.64/26")));
    state.apply(Update::WireguardPeer("b".to_owned(), None));
    reader.read(&mut state);
    assert_eq!(reader.routes[&prefix("10.0.1.0/26")], plain);
    assert!(reader.wireguard.is_empty());
}

#[test]
fn routes_stay_when_a_peer_that_has_answered_has_another_key() {
    let mut state = State::new("a", "cairn-system");
    let mut reader = Reader::default();
    let Update::Host(mut host) = net(&["b"]) else { unreachable!() };
    host.wireguard.get_mut(&TunnelKind::Wireguard).unwrap().known.insert("b".to_owned());
    let facts = [configuration(UnencryptedPeers::Allow), Update::Host(host), key_of("b"), Update::Complete];
    cluster().into_iter().chain(facts).for_each(|fact| state.apply(fact));
    reader.read(&mut state);
    assert!(through(&reader, "10.0.1.0/26"));
    let before = reader.routes.clone();
    state.apply(key_object("b", KeyObject::of(key("x"))));
    assert_eq!(reader.read(&mut state), 1, "the peer alone");
    assert_eq!((reader.wireguard["b"].key, &reader.routes), (key("x"), &before));
}

#[test]
fn refused_is_what_has_no_key_also_where_the_block_is_not_known_yet() {
    let found = with([
        configuration(UnencryptedPeers::Refuse),
        net(&["b"]),
        key_of("b"),
        learned("10.0.2.0/26", &["192.0.2.254"]),
        learned("10.0.9.0/26", &["192.0.2.254"]),
        learned("198.51.100.0/24", &["192.0.2.254"]),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
    ]);
    assert!(through(&found, "10.0.1.0/26"));
    for refused in ["10.0.2.0/26", "10.0.9.0/26", "10.0.0.0/16", "fd00::/64"] {
        assert_eq!(found.routes.get(&prefix(refused)), Some(&Route::Unreachable), "{refused}");
    }
    assert_eq!(found.routes[&prefix("10.0.0.0/26")], Route::Blackhole, "this node's own");
    assert!(matches!(found.routes[&prefix("198.51.100.0/24")], Route::Gateways(_)));
    for cidr in ["10.0.0.0/16", "fd00::/64"] {
        assert!(found.elements.contains_key(&Element::Encrypted(prefix(cidr))));
    }
    assert!(found.has_condition(Reason::Unencrypted, "nothing is sent"), "{:?}", found.conditions);
    let open = with([configuration(UnencryptedPeers::Allow), net(&["b"]), key_of("b")]);
    assert!(!open.elements.keys().any(|element| matches!(element, Element::Encrypted(_))));
    assert!(!open.routes.contains_key(&prefix("10.0.0.0/16")));
}

#[test]
fn what_nodes_send_to_each_other_is_encrypted_by_option() {
    let configuration = |enabled_v6| {
        let spec = NodeConfiguration {
            wireguard_enabled: Some(true),
            wireguard_enabled_v6: Some(enabled_v6),
            wireguard_host_encryption_enabled: Some(true),
            ..NodeConfiguration::default()
        };
        let object = Object::new(Metadata::named("default"), spec);
        Update::NodeConfiguration("default".to_owned(), Some(Box::new(object)))
    };
    let way = |here: &str, there: &str| OwnAddresses { here: ip(here), there: ip(there) };
    let facts = |on_v6| [configuration(on_v6), net(&["b"]), key_of("b"), key_of("c")];
    let found = with(facts(true));
    let ways = [way("192.0.2.1", "192.0.2.2"), way("2001:db8::1", "2001:db8::2")];
    assert_eq!(found.wireguard["b"].own, ways);
    assert_eq!(found.wireguard["c"].own, [way("2001:db8::1", "2001:db8:1::3")]);
    assert_eq!(with(facts(false)).wireguard["b"].own, ways[..1], "of the families that are on");
}

/// A host outside with these prefixes behind it.
fn outside(behind: &[&str]) -> Update {
    let spec = KeyObject {
        endpoint: Some("203.0.113.9:4500".parse().unwrap()),
        allowed_ips: behind.iter().map(|text| prefix(text)).collect(),
        ..KeyObject::of(key("outside"))
    };
    key_object("outside", spec)
}

#[test]
fn what_is_said_to_be_behind_a_peer_takes_nothing_from_nodes_and_pools() {
    let wrong = ["192.0.2.0/24", "2001:db8:1::3/128", "203.0.113.0/24", "10.0.9.0/24", "10.0.0.0/8"];
    let behind: Vec<&str> = wrong.into_iter().chain(["10.99.0.0/24"]).collect();
    let found = with([
        configuration(UnencryptedPeers::Allow),
        net(&["b", "c", "outside"]),
        key_of("b"),
        key_of("c"),
        outside(&behind),
    ]);
    assert!(through(&found, "10.99.0.0/24"), "{:?}", found.routes);
    assert_eq!(found.wireguard["outside"].allowed, prefixes(&["10.99.0.0/24"]));
    assert!(found.wireguard["c"].allowed.contains(&prefix("2001:db8:1::3/128")));
    for text in wrong {
        let prefix = prefix(text);
        assert!(!found.routes.contains_key(&prefix), "{text}: {:?}", found.routes);
        assert!(!found.elements.contains_key(&Element::Pool(prefix)), "{text}: {:?}", found.elements);
    }
    for (reason, words) in [
        (Reason::Ambiguous, "spec.allowedIPs: 192.0.2.0/24 contains 192.0.2.1, the address of Node/a"),
        (Reason::Ambiguous, "2001:db8:1::3/128 contains 2001:db8:1::3, the address of Node/c"),
        (Reason::Invalid, "203.0.113.0/24 contains 203.0.113.9"),
        (Reason::CidrOverlap, "10.0.9.0/24 overlaps the range 10.0.0.0/16 of IPPool/v4"),
        (Reason::CidrOverlap, "10.0.0.0/8 overlaps the range 10.0.0.0/16 of IPPool/v4"),
    ] {
        assert!(found.has_condition(reason, words), "{words}: {:?}", found.conditions);
    }
    assert_eq!(found.conditions.len(), wrong.len(), "{:?}", found.conditions);
}

#[test]
fn a_node_and_a_pool_that_come_where_a_peer_was_have_their_addresses_until_they_go() {
    let mut state = State::new("a", "cairn-system");
    let mut reader = Reader::default();
    let facts = [
        configuration(UnencryptedPeers::Allow),
        net(&["b", "c", "outside"]),
        key_of("b"),
        key_of("c"),
        outside(&["10.99.0.0/24", "fd99::/64"]),
        Update::Complete,
    ];
    cluster().into_iter().chain(facts).for_each(|fact| state.apply(fact));
    reader.read(&mut state);
    let before = reader.clone();
    assert!(through(&before, "10.99.0.0/24") && through(&before, "fd99::/64"), "{:?}", before.routes);
    for (comes, reason) in [
        (node("d", &["10.99.0.7"], &[]), Reason::Ambiguous),
        (pool("new", IpPool::of(prefix("10.99.0.0/16"))), Reason::CidrOverlap),
    ] {
        state.apply(comes.clone());
        reader.read(&mut state);
        assert!(reader.has_condition(reason, "WireguardPeer/outside"), "{:?}", reader.conditions);
        assert_eq!(reader.wireguard["outside"].allowed, prefixes(&["fd99::/64"]));
        assert!(!reader.routes.contains_key(&prefix("10.99.0.0/24")) && through(&reader, "fd99::/64"));
        assert!(!reader.elements.contains_key(&Element::Pool(prefix("10.99.0.0/24"))));
        state.apply(gone(&comes));
        reader.read(&mut state);
        assert_eq!(reader, before);
    }
}

#[test]
fn a_host_outside_is_reached_where_its_object_says() {
    let outside = KeyObject {
        endpoint: Some("203.0.113.9:4500".parse().unwrap()),
        allowed_ips: vec![prefix("10.99.0.0/24")],
        ..KeyObject::of(key("outside"))
    };
    let found = with([
        configuration(UnencryptedPeers::Allow),
        net(&["outside"]),
        key_object("outside", outside.clone()),
    ]);
    assert!(through(&found, "10.99.0.0/24"), "{:?}", found.routes);
    let peer = &found.wireguard["outside"];
    assert!(!peer.is_node);
    assert_eq!(peer.endpoint, "203.0.113.9:4500".parse().unwrap());
    assert_eq!(peer.allowed, prefixes(&["10.99.0.0/24"]));
    assert!(found.elements.contains_key(&Element::Pool(prefix("10.99.0.0/24"))), "answered as it is");
    // The same again, and one that nobody could send to.
    let nowhere = KeyObject::of(key("x"));
    let found = with([
        configuration(UnencryptedPeers::Allow),
        net(&[]),
        key_object("outside", outside.clone()),
        key_object("twin", KeyObject { public_key: key("t"), ..outside.clone() }),
        key_object("zwilling", outside),
        key_object("nowhere", nowhere),
    ]);
    assert!(found.has_condition(Reason::Ambiguous, "10.99.0.0/24 is behind outside, too"));
    assert!(found.has_condition(Reason::Ambiguous, "its key is that of outside, too"));
    assert!(found.has_condition(Reason::AddressUnknown, "neither spec.endpoint nor a Node"));
}

#[test]
fn a_next_hop_that_leads_nowhere_is_told_while_a_route_takes_it() {
    let (mut state, mut reader) = (complete(), Reader::default());
    let other = learned("10.99.0.0/24", &["192.0.2.2"]);
    for (facts, is_told) in [
        (vec![learned("10.0.1.0/26", &["192.0.2.2"])], true),
        // It is unreachable by choice then, and its next hop does not matter.
        (vec![configuration(UnencryptedPeers::Refuse), pool("v4", IpPool::of(prefix("10.0.0.0/16")))], false),
        (vec![other.clone()], true),
        (vec![gone(&other)], false),
    ] {
        facts.into_iter().for_each(|fact| state.apply(fact));
        reader.read(&mut state);
        assert_eq!(reader.has_condition(Reason::NextHopUnreachable, "192.0.2.2"), is_told, "{reader:?}");
    }
}
