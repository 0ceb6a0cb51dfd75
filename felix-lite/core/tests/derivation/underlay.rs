//! Pools whose pods are in the network that the node is in.

use cairn_api::kinds::{
    AffinityState, Attachment, AttachmentMode, EncapMode, IpPool, IpvlanMode, UnderlayKind, UnencryptedPeers,
};
use felix_core::{Element, Host, HostLink, PoolAttachment, Reason, Route, State, Underlay, Update};

use crate::wireguard::configuration;
use crate::world::{MAC, Reader, affinity, complete, endpoint, host, ip, node, pool, prefix};

const RANGE: &str = "192.0.2.128/26";

fn macvlan() -> Attachment {
    Attachment { mode: AttachmentMode::Macvlan, ..Attachment::default() }
}

fn ipvlan(mode: IpvlanMode) -> Attachment {
    Attachment { mode: AttachmentMode::Ipvlan, ipvlan_mode: Some(mode), ..Attachment::default() }
}

fn attached(cidr: &str, attachment: Attachment) -> IpPool {
    IpPool { attachment, ..IpPool::of(prefix(cidr)) }
}

/// Node `a` in 192.0.2.0/24 and 2001:db8::/64, with routers.
fn world(pools: impl IntoIterator<Item = Update>) -> (State, Reader) {
    let mut state = complete();
    state.apply(node("a", &["192.0.2.1", "2001:db8::1"], &[]));
    state.apply(host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254", "fe80::fe"]));
    pools.into_iter().for_each(|pool| state.apply(pool));
    let mut reader = Reader::default();
    reader.read(&mut state);
    (state, reader)
}

fn underlay(state: &State, pool: &str) -> Underlay {
    match state.attachments().get(pool) {
        Some(PoolAttachment::Underlay(underlay)) => underlay.clone(),
        other => panic!("{pool} is {other:?}"),
    }
}

fn unavailable(state: &State, pool: &str) -> String {
    match state.attachments().get(pool) {
        Some(PoolAttachment::Unavailable(why)) => why.clone(),
        other => panic!("{pool} is {other:?}"),
    }
}

fn with_link(state: &mut State, link: HostLink) {
    let Update::Host(known) = host(&[("192.0.2.1", 24)], &[]) else { panic!("a host") };
    state.apply(Update::Host(Box::new(Host { links: [(2, link)].into(), ..*known })));
}

#[test]
fn interface_subnet_and_router_follow_from_the_node() {
    let six = attached("2001:db8::1:0/112", macvlan());
    let (state, reader) = world([pool("four", attached(RANGE, macvlan())), pool("six", six)]);
    let four = underlay(&state, "four");
    let wanted = Underlay {
        kind: UnderlayKind::Macvlan,
        index: 2,
        interface: "eth0".to_owned(),
        mac: Some(MAC),
        mtu: 1500,
        subnet: Some(prefix("192.0.2.0/24")),
        gateway: Some(ip("192.0.2.254")),
        node: vec![ip("192.0.2.1")],
    };
    assert_eq!(four, wanted);
    let six = underlay(&state, "six");
    assert_eq!((six.subnet, six.gateway), (Some(prefix("2001:db8::/64")), Some(ip("fe80::fe"))));
    assert!(
        reader.conditions.is_empty(),
        "a pool in the node's subnet is what is meant: {:?}",
        reader.conditions
    );
    assert!(reader.drivers.0.contains(&AttachmentMode::Macvlan));

    let said =
        Attachment { gateway: Some(ip("192.0.2.9")), subnet: Some(prefix("192.0.2.0/25")), ..macvlan() };
    let (state, _) = world([pool("four", attached("192.0.2.64/26", said))]);
    let four = underlay(&state, "four");
    assert_eq!((four.subnet, four.gateway), (Some(prefix("192.0.2.0/25")), Some(ip("192.0.2.9"))));
}

#[test]
fn blocks_on_the_link_are_neither_announced_nor_blackholed_and_those_behind_the_node_are_both() {
    let facts = |attachment| {
        [
            pool("p", attached(RANGE, attachment)),
            affinity("192.0.2.128/29", "a", AffinityState::Confirmed),
            endpoint("crn1", &["192.0.2.129"]),
        ]
    };
    for attachment in [macvlan(), ipvlan(IpvlanMode::L2)] {
        let (_, reader) = world(facts(attachment));
        assert!(reader.announced.is_empty(), "{:?}", reader.announced);
        assert_eq!(reader.routes.keys().copied().collect::<Vec<_>>(), [prefix("192.0.2.129/32")]);
    }
    for attachment in [ipvlan(IpvlanMode::L3), ipvlan(IpvlanMode::L3S), Attachment::default()] {
        let (_, reader) = world(facts(attachment));
        assert!(reader.announced.contains_key(&prefix("192.0.2.128/29")));
        assert_eq!(reader.routes[&prefix("192.0.2.128/29")], Route::Blackhole);
    }
    // The attachment changes while the block is there.
    let (mut state, mut reader) = world(facts(Attachment::default()));
    state.apply(pool("p", attached(RANGE, macvlan())));
    reader.read(&mut state);
    assert!(reader.announced.is_empty() && reader.routes.len() == 1, "{:?}", reader.routes);
}

/// Node `a` after a restart, whose blocks are told before the pools that they are of.
#[test]
fn a_block_leads_nowhere_only_once_its_pool_is_known() {
    for (attachment, blackholed) in [(macvlan(), false), (ipvlan(IpvlanMode::L3), true)] {
        let mut state = State::new("a", "cairn-system");
        let mut reader = Reader::default();
        let early = [
            node("a", &["192.0.2.1"], &[]),
            host(&[("192.0.2.1", 24)], &["192.0.2.254"]),
            affinity("192.0.2.128/29", "a", AffinityState::Confirmed),
            endpoint("crn1", &["192.0.2.129"]),
        ];
        let pod = prefix("192.0.2.129/32");
        for fact in early.into_iter().chain([pool("p", attached(RANGE, attachment))]) {
            state.apply(fact);
            reader.read(&mut state);
            assert!(reader.routes.keys().all(|route| *route == pod), "{:?}", reader.routes);
        }
        state.apply(Update::Complete);
        reader.read(&mut state);
        assert!(reader.routes.contains_key(&pod));
        let route = reader.routes.get(&prefix("192.0.2.128/29"));
        assert_eq!(route, blackholed.then_some(&Route::Blackhole));
    }
}

#[test]
fn what_cannot_be_had_says_why() {
    let far = Attachment { interface: Some("eth7".to_owned()), ..macvlan() };
    let elsewhere = attached("198.51.100.0/26", macvlan());
    let pools = [
        pool("far", attached("203.0.113.0/26", far)),
        pool("outside", elsewhere),
        pool("own", attached("192.0.2.0/26", macvlan())),
        pool("router", attached("192.0.2.192/26", macvlan())),
    ];
    let (state, reader) = world(pools);
    for (name, words) in [
        ("far", "there is no interface eth7"),
        ("outside", "no subnet of eth0 is around 198.51.100.0/26"),
        ("own", "has the address 192.0.2.1 of this node's eth0"),
        ("router", "the router 192.0.2.254 is in 192.0.2.192/26"),
    ] {
        let why = unavailable(&state, name);
        assert!(why.contains(words), "{name}: {why}");
        assert!(reader.has_condition(Reason::AttachmentUnavailable, &why), "{:?}", reader.conditions);
    }
}

#[test]
fn an_interface_that_others_use_serves_no_pods() {
    let link = |master: Option<&str>, mac, wireless| HostLink {
        name: "eth0".to_owned(),
        mtu: 1500,
        mac,
        master: master.map(ToOwned::to_owned),
        wireless,
        strict: false,
    };
    let (mut state, _) = world([pool("p", attached(RANGE, macvlan()))]);
    for (link, words) in [
        (link(Some("bridge"), Some(MAC), false), "eth0 is a port of a bridge"),
        (link(None, None, false), "eth0 is no Ethernet interface"),
        (link(None, Some(MAC), true), "eth0 is wireless"),
    ] {
        with_link(&mut state, link);
        state.changes();
        assert!(unavailable(&state, "p").contains(words), "{}", unavailable(&state, "p"));
    }
    with_link(&mut state, link(Some("vrf"), Some(MAC), false));
    state.changes();
    underlay(&state, "p");
}

#[test]
fn a_driver_that_the_kernel_lacks_is_told_of() {
    let (mut state, _) = world([pool("p", attached(RANGE, ipvlan(IpvlanMode::L2)))]);
    underlay(&state, "p");
    let Update::Host(known) = host(&[("192.0.2.1", 24)], &[]) else { panic!("a host") };
    state.apply(Update::Host(Box::new(Host { lacking: [AttachmentMode::Ipvlan].into(), ..*known })));
    state.changes();
    assert!(unavailable(&state, "p").contains("the kernel has no ipvlan (module ipvlan)"));
}

#[test]
fn an_interface_carries_one_kind_of_attachment() {
    let pools = [
        pool("a", attached("192.0.2.128/27", ipvlan(IpvlanMode::L2))),
        pool("b", attached("192.0.2.160/27", ipvlan(IpvlanMode::L3))),
        pool("c", attached("192.0.2.192/27", ipvlan(IpvlanMode::L2))),
    ];
    let (state, _) = world(pools);
    assert_eq!(underlay(&state, "a").index, underlay(&state, "c").index);
    assert!(unavailable(&state, "b").contains("eth0 carries pods of IPPool/a by IPVLAN L2"));
}

#[test]
fn with_a_tunnel_or_masquerade_pods_stay_routed_and_are_masqueraded() {
    let both = IpPool { vxlan_mode: EncapMode::Always, ..attached("10.0.0.0/16", macvlan()) };
    let nat = IpPool { nat_outgoing: true, ..attached("10.1.0.0/16", macvlan()) };
    let (state, reader) = world([pool("both", both), pool("nat", nat)]);
    for name in ["both", "nat"] {
        assert_eq!(state.attachments().get(name), Some(&PoolAttachment::Routed));
        let words = format!("IPPool/{name}");
        assert!(reader.has_condition(Reason::AttachmentUnavailable, &words), "{:?}", reader.conditions);
    }
    assert!(reader.has_condition(Reason::EncapsulationRefused, "passes no tunnel of the node"));
    assert!(reader.elements.contains_key(&Element::Masquerade(prefix("10.1.0.0/16"))));
}

#[test]
fn a_node_that_the_pool_does_not_select_has_nothing_to_say() {
    let elsewhere = IpPool { node_selector: "name == 'b'".parse().unwrap(), ..attached(RANGE, macvlan()) };
    let (state, reader) = world([pool("p", elsewhere)]);
    assert!(state.attachments().is_empty() && reader.conditions.is_empty() && reader.drivers.0.is_empty());
}

#[test]
fn pods_that_pass_by_the_node_are_left_out_of_encryption() {
    let routed = pool("routed", IpPool::of(prefix("10.0.0.0/16")));
    let l3 = pool("l3", attached("10.1.0.0/16", ipvlan(IpvlanMode::L3)));
    let (_, reader) = world([routed, l3, configuration(UnencryptedPeers::Refuse)]);
    assert!(reader.elements.contains_key(&Element::Encrypted(prefix("10.0.0.0/16"))));
    assert!(
        !reader.elements.contains_key(&Element::Encrypted(prefix("10.1.0.0/16"))),
        "it is sent in clear text"
    );
    assert!(!reader.routes.contains_key(&prefix("10.1.0.0/16")), "{:?}", reader.routes);
}
