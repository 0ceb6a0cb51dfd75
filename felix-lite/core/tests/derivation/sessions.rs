use bgpd_api::config::{NextHopMode as Hop, PrefixLimitAction as LimitAction, RouteSource, Verdict};
use cairn_api::annotation::{AS_NUMBER, ROUTE_REFLECTOR_CLUSTER_ID, ROUTER_ID};
use cairn_api::core::Secret;
use cairn_api::kinds::{
    Bfd, BgpConfiguration, BgpPassword, BgpPeer, IpPool, NextHopMode, PrefixLimitAction, ReversePeering,
    SecretKeyRef, SourceAddress,
};
use cairn_api::{Metadata, Object};
use cairn_net::{Asn, Family, RemoteAs};
use felix_core::{Reason, Update};

use crate::world::{Reader, bgp, complete, derived, host, ip, node, peer, pool, prefix};

fn three_nodes() -> Vec<Update> {
    vec![
        node("a", &["192.0.2.1", "2001:db8::1"], &[]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
        node("c", &["2001:db8::3"], &[]),
    ]
}

pub(crate) fn with(facts: impl IntoIterator<Item = Update>) -> Reader {
    derived(three_nodes().into_iter().chain(facts))
}

pub(crate) fn addresses(reader: &Reader) -> Vec<String> {
    let config = reader.config.as_ref().expect("there is a document");
    config.neighbors.iter().map(|neighbor| neighbor.address.to_string()).collect()
}

pub(crate) fn tor() -> BgpPeer {
    BgpPeer {
        peer_ip: Some("192.0.2.254".parse().unwrap()),
        as_number: Some(Asn(65001).into()),
        ..BgpPeer::default()
    }
}

pub(crate) fn no_mesh() -> Update {
    bgp(BgpConfiguration { node_to_node_mesh_enabled: false, ..BgpConfiguration::default() })
}

fn secret(name: &str, key: &str, value: &str) -> Update {
    let mut spec = Secret::default();
    spec.data.insert(key.to_owned(), cairn_api::core::SecretBytes(value.as_bytes().to_vec()));
    let object = Object::new(Metadata::namespaced("cairn-system", name), spec);
    Update::Secret(format!("cairn-system/{name}"), Some(Box::new(object)))
}

#[test]
fn bfd_of_a_peer_and_of_the_mesh_reaches_their_sessions() {
    let wanted = Bfd {
        min_tx_interval: Some("100ms".parse().unwrap()),
        multiplier: Some(5),
        strict: true,
        ..Bfd::default()
    };
    let mesh = BgpConfiguration {
        node_mesh_bfd: Some(Bfd { multihop: Some(true), ..Bfd::default() }),
        ..Default::default()
    };
    let found = with([bgp(mesh), peer("tor", BgpPeer { bfd: Some(wanted), ..tor() })]);
    let tor = found.neighbor("192.0.2.254").options.bfd.clone().unwrap();
    assert_eq!(tor.min_tx_interval, Some(std::time::Duration::from_millis(100)));
    assert_eq!((tor.min_rx_interval, tor.enabled), (None, None));
    assert_eq!((tor.multiplier, tor.strict, tor.multihop), (Some(5), Some(true), Some(false)));
    let node = found.neighbor("192.0.2.2").options.bfd.clone().unwrap();
    assert_eq!((node.multiplier, node.strict, node.multihop), (None, None, Some(true)));
}

#[test]
fn there_is_no_bfd_unless_it_is_asked_for() {
    let found = with([peer("tor", tor())]);
    assert_eq!(found.neighbor("192.0.2.2").options.bfd, None);
    assert_eq!(found.neighbor("192.0.2.254").options.bfd, None);
    // The mesh's is not that of other peers.
    let mesh = BgpConfiguration { node_mesh_bfd: Some(Bfd::default()), ..Default::default() };
    let found = with([bgp(mesh), peer("tor", tor())]);
    assert!(found.neighbor("192.0.2.2").options.bfd.is_some());
    assert_eq!(found.neighbor("192.0.2.254").options.bfd, None);
}

#[test]
fn a_peer_that_may_be_some_hops_away_has_multihop_bfd_unless_it_says_otherwise() {
    for (ttl_security, multihop, expected) in [
        (Some(3), None, true),
        (Some(1), None, false),
        (Some(3), Some(false), false),
        (None, Some(true), true),
    ] {
        let bfd = Some(Bfd { multihop, ..Bfd::default() });
        let found = with([peer("tor", BgpPeer { ttl_security, bfd, ..tor() })]);
        let options = &found.neighbor("192.0.2.254").options;
        assert_eq!(options.bfd.as_ref().unwrap().multihop, Some(expected), "{ttl_security:?} {multihop:?}");
    }
}

#[test]
fn a_session_between_nodes_has_bfd_at_both_ends() {
    let selected = BgpPeer {
        node_selector: Some("all()".parse().unwrap()),
        peer_selector: Some("all()".parse().unwrap()),
        bfd: Some(Bfd { multiplier: Some(4), ..Bfd::default() }),
        ..BgpPeer::default()
    };
    let found = with([no_mesh(), peer("nodes", selected)]);
    for address in ["192.0.2.2", "2001:db8::3"] {
        assert_eq!(found.neighbor(address).options.bfd.as_ref().unwrap().multiplier, Some(4), "{address}");
    }
}

#[test]
fn the_mesh_is_one_session_per_node_over_ipv4_where_both_have_it() {
    let found = with([]);
    assert_eq!(addresses(&found), ["192.0.2.2", "2001:db8::3"]);
    let config = found.config.as_ref().unwrap();
    assert_eq!((config.local_as, config.router_id.to_string().as_str()), (Asn(64512), "192.0.2.1"));
    let both = found.neighbor("192.0.2.2");
    let own = [ip("192.0.2.1"), ip("2001:db8::1")];
    assert_eq!(both.options.next_hop_addresses.as_deref(), Some(&own[..]));
    assert_eq!(both.options.families.as_deref(), Some(&Family::ALL[..]));
    assert_eq!(both.options.local_address, Some(ip("192.0.2.1")));
    assert_eq!(both.options.remote_as, Some(Asn(64512).into()));
    assert_eq!(both.options.ebgp_multihop, None);
    let six = found.neighbor("2001:db8::3");
    assert_eq!(six.options.families.as_deref(), Some(&[Family::Ipv6][..]));
    assert_eq!(six.options.local_address, Some(ip("2001:db8::1")));
    assert!(found.conditions.is_empty(), "{:?}", found.conditions);
}

#[test]
fn the_mesh_can_be_turned_off() {
    assert!(addresses(&with([no_mesh()])).is_empty());
}

#[test]
fn nothing_is_configured_before_the_own_node_is_known() {
    let found = derived([node("b", &["192.0.2.2"], &[])]);
    assert_eq!(found.config, None);
    assert!(found.has_condition(Reason::NodeUnknown, "Node/a"));
}

#[test]
fn identity_comes_from_annotations_before_defaults() {
    let me = node("a", &["192.0.2.1"], &[(AS_NUMBER, "65010"), (ROUTER_ID, "7.7.7.7")]);
    let found = with([me, bgp(BgpConfiguration { as_number: Asn(64600), ..BgpConfiguration::default() })]);
    let config = found.config.as_ref().unwrap();
    assert_eq!((config.local_as, config.router_id.to_string().as_str()), (Asn(65010), "7.7.7.7"));
    let other = &found.neighbor("192.0.2.2").options;
    assert_eq!((other.remote_as, other.ebgp_multihop), (Some(Asn(64600).into()), Some(255)));
}

#[test]
fn a_node_without_ipv4_has_a_router_id_of_its_own() {
    let id = |name| derived([node("a", &["2001:db8::1"], &[]), node(name, &["2001:db8::2"], &[])]);
    let found = id("b");
    assert!(found.config.is_some() && found.conditions.is_empty(), "{:?}", found.conditions);
}

#[test]
fn between_nodes_without_ipv4_a_session_carries_what_pods_have() {
    let pools = |cidrs: &[&str]| -> Vec<Update> {
        cidrs.iter().map(|cidr| pool(cidr, IpPool::of(prefix(cidr)))).collect()
    };
    let only_six = || [node("a", &["2001:db8::1"], &[]), node("b", &["2001:db8::2"], &[])];
    let families =
        |found: &Reader, neighbor: &str| found.neighbor(neighbor).options.families.clone().unwrap();
    let both = pools(&["10.0.0.0/16", "fd00::/64"]);
    let found = derived(only_six().into_iter().chain(both.clone()));
    assert_eq!(families(&found, "2001:db8::2"), Family::ALL);
    let six = derived(only_six().into_iter().chain(pools(&["fd00::/64"])));
    assert_eq!(families(&six, "2001:db8::2"), [Family::Ipv6], "no pod has IPv4");
    // One end has IPv4, and its next hops would be of that.
    let mixed = with(both.clone());
    assert_eq!(families(&mixed, "2001:db8::3"), [Family::Ipv6]);
    let tor = BgpPeer { peer_ip: Some("2001:db8::fe".parse().unwrap()), ..tor() };
    let found = derived(only_six().into_iter().chain(both).chain([peer("tor", tor)]));
    assert_eq!(families(&found, "2001:db8::fe"), Family::ALL);
}

#[test]
fn a_duplicate_router_id_is_reported() {
    let twin = node("b", &["192.0.2.2"], &[(ROUTER_ID, "192.0.2.1")]);
    assert!(with([twin]).has_condition(Reason::DuplicateRouterId, "192.0.2.1 is that of Node/a"));
}

#[test]
fn nodes_that_share_no_family_are_reported_once_by_the_one_without_ipv4() {
    let said = |found: &Reader| found.conditions.keys().map(ToString::to_string).collect::<Vec<_>>();
    let without =
        "Node/d: AddressUnknown: no session: neither an annotation nor an InternalIP gives it an address";
    let found = with([node("d", &[], &[]), node("a", &["192.0.2.1"], &[])]);
    assert_eq!(said(&found), [without], "Node/c says the rest");

    let me = || node("a", &["2001:db8::1"], &[]);
    let others = |count: u8| (1..=count).map(|n| node(&format!("n{n}"), &[&format!("192.0.2.{n}")], &[]));
    let one = derived(others(1).chain([me(), node("c", &["2001:db8::3"], &[])]));
    let apart = "Node/n1: AddressUnknown: no session: it shares no address family with this node";
    assert_eq!(said(&one), [apart]);
    let selected = BgpPeer {
        peer_selector: Some("has(name)".parse().unwrap()),
        node: "a".to_owned(),
        ..BgpPeer::default()
    };
    let many = derived(others(9).chain([me(), peer("all", selected)]));
    let apart = "Node/a: AddressUnknown: no session with Node/n1, Node/n2, Node/n3 and others: they share no address family with this node";
    assert_eq!(said(&many), [apart], "by whatever objects");
}

#[test]
fn an_own_address_that_no_interface_has_is_reported() {
    let found = with([host(&[("192.0.2.9", 24), ("2001:db8::1", 64)], &[])]);
    assert!(found.has_condition(Reason::AddressUnknown, "192.0.2.1"));
}

#[test]
fn a_limit_of_prefixes_reaches_the_session_of_its_peer_alone() {
    let spec = BgpPeer {
        max_prefixes: Some(500),
        max_prefixes_warning: Some(90),
        max_prefixes_action: Some(PrefixLimitAction::Idle),
        max_prefixes_restart_time: Some("5m".parse().unwrap()),
        ..tor()
    };
    let other = BgpPeer {
        peer_ip: Some("192.0.2.253".parse().unwrap()),
        max_prefixes: Some(7),
        max_prefixes_action: Some(PrefixLimitAction::Warn),
        ..tor()
    };
    let found = with([peer("tor", spec), peer("other", other)]);
    let limit = |address: &str| {
        let options = &found.neighbor(address).options;
        let seconds = options.max_prefixes_restart_time.map(|time| time.as_secs());
        (options.max_prefixes, options.max_prefixes_warning, options.max_prefixes_action, seconds)
    };
    assert_eq!(limit("192.0.2.254"), (Some(500), Some(90), Some(LimitAction::Idle), Some(300)));
    assert_eq!(limit("192.0.2.253"), (Some(7), None, Some(LimitAction::Warn), None));
    assert_eq!(limit("192.0.2.2"), (None, None, None, None), "the mesh has none");
    assert!(found.config.as_ref().unwrap().faults().is_empty());
}

#[test]
fn a_tor_gets_only_what_the_node_originates() {
    let found = with([no_mesh(), peer("tor", tor())]);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.remote_as, options.ebgp_multihop), (Some(Asn(65001).into()), Some(255)));
    assert_eq!(options.import.as_ref().unwrap().0[0].as_str(), "accept-all");
    let filter = &found.config.as_ref().unwrap().filters[&options.export.as_ref().unwrap().0[0]];
    assert_eq!(filter.default, Verdict::Reject);
    let rules: Vec<_> = filter.rules.iter().map(|rule| (rule.condition.source, rule.then)).collect();
    assert_eq!(rules, [(Some(RouteSource::Local), Verdict::Accept)]);
}

