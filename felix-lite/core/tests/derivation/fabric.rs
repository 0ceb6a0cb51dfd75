use cairn_api::kinds::{AffinityState, EncapMode, IpPool, NodeConfiguration};
use cairn_api::{Metadata, Object};
use cairn_net::Family;
use felix_core::{Element, Gateway, Host, HostTunnel, Reason, Route, State, TunnelKind, Update};

use crate::world::{
    Reader, affinity, complete, configuration, derived, endpoint, host, ip, learned, node, pool, prefix,
};

const VXLAN: u32 = 40;
const VXLAN6: u32 = 60;
const IPIP: u32 = 20;

/// Node `a` and, in the same subnet, `b`; `c` in another one.
fn nodes() -> Vec<Update> {
    vec![
        node("a", &["192.0.2.1/24", "2001:db8::1/64"], &[]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
        node("c", &["198.51.100.3", "2001:db8:1::3"], &[]),
        affinity("10.0.1.0/26", "b", AffinityState::Confirmed),
        affinity("10.0.2.0/26", "c", AffinityState::Confirmed),
        affinity("fd00::40/122", "b", AffinityState::Confirmed),
        affinity("fd00::80/122", "c", AffinityState::Confirmed),
    ]
}

/// The node's interfaces, with these tunnel devices ready.
fn net(tunnels: &[(TunnelKind, u32)]) -> Update {
    let base = host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254", "2001:db8::fe"]);
    let Update::Host(host) = base else { unreachable!() };
    let port = |kind| if kind == TunnelKind::Ipip { 0 } else { 4789 };
    let tunnels =
        tunnels.iter().map(|(kind, index)| (*kind, HostTunnel { index: *index, port: port(*kind) }));
    Update::Host(Box::new(Host { tunnels: tunnels.collect(), ..*host }))
}

fn all() -> Update {
    net(&[
        (TunnelKind::Ipip, IPIP),
        (TunnelKind::Vxlan(Family::Ipv4), VXLAN),
        (TunnelKind::Vxlan(Family::Ipv6), VXLAN6),
    ])
}

fn vxlan(cidr: &str, mode: EncapMode) -> Update {
    pool(cidr, IpPool { vxlan_mode: mode, ..IpPool::of(prefix(cidr)) })
}

fn ipip(cidr: &str, mode: EncapMode) -> Update {
    pool(cidr, IpPool { ipip_mode: mode, ..IpPool::of(prefix(cidr)) })
}

fn with(facts: impl IntoIterator<Item = Update>) -> Reader {
    derived(nodes().into_iter().chain(facts))
}

fn gateway<'a>(reader: &'a Reader, text: &str) -> Option<&'a [Gateway]> {
    match reader.routes.get(&prefix(text)) {
        Some(Route::Gateways(gateways)) => Some(gateways),
        _ => None,
    }
}

fn onlink(address: &str, index: u32) -> Gateway {
    Gateway { address: ip(address), index, onlink: true }
}