#[test]
fn options_of_a_peer_reach_bgpd() {
    let spec = BgpPeer {
        peer_ip: Some("192.0.2.254:1790".parse().unwrap()),
        next_hop_mode: NextHopMode::Keep,
        source_address: SourceAddress::None,
        max_restart_time: Some("60s".parse().unwrap()),
        keepalive_time: Some("5s".parse().unwrap()),
        ttl_security: Some(1),
        num_allowed_local_as_numbers: Some(2),
        ..tor()
    };
    let found = with([no_mesh(), peer("tor", spec)]);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.port, options.local_address, options.allowas_in), (Some(1790), None, Some(2)));
    assert_eq!((options.ttl_security_hops, options.ebgp_multihop), (Some(1), None));
    assert_eq!(options.next_hop, Some(Hop::Unchanged));
    let timers = options.timers.clone().unwrap();
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    assert_eq!((seconds(timers.keepalive_time), seconds(timers.hold_time)), (Some(5), Some(15)));
    let restart = &found.config.as_ref().unwrap().graceful_restart;
    assert_eq!(seconds(restart.restart_time), Some(60));
}

#[test]
fn a_peer_is_for_the_nodes_that_it_names() {
    let by_name = |name: &str| BgpPeer { node: name.to_owned(), ..tor() };
    let by_selector = |text: &str| BgpPeer { node_selector: Some(text.parse().unwrap()), ..tor() };
    for (spec, expected) in [
        (tor(), true),
        (by_name("a"), true),
        (by_name("b"), false),
        (by_selector("name == 'a'"), true),
        (by_selector("name == 'hub'"), false),
    ] {
        let found = addresses(&with([no_mesh(), peer("tor", spec.clone())]));
        assert_eq!(found.contains(&"192.0.2.254".to_owned()), expected, "{spec:?}");
    }
}

#[test]
fn the_more_specific_of_two_peers_wins_and_equals_are_reported() {
    let specific = BgpPeer { node: "a".to_owned(), as_number: Some(Asn(65009).into()), ..tor() };
    let found = with([no_mesh(), peer("all", tor()), peer("mine", specific)]);
    assert_eq!(found.neighbor("192.0.2.254").options.remote_as, Some(Asn(65009).into()));
    assert!(found.conditions.is_empty(), "{:?}", found.conditions);
    let found = with([no_mesh(), peer("one", tor()), peer("two", tor())]);
    assert!(found.has_condition(Reason::Ambiguous, "BGPPeer/two: Ambiguous: BGPPeer/one"));
}

#[test]
fn a_password_comes_from_its_secret_and_without_it_there_is_no_session() {
    let reference = SecretKeyRef { name: "bgp".to_owned(), key: "tor".to_owned() };
    let spec = BgpPeer { password: Some(BgpPassword { secret_key_ref: reference }), ..tor() };
    let found = with([no_mesh(), peer("tor", spec.clone()), secret("bgp", "tor", "s3cret\n")]);
    assert_eq!(found.neighbor("192.0.2.254").options.password.as_ref().unwrap().expose(), "s3cret");
    let found = with([no_mesh(), peer("tor", spec.clone()), secret("bgp", "other", "x")]);
    assert!(addresses(&found).is_empty() && found.has_condition(Reason::SecretMissing, "no key tor"));
    let found = with([no_mesh(), peer("tor", spec)]);
    assert!(addresses(&found).is_empty() && found.has_condition(Reason::SecretMissing, "cairn-system/bgp"));
}