#[test]
fn always_leads_through_the_tunnel_to_the_owner_of_a_block_without_bgp() {
    let found = with([all(), ipip("10.0.0.0/16", EncapMode::Always), vxlan("fd00::/64", EncapMode::Always)]);
    assert_eq!(gateway(&found, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", IPIP)][..]));
    assert_eq!(gateway(&found, "10.0.2.0/26"), Some(&[onlink("198.51.100.3", IPIP)][..]));
    let peer = &found.peers[&(TunnelKind::Vxlan(Family::Ipv6), ip("2001:db8::2"))];
    let [way] = gateway(&found, "fd00::40/122").unwrap() else { panic!("{:?}", found.routes) };
    assert_eq!((way.address, way.index, way.onlink), (peer.gateways[0], VXLAN6, false));
    assert!(found.conditions.is_empty(), "{:?}", found.conditions);
}

#[test]
fn cross_subnet_is_plain_within_the_subnet() {
    for family_pool in
        [vxlan("10.0.0.0/16", EncapMode::CrossSubnet), ipip("10.0.0.0/16", EncapMode::CrossSubnet)]
    {
        let found = with([all(), family_pool]);
        assert_eq!(gateway(&found, "10.0.1.0/26"), Some(&[Gateway::on(ip("192.0.2.2"), 2)][..]));
        assert!(gateway(&found, "10.0.2.0/26").unwrap()[0].onlink);
    }
    let found = with([all(), vxlan("fd00::/64", EncapMode::CrossSubnet)]);
    assert_eq!(gateway(&found, "fd00::40/122"), Some(&[Gateway::on(ip("2001:db8::2"), 2)][..]));
    assert_eq!(gateway(&found, "fd00::80/122").unwrap()[0].index, VXLAN6);
}

#[test]
fn the_owner_wins_over_a_tor_and_what_has_no_owner_is_as_learned() {
    let found = with([
        all(),
        vxlan("10.0.0.0/16", EncapMode::Always),
        learned("10.0.1.0/26", &["192.0.2.254"]),
        learned("10.0.9.0/26", &["192.0.2.254"]),
        learned("10.9.0.0/26", &["192.0.2.254"]),
        learned("10.0.1.77/32", &["198.51.100.3"]),
        learned("10.0.200.1/32", &["192.0.2.2", "198.51.100.3"]),
    ]);
    assert_eq!(gateway(&found, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", VXLAN)][..]));
    let tor = Gateway::on(ip("192.0.2.254"), 2);
    assert_eq!(gateway(&found, "10.0.9.0/26"), Some(&[tor][..]));
    assert_eq!(gateway(&found, "10.9.0.0/26"), Some(&[tor][..]));
    assert_eq!(gateway(&found, "10.0.1.77/32"), Some(&[onlink("198.51.100.3", VXLAN)][..]), "borrowed");
    let both = [onlink("192.0.2.2", VXLAN), onlink("198.51.100.3", VXLAN)];
    assert_eq!(gateway(&found, "10.0.200.1/32"), Some(&both[..]), "of equal cost");
}

#[test]
fn a_route_moves_only_when_its_device_is_there() {
    let mut state = complete();
    let mut reader = Reader::default();
    for fact in nodes().into_iter().chain([net(&[]), learned("10.0.1.0/26", &["192.0.2.2"])]) {
        state.apply(fact);
    }
    reader.read(&mut state);
    let plain = Some(vec![Gateway::on(ip("192.0.2.2"), 2)]);
    let now = |reader: &Reader| gateway(reader, "10.0.1.0/26").map(<[Gateway]>::to_vec);
    assert_eq!(now(&reader), plain);

    state.apply(ipip("10.0.0.0/16", EncapMode::Always));
    reader.read(&mut state);
    assert_eq!(now(&reader), plain, "as it was, while there is no device");
    assert!(reader.tunnels.contains_key(&TunnelKind::Ipip));
    state.apply(net(&[(TunnelKind::Ipip, IPIP)]));
    reader.read(&mut state);
    assert_eq!(now(&reader), Some(vec![onlink("192.0.2.2", IPIP)]));

    state.apply(vxlan("10.0.0.0/16", EncapMode::Always));
    state.apply(Update::Pool("10.0.0.0/16".to_owned(), None));
    state.apply(vxlan("10.0.0.0/16", EncapMode::Always));
    reader.read(&mut state);
    assert_eq!(now(&reader), Some(vec![onlink("192.0.2.2", IPIP)]), "the old tunnel serves");
    state.apply(net(&[(TunnelKind::Ipip, IPIP), (TunnelKind::Vxlan(Family::Ipv4), VXLAN)]));
    reader.read(&mut state);
    assert_eq!(now(&reader), Some(vec![onlink("192.0.2.2", VXLAN)]));
    assert!(!reader.tunnels.contains_key(&TunnelKind::Ipip));
    assert!(reader.elements.contains_key(&Element::TunnelProtocol(4)), "as long as the device is there");
    state.apply(net(&[(TunnelKind::Vxlan(Family::Ipv4), VXLAN)]));
    reader.read(&mut state);
    assert!(!reader.elements.contains_key(&Element::TunnelProtocol(4)));
    assert!(reader.elements.contains_key(&Element::TunnelPort(4789)));
    assert!(reader.elements.contains_key(&Element::Node(ip("198.51.100.3"))));
}

#[test]
fn either_family_of_pods_travels_over_either_family_of_nodes() {
    let v6_only =
        [node("d", &["2001:db8:1::4"], &[]), affinity("10.0.3.0/26", "d", AffinityState::Confirmed)];
    let pools = [vxlan("10.0.0.0/16", EncapMode::Always), vxlan("fd00::/64", EncapMode::Always)];
    let v4_only =
        [node("e", &["198.51.100.5"], &[]), affinity("fd00::c0/122", "e", AffinityState::Confirmed)];
    let found = with([all()].into_iter().chain(v6_only).chain(v4_only).chain(pools));
    for (block, device) in [("10.0.3.0/26", VXLAN6), ("fd00::c0/122", VXLAN)] {
        let [way] = gateway(&found, block).unwrap() else { panic!("{:?}", found.routes) };
        assert_eq!((way.index, way.onlink, way.address.is_ipv6()), (device, false, true), "{block}");
    }
    // A dual node is named by both kinds of gateway where pods of both families may go to it over IPv4, but not else.
    let peer = |kind, address: &str| &found.peers[&(kind, ip(address))];
    assert_eq!(peer(TunnelKind::Vxlan(Family::Ipv4), "192.0.2.2").gateways, [ip("192.0.2.2")]);
    let local = peer(TunnelKind::Vxlan(Family::Ipv4), "198.51.100.5");
    assert_eq!(local.gateways.len(), 2, "{local:?}");
    assert_eq!(local.mac, peer(TunnelKind::Vxlan(Family::Ipv4), "198.51.100.5").mac);
}

#[test]
fn modes_that_cannot_be_had_are_conditions_and_change_nothing() {
    let both = IpPool {
        ipip_mode: EncapMode::Always,
        vxlan_mode: EncapMode::Always,
        ..IpPool::of(prefix("10.0.0.0/16"))
    };
    let found = with([all(), pool("p", both), learned("10.0.1.0/26", &["192.0.2.2"])]);
    assert!(found.has_condition(Reason::EncapsulationRefused, "IPPool/p"));
    assert_eq!(gateway(&found, "10.0.1.0/26"), Some(&[Gateway::on(ip("192.0.2.2"), 2)][..]));
    assert!(found.tunnels.is_empty());
    let found = with([all(), ipip("fd00::/64", EncapMode::Always)]);
    assert!(found.has_condition(Reason::EncapsulationRefused, "IPv4 in IPv4 alone"));
}

#[test]
fn an_unknown_subnet_is_told_and_every_node_counts_as_behind_another() {
    let cluster = [
        node("a", &["203.0.113.1"], &[]),
        node("b", &["192.0.2.2"], &[]),
        affinity("10.0.1.0/26", "b", AffinityState::Confirmed),
        all(),
        vxlan("10.0.0.0/16", EncapMode::CrossSubnet),
    ];
    let found = derived(cluster);
    assert!(found.has_condition(Reason::SubnetUnknown, "203.0.113.1"), "{:?}", found.conditions);
    assert_eq!(gateway(&found, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", VXLAN)][..]));
    let cluster = [node("a", &["2001:db8::1"], &[]), all(), ipip("10.0.0.0/16", EncapMode::Always)];
    let found = derived(cluster);
    assert!(
        found.has_condition(Reason::AddressUnknown, "IP-in-IP that carry ipv4"),
        "{:?}",
        found.conditions
    );
}

#[test]
fn the_mtu_is_that_of_the_paths_less_what_is_added() {
    let mtus = |facts: Vec<Update>| {
        let found = with(facts);
        let tunnels: Vec<_> = found.tunnels.values().map(|tunnel| tunnel.mtu).collect();
        (found.settings.unwrap().mtu.unwrap(), tunnels)
    };
    assert_eq!(mtus(vec![all()]), (1500, vec![]));
    assert_eq!(mtus(vec![all(), ipip("10.0.0.0/16", EncapMode::Always)]), (1480, vec![1480]));
    let both =
        vec![all(), vxlan("10.0.0.0/16", EncapMode::Always), vxlan("fd00::/64", EncapMode::CrossSubnet)];
    assert_eq!(mtus(both.clone()), (1430, vec![1450, 1430]));

    // The route to node c says less than the link does.
    let Update::Host(mut host) = all() else { unreachable!() };
    for route in host.routes.iter_mut().filter(|route| route.prefix == prefix("0.0.0.0/0")) {
        route.mtu = Some(1400);
    }
    let pool = ipip("10.0.0.0/16", EncapMode::Always);
    assert_eq!(mtus(vec![Update::Host(host), pool.clone()]), (1380, vec![1380]));

    let spec = NodeConfiguration { mtu: Some(9000), ..NodeConfiguration::default() };
    let object = Box::new(Object::new(Metadata::named("default"), spec));
    let configuration = Update::NodeConfiguration("default".to_owned(), Some(object));
    assert_eq!(mtus(vec![all(), pool, configuration]), (9000, vec![9000]));
}

#[test]
fn an_mtu_that_is_said_leaves_room_for_what_is_added() {
    let spec = NodeConfiguration { mtu: Some(65535), ..NodeConfiguration::default() };
    let object = Box::new(Object::new(Metadata::named("default"), spec));
    let said = Update::NodeConfiguration("default".to_owned(), Some(object));
    let plain = with([all(), said.clone()]);
    assert_eq!(plain.settings.unwrap().mtu, Some(65535));
    assert!(!plain.has_condition(Reason::PacketSize, ""));
    let found = with([all(), said, vxlan("10.0.0.0/16", EncapMode::Always)]);
    assert_eq!(found.settings.unwrap().mtu, Some(65485));
    assert_eq!(found.tunnels[&TunnelKind::Vxlan(Family::Ipv4)].mtu, 65485);
    assert!(found.has_condition(Reason::PacketSize, "65485 is in force"), "{:?}", found.conditions);
}

#[test]
fn who_adds_checksums_is_said_for_all_devices_of_vxlan() {
    let pools = || [vxlan("10.0.0.0/16", EncapMode::Always), vxlan("fd00::/64", EncapMode::Always)];
    for (said, offload) in [(None, true), (Some(true), true), (Some(false), false)] {
        let spec = NodeConfiguration { vxlan_checksum_offload: said, ..NodeConfiguration::default() };
        let found = with(pools().into_iter().chain([all(), configuration(spec)]));
        let tunnels: Vec<_> = found.tunnels.values().filter_map(|tunnel| tunnel.vxlan).collect();
        assert_eq!(tunnels.len(), 2);
        assert!(tunnels.iter().all(|vxlan| vxlan.checksum_offload == offload), "{said:?}: {tunnels:?}");
    }
}

#[test]
fn what_ip_needs_and_no_path_carries_is_told() {
    let narrow = |mtu| {
        let Update::Host(mut host) = all() else { unreachable!() };
        host.links.values_mut().for_each(|link| link.mtu = mtu);
        Update::Host(host)
    };
    let device = TunnelKind::Vxlan(Family::Ipv4);
    let four = vxlan("10.0.0.0/16", EncapMode::Always);
    let found = with([narrow(1300), four.clone()]);
    assert_eq!(found.tunnels[&device].mtu, 1250, "IPv4 is content with it");
    assert!(!found.has_condition(Reason::PacketSize, ""), "{:?}", found.conditions);
    let found = with([narrow(1300), four.clone(), vxlan("fd00::/64", EncapMode::Always)]);
    assert_eq!(found.tunnels[&device].mtu, 1280);
    let told = |words| found.has_condition(Reason::PacketSize, words);
    assert!(
        told("cairn-vxlan can carry packets of 1250 bytes") && told("cairn-vxlan6 can carry packets of 1230")
    );

    // Pods of IPv4 between nodes of IPv6: gateways on the device are of IPv6, which Linux switches off where less than 1280 bytes fit.
    let nodes = [node("a", &["2001:db8::1/64"], &[]), node("b", &["2001:db8::2"], &[])];
    let found = derived(nodes.into_iter().chain([narrow(1300), four]));
    assert_eq!(found.tunnels[&TunnelKind::Vxlan(Family::Ipv6)].mtu, 1280);
    assert!(found.has_condition(Reason::PacketSize, "cairn-vxlan6 can carry packets of 1230"));
}

#[test]
fn a_tunnel_has_the_addresses_of_what_it_carries() {
    let pools = [vxlan("10.0.0.0/16", EncapMode::Always), ipip("10.1.0.0/16", EncapMode::Always)];
    let mut state = complete();
    nodes().into_iter().chain([all()]).chain(pools).for_each(|fact| state.apply(fact));
    let mut reader = Reader::default();
    reader.read(&mut state);
    let asked: Vec<_> = state.tunnel_pools().iter().map(|(family, pools)| (*family, &pools.open)).collect();
    assert_eq!(asked, [(Family::Ipv4, &vec!["10.0.0.0/16".to_owned(), "10.1.0.0/16".to_owned()])]);
    state.apply(Update::TunnelAddresses([(Family::Ipv4, ip("10.0.0.7"))].into()));
    assert_eq!(reader.read(&mut state), 2);
    assert!(reader.tunnels.values().all(|tunnel| tunnel.addresses == [ip("10.0.0.7")]));

    // Its pool is plain now, while the other's tunnel stays: the address leaves the device before anybody else may have it.
    state.apply(vxlan("10.0.0.0/16", EncapMode::Never));
    reader.read(&mut state);
    assert!(reader.tunnels.values().all(|tunnel| tunnel.addresses.is_empty()));
}

#[test]
fn a_tunnel_takes_its_address_where_pods_may_and_keeps_it_as_they_do() {
    let spec = |cidr| IpPool { vxlan_mode: EncapMode::Always, ..IpPool::of(prefix(cidr)) };
    let elsewhere = "name == 'b'".parse().unwrap();
    let mut state = complete();
    let pools = [
        pool("closed", IpPool { disabled: true, ..spec("10.0.0.0/16") }),
        pool("here", IpPool { node_selector: "name == 'a'".parse().unwrap(), ..spec("10.1.0.0/16") }),
        pool("there", IpPool { node_selector: elsewhere, ..spec("10.2.0.0/16") }),
    ];
    nodes().into_iter().chain([all()]).chain(pools).for_each(|fact| state.apply(fact));
    state.apply(Update::TunnelAddresses([(Family::Ipv4, ip("10.0.0.7"))].into()));
    let mut reader = Reader::default();
    reader.read(&mut state);
    let asked = &state.tunnel_pools()[&Family::Ipv4];
    assert_eq!(asked.open, ["here"]);
    assert_eq!(asked.fit.keys().collect::<Vec<_>>(), ["closed", "here", "there"]);
    let device = &reader.tunnels[&TunnelKind::Vxlan(Family::Ipv4)];
    assert_eq!(device.addresses, [ip("10.0.0.7")], "of a pool that gives no new ones");
}

#[test]
fn one_node_more_is_a_few_changes_among_many() {
    let mut state = complete();
    let mut reader = Reader::default();
    let block = |number: u32| format!("10.{}.{}.0/26", number / 250, number % 250);
    let far = |number: u32| format!("198.51.{}.{}", number / 250, number % 250);
    for fact in [node("a", &["192.0.2.1/24"], &[]), all(), vxlan("10.0.0.0/8", EncapMode::Always)] {
        state.apply(fact);
    }
    for number in 0..2000 {
        state.apply(node(&format!("n{number}"), &[&far(number)], &[]));
        state.apply(affinity(&block(number), &format!("n{number}"), AffinityState::Confirmed));
    }
    reader.read(&mut state);
    assert_eq!((reader.routes.len(), reader.peers.len()), (2000, 2000));
    state.apply(node("new", &["198.51.100.250"], &[]));
    state.apply(affinity("10.99.0.0/26", "new", AffinityState::Confirmed));
    assert_eq!(reader.read(&mut state), 4, "an element, the peer, the route, the document of bgpd");
}

#[test]
fn the_old_encapsulation_lives_with_all_its_peers_until_the_new_one_is_there() {
    let old = TunnelKind::Vxlan(Family::Ipv4);
    let facts = |tunnels: &[(TunnelKind, u32)]| with([net(tunnels), ipip("10.0.0.0/16", EncapMode::Always)]);
    let meanwhile = facts(&[(old, VXLAN)]);
    assert!(meanwhile.tunnels.contains_key(&old) && meanwhile.tunnels.contains_key(&TunnelKind::Ipip));
    assert_eq!(meanwhile.peers.keys().filter(|(kind, _)| *kind == old).count(), 2, "{:?}", meanwhile.peers);
    assert_eq!(gateway(&meanwhile, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", VXLAN)][..]));
    let after = facts(&[(old, VXLAN), (TunnelKind::Ipip, IPIP)]);
    assert!(!after.tunnels.contains_key(&old) && after.peers.is_empty(), "{:?}", after.peers);
    assert_eq!(gateway(&after, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", IPIP)][..]));
}

#[test]
fn of_two_nodes_with_one_address_the_first_by_name_has_it_and_the_other_is_told() {
    let twin = node("d", &["192.0.2.2", "2001:db8::4"], &[]);
    let found = with([twin, all(), vxlan("10.0.0.0/16", EncapMode::Always)]);
    let one = with([all(), vxlan("10.0.0.0/16", EncapMode::Always)]);
    let key = (TunnelKind::Vxlan(Family::Ipv4), ip("192.0.2.2"));
    assert_eq!(found.peers[&key].mac, one.peers[&key].mac);
    let told = found.conditions.keys().map(|condition| (&*condition.subject, condition.reason));
    assert!(told.clone().any(|told| told == ("Node/d", Reason::Ambiguous)), "{:?}", found.conditions);
}

/// Node `a` after a restart: pools, the other nodes and what BGP says are told before what the NodeConfiguration says.
#[test]
fn what_is_half_read_after_a_restart_changes_neither_tunnels_nor_what_leads_into_them() {
    let mut state = State::new("a", "cairn-system");
    let mut reader = Reader::default();
    let settings = NodeConfiguration {
        vxlan_port: Some(4790),
        vxlan_vni: Some(77),
        mtu: Some(1300),
        ..NodeConfiguration::default()
    };
    let kind = TunnelKind::Vxlan(Family::Ipv4);
    let Update::Host(mut there) = net(&[(kind, VXLAN)]) else { unreachable!() };
    there.tunnels.insert(kind, HostTunnel { index: VXLAN, port: 4790 });
    let facts = [learned("10.0.1.0/26", &["192.0.2.2"]), learned("10.9.0.0/26", &["192.0.2.254"])];
    let last = [
        vxlan("10.0.0.0/16", EncapMode::Always),
        Update::NodeConfiguration(
            "default".to_owned(),
            Some(Box::new(Object::new(Metadata::named("default"), settings))),
        ),
    ];
    let early =
        nodes().into_iter().chain(facts).chain([Update::Host(there), endpoint("crn1", &["10.0.7.1"])]);
    for fact in early.chain(last) {
        state.apply(fact);
        reader.read(&mut state);
        let given = (&reader.settings, reader.tunnels.len(), reader.peers.len());
        assert_eq!(given, (&None, 0, 0));
        assert!(
            !reader.routes.values().any(|route| matches!(route, Route::Gateways(_))),
            "{:?}",
            reader.routes
        );
        assert!(!reader.elements.contains_key(&Element::TunnelPort(4789)), "a port that is somebody else's");
    }
    assert!(reader.routes.contains_key(&prefix("10.0.7.1/32")), "pods of this node need nobody else");
    assert!(reader.elements.contains_key(&Element::TunnelPort(4790)), "that of the device");

    state.apply(Update::Complete);
    reader.read(&mut state);
    let tunnel = &reader.tunnels[&kind];
    let vxlan = tunnel.vxlan.unwrap();
    assert_eq!((vxlan.port, vxlan.vni, tunnel.mtu), (4790, 77, 1300));
    assert_eq!(reader.settings.unwrap().mtu, Some(1300));
    assert_eq!(gateway(&reader, "10.0.1.0/26"), Some(&[onlink("192.0.2.2", VXLAN)][..]));
    assert_eq!(gateway(&reader, "10.9.0.0/26"), Some(&[Gateway::on(ip("192.0.2.254"), 2)][..]));
    assert_eq!(reader.peers.len(), 2);
}

#[test]
fn without_a_tunnel_in_the_kernel_bgp_needs_no_datastore() {
    let mut state = State::new("a", "cairn-system");
    let mut reader = Reader::default();
    state.apply(net(&[]));
    state.apply(learned("10.9.0.0/26", &["192.0.2.254"]));
    reader.read(&mut state);
    assert_eq!(gateway(&reader, "10.9.0.0/26"), Some(&[Gateway::on(ip("192.0.2.254"), 2)][..]));
}