#[test]
fn a_peer_may_be_shown_another_as_in_place_of_the_nodes() {
    let spec = |asn| BgpPeer { local_as_number: Some(Asn(asn)), ..tor() };
    let found = with([no_mesh(), peer("tor", spec(65055))]);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.local_as, options.remote_as), (Some(Asn(65055)), Some(Asn(65001).into())));
    assert_eq!((options.local_as_no_prepend, options.local_as_replace_as), (Some(true), Some(true)));
    // The node's own is nothing else.
    let found = with([no_mesh(), peer("tor", spec(64512))]);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.local_as, options.local_as_replace_as), (None, None));
}

#[test]
fn an_as_that_cannot_be_shown_leaves_the_other_sessions_alone() {
    let shown = |asn, spec| BgpPeer { local_as_number: Some(Asn(asn)), ..spec };
    let nodes = BgpPeer { peer_selector: Some("name == 'b'".parse().unwrap()), ..BgpPeer::default() };
    let internal = BgpPeer { as_number: Some(Asn(64512).into()), ..tor() };
    for (spec, why) in [
        (shown(65055, nodes), "nodes know each other by their own AS numbers"),
        (shown(65055, internal), "the peer is in this node's own AS 64512"),
        (shown(65001, tor()), "it is the peer's own"),
    ] {
        let other = BgpPeer { peer_ip: Some("192.0.2.253".parse().unwrap()), ..tor() };
        let found = with([no_mesh(), node("b", &["192.0.2.2"], &[]), peer("odd", spec), peer("tor", other)]);
        assert_eq!(addresses(&found), ["192.0.2.253"], "{why}");
        assert!(found.has_condition(Reason::Unsupported, why), "{:?}", found.conditions);
    }
}

#[test]
fn each_session_by_an_object_is_known_by_its_description_also_where_it_cannot_be_had() {
    let demands = |facts: Vec<Update>| {
        let mut state = complete();
        three_nodes().into_iter().chain(facts).for_each(|fact| state.apply(fact));
        let mut found = Reader::default();
        found.read(&mut state);
        let config = found.config.expect("there is a document");
        let told: Vec<_> =
            config.neighbors.iter().map(|neighbor| neighbor.options.description.clone()).collect();
        (state.bgp_peers().clone(), told)
    };
    let key = SecretKeyRef { name: "none".to_owned(), key: "key".to_owned() };
    let locked = BgpPeer {
        peer_ip: Some("192.0.2.253".parse().unwrap()),
        password: Some(BgpPassword { secret_key_ref: key }),
        ..tor()
    };
    let uplink = BgpPeer { peer_ip: None, interface: "eth1".to_owned(), ..tor() };
    let nodes = BgpPeer { peer_selector: Some("all()".parse().unwrap()), ..BgpPeer::default() };
    let elsewhere = BgpPeer { node: "b".to_owned(), ..tor() };
    let facts = vec![
        peer("tor", tor()),
        peer("locked", locked),
        peer("uplink", uplink),
        peer("nodes", nodes),
        peer("elsewhere", elsewhere),
    ];
    let (found, told) = demands(facts);
    let counts: Vec<(&str, usize)> = found.iter().map(|(name, all)| (name.as_str(), all.len())).collect();
    assert_eq!(counts, [("locked", 1), ("nodes", 2), ("tor", 1), ("uplink", 1)]);
    assert!(
        told.contains(&Some(found["tor"][0].clone())) && !told.contains(&Some(found["locked"][0].clone()))
    );

    // As long as names may be: the two differ at their end alone.
    let names = ["a", "b"].map(|end| format!("{}{end}", "n".repeat(252)));
    let other = BgpPeer { peer_ip: Some("192.0.2.252".parse().unwrap()), ..tor() };
    let (found, _) = demands(vec![peer(&names[0], tor()), peer(&names[1], other)]);
    assert_ne!(found[&names[0]], found[&names[1]]);
}

#[test]
fn a_peer_of_an_interface_is_one_of_bgpd() {
    let uplink = BgpPeer { peer_ip: None, interface: "eth1".to_owned(), ..tor() };
    let specific = BgpPeer { node: "a".to_owned(), as_number: Some(Asn(65009).into()), ..uplink.clone() };
    let interfaces = |found: &Reader| {
        let config = found.config.as_ref().expect("there is a document");
        config.interface_neighbors.clone()
    };
    let found = with([no_mesh(), peer("uplink", BgpPeer { ttl_security: Some(1), ..uplink.clone() })]);
    assert!(addresses(&found).is_empty() && found.conditions.is_empty(), "{:?}", found.conditions);
    let [only] = interfaces(&found).try_into().unwrap();
    let options = only.options;
    assert_eq!((only.interface.as_str(), options.remote_as), ("eth1", Some(Asn(65001).into())));
    assert_eq!(
        (options.local_address, options.next_hop_addresses, options.ebgp_multihop),
        (None, None, None)
    );
    assert_eq!(options.ttl_security_hops, Some(1));
    assert_eq!(options.families.as_deref(), Some(&[Family::Ipv4, Family::Ipv6][..]));
    assert!(options.import.is_some() && options.export.is_some());
    // One session for each interface, by the rules for addresses.
    let found = with([no_mesh(), peer("all", uplink.clone()), peer("mine", specific)]);
    assert_eq!(interfaces(&found)[0].options.remote_as, Some(Asn(65009).into()));
    let second = BgpPeer { interface: "eth2".to_owned(), ..uplink.clone() };
    let found = with([no_mesh(), peer("one", uplink.clone()), peer("two", second), peer("zwei", uplink)]);
    assert_eq!(interfaces(&found).len(), 2);
    let told =
        "BGPPeer/zwei: Ambiguous: BGPPeer/one already configures the session with the peer of interface eth1";
    assert!(found.has_condition(Reason::Ambiguous, told), "{:?}", found.conditions);
}

#[test]
fn a_peer_whose_as_is_left_open_is_external_or_internal() {
    let shown = BgpPeer { local_as_number: Some(Asn(65055)), ..tor() };
    let uplink = BgpPeer { peer_ip: None, interface: "eth1".to_owned(), ..tor() };
    let of = |as_number, spec| BgpPeer { as_number: Some(as_number), ..spec };
    let found = with([
        no_mesh(),
        peer("tor", of(RemoteAs::External, shown.clone())),
        peer("uplink", of(RemoteAs::External, uplink)),
    ]);
    assert!(found.conditions.is_empty(), "{:?}", found.conditions);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.remote_as, options.local_as), (Some(RemoteAs::External), Some(Asn(65055))));
    assert_eq!(options.ebgp_multihop, Some(255), "it is an external one");
    let links = &found.config.as_ref().unwrap().interface_neighbors;
    assert_eq!(links[0].options.remote_as, Some(RemoteAs::External));
    let found = with([no_mesh(), peer("inside", of(RemoteAs::Internal, tor()))]);
    let options = &found.neighbor("192.0.2.254").options;
    assert_eq!((options.remote_as, options.ebgp_multihop), (Some(RemoteAs::Internal), None));
    let found = with([no_mesh(), peer("inside", of(RemoteAs::Internal, shown))]);
    assert!(found.has_condition(Reason::Unsupported, "the peer is in this node's own AS 64512"));
}

#[test]
fn reflectors_are_out_of_the_mesh_and_sessions_with_them_exist_at_both_ends() {
    let reflector = |name, address| node(name, &[address], &[(ROUTE_REFLECTOR_CLUSTER_ID, "244.0.0.1")]);
    let to_reflectors =
        BgpPeer { peer_selector: Some("name in {'r', 's'}".parse().unwrap()), ..BgpPeer::default() };
    let cluster = |me| {
        derived([
            me,
            node("b", &["192.0.2.2"], &[]),
            reflector("r", "192.0.2.50"),
            peer("rr", to_reflectors.clone()),
        ])
    };

    let client = cluster(node("a", &["192.0.2.1"], &[]));
    assert_eq!(addresses(&client), ["192.0.2.2", "192.0.2.50"]);
    assert_eq!(client.neighbor("192.0.2.50").options.route_reflector_client, None);

    let mut me = reflector("a", "192.0.2.1");
    if let Update::Node(_, Some(object)) = &mut me {
        object.metadata.labels.insert("name".to_owned(), "s".to_owned());
    }
    let found = cluster(me);
    assert_eq!(addresses(&found), ["192.0.2.2", "192.0.2.50"]);
    assert_eq!(found.config.as_ref().unwrap().cluster_id, Some("244.0.0.1".parse().unwrap()));
    let client = &found.neighbor("192.0.2.2").options;
    assert_eq!(client.route_reflector_client, Some(true));
    assert_eq!(client.export.as_ref().unwrap().0[0].as_str(), "own-and-reflected");
    assert_eq!(found.neighbor("192.0.2.50").options.route_reflector_client, None, "same cluster");
}

#[test]
fn manual_reverse_peering_leaves_the_other_end_to_another_object() {
    let seen_by_the_selected = |reverse_peering| {
        let mut me = node("a", &["192.0.2.1"], &[]);
        if let Update::Node(_, Some(object)) = &mut me {
            object.metadata.labels.insert("name".to_owned(), "hub".to_owned());
        }
        let spec = BgpPeer {
            node: "b".to_owned(),
            peer_selector: Some("name == 'hub'".parse().unwrap()),
            reverse_peering,
            ..BgpPeer::default()
        };
        derived([no_mesh(), me, node("b", &["192.0.2.2"], &[]), peer("p", spec)])
    };
    assert_eq!(addresses(&seen_by_the_selected(None)), ["192.0.2.2"]);
    assert_eq!(addresses(&seen_by_the_selected(Some(ReversePeering::Auto))), ["192.0.2.2"]);
    assert!(addresses(&seen_by_the_selected(Some(ReversePeering::Manual))).is_empty());
}

#[test]
fn keep_original_next_hop_is_the_mode_keep() {
    let spec = BgpPeer { keep_original_next_hop: true, ..tor() };
    let found = with([no_mesh(), peer("tor", spec)]);
    assert_eq!(found.neighbor("192.0.2.254").options.next_hop, Some(Hop::Unchanged));
}
