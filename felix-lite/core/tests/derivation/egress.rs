use std::collections::BTreeMap;

use cairn_api::core::{Namespace, Pod};
use cairn_api::kinds::{
    AffinityState, EgressGateway, EgressGatewayStatus, EgressMembers, GatewayMembers, IpPool,
};
use cairn_api::{Metadata, Object, Selector};
use cairn_net::{Bandwidth, Family};
use felix_core::{Detour, EGRESS_MARKS, Element, Endpoint, Gateway, Reason, Route, Update};

use crate::world::{Reader, affinity, complete, derived, host, ip, learned, node, pool, prefix};

pub(crate) fn gateway(
    name: &str,
    addresses: &[&str],
    node: Option<&str>,
    change: impl FnOnce(&mut EgressGateway),
) -> Update {
    let mut spec = EgressGateway {
        egress_ips: addresses.iter().map(|address| ip(address)).collect(),
        namespace_selector: Selector::default(),
        pod_selector: "app == 'bill'".parse().unwrap(),
        destination_cidrs: Vec::new(),
        excluded_cidrs: Vec::new(),
        node_selector: "name in {'a', 'b'}".parse().unwrap(),
    };
    change(&mut spec);
    let mut object = Object::new(Metadata::named(name), spec);
    object.status =
        Some(EgressGatewayStatus { node: node.map(ToOwned::to_owned), ..EgressGatewayStatus::default() });
    Update::EgressGateway(name.to_owned(), Some(Box::new(object)))
}

fn labelled(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn pod(name: &str, app: &str, addresses: &[&str]) -> [Update; 2] {
    let mut object = Object::new(Metadata::named(name), Pod::default());
    object.metadata.labels = labelled("app", app);
    let endpoint = Endpoint {
        interface: format!("crn{name}"),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        owner: format!("shop/{name}"),
        enforceable: true,
        host_ports: Vec::new(),
        bandwidth: Bandwidth::default(),
    };
    [
        Update::Pod(format!("shop/{name}"), Some(Box::new(object))),
        Update::Endpoint(endpoint.interface.clone(), Some(endpoint)),
    ]
}

fn members(node: &str, gateway: &str, addresses: &[&str]) -> Update {
    let addresses = addresses.iter().map(|address| ip(address)).collect();
    let spec = EgressMembers { members: vec![GatewayMembers { gateway: gateway.to_owned(), addresses }] };
    Update::EgressMembers(node.to_owned(), Some(Box::new(Object::new(Metadata::named(node), spec))))
}

/// Nodes `a` (this one), `b` and `c` on one link, and two pods.
fn cluster() -> Vec<Update> {
    let mut facts = vec![
        node("a", &["192.0.2.1", "2001:db8::1"], &[]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
        node("c", &["192.0.2.3", "2001:db8::3"], &[]),
        host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254"]),
        pool("four", IpPool::of(prefix("10.0.0.0/16"))),
        pool("six", IpPool::of(prefix("fd00::/48"))),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
    ];
    facts.extend(pod("bill", "bill", &["10.0.0.1", "fd00::1"]));
    facts.extend(pod("other", "other", &["10.0.0.2", "fd00::2"]));
    facts
}

fn with(facts: impl IntoIterator<Item = Update>) -> Reader {
    derived(cluster().into_iter().chain(facts))
}

/// The mark of a member, if it has one.
fn mark_of(reader: &Reader, member: &str) -> Option<u32> {
    reader.elements.keys().find_map(|element| match element {
        Element::EgressMember { address, mark } if *address == ip(member) => Some(*mark),
        _ => None,
    })
}

#[test]
fn a_pod_is_led_to_the_node_that_has_the_address() {
    let found = with([gateway("g", &["203.0.113.1", "2001:db8:9::1"], Some("b"), |spec| {
        spec.excluded_cidrs = vec![prefix("198.51.100.0/24")];
    })]);
    let mark = mark_of(&found, "10.0.0.1").expect("it is selected");
    assert_eq!((mark & EGRESS_MARKS, mark_of(&found, "fd00::1")), (mark, Some(mark)));
    assert_eq!(mark_of(&found, "10.0.0.2"), None, "its labels are others");
    for element in [
        Element::EgressDestination { mark, prefix: prefix("0.0.0.0/0") },
        Element::EgressDestination { mark, prefix: prefix("::/0") },
        Element::EgressExcluded { mark, prefix: prefix("198.51.100.0/24") },
        Element::EgressExempt(prefix("10.0.0.0/16")),
        Element::EgressExempt(prefix("192.0.2.3/32")),
    ] {
        assert!(found.elements.contains_key(&element), "{element:?}: {:?}", found.elements);
    }
    let here = |element: &Element| matches!(element, Element::EgressAddress { .. });
    assert!(!found.elements.keys().any(here) && found.announced.len() == 3, "{:?}", found.announced);
    let ways: Vec<_> =
        found.detours.iter().map(|((family, slot), way)| (*family, slot.mark(), *way)).collect();
    let to = |address| Detour::Gateway(Gateway::on(ip(address), 2));
    assert_eq!(ways, [(Family::Ipv4, mark, to("192.0.2.2")), (Family::Ipv6, mark, to("2001:db8::2"))]);
}

#[test]
fn the_node_that_has_the_address_announces_it_and_knows_the_pods_of_others() {
    let found = with([
        gateway("g", &["203.0.113.1"], Some("a"), |spec| {
            spec.destination_cidrs = vec![prefix("198.51.100.0/24")];
        }),
        members("c", "g", &["10.0.9.9", "fd00::9"]),
        members("a", "g", &["10.0.0.77"]),
    ]);
    let mark = mark_of(&found, "10.0.0.1").expect("its own pod");
    assert_eq!((mark_of(&found, "10.0.9.9"), mark_of(&found, "fd00::9")), (Some(mark), None));
    assert_eq!(mark_of(&found, "10.0.0.77"), None, "what it wrote itself is not news");
    let address = ip("203.0.113.1");
    assert!(found.elements.contains_key(&Element::EgressAddress { mark, address }));
    assert!(
        found.elements.contains_key(&Element::EgressDestination { mark, prefix: prefix("198.51.100.0/24") })
    );
    assert!(found.detours.is_empty());
    let host = prefix("203.0.113.1/32");
    assert_eq!(found.announced[&host].next_hop, Some(ip("192.0.2.1")));
    assert_eq!(found.routes[&host], Route::Blackhole, "what is no answer goes nowhere");
}

#[test]
fn while_nobody_that_is_reached_has_the_address_packets_are_refused() {
    for node in [None, Some("gone")] {
        let found = with([gateway("g", &["203.0.113.1"], node, |_| {})]);
        assert!(mark_of(&found, "10.0.0.1").is_some());
        assert_eq!(found.detours.values().collect::<Vec<_>>(), [&Detour::Refused]);
        assert_eq!(found.has_condition(Reason::NextHopUnreachable, "Node/gone"), node.is_some());
    }
    // Behind a router, who would send the packets elsewhere.
    let far = [node("b", &["198.51.100.2"], &[]), gateway("g", &["203.0.113.1"], Some("b"), |_| {})];
    let found = with(far);
    assert_eq!(found.detours.values().collect::<Vec<_>>(), [&Detour::Refused]);
    assert!(found.has_condition(Reason::NextHopUnreachable, "is on no link of this node"));
}

#[test]
fn addresses_of_others_are_not_taken_for_a_gateways() {
    for (address, words) in [
        ("10.0.7.7", "in the range of IPPool/four"),
        ("192.0.2.3", "that of Node/c"),
        ("203.0.113.9", "that of EgressGateway/first, too"),
    ] {
        let found = with([
            gateway("first", &["203.0.113.9"], None, |spec| {
                spec.pod_selector = "app == 'none'".parse().unwrap();
            }),
            gateway("g", &[address], Some("a"), |_| {}),
        ]);
        assert!(found.conditions.keys().any(|found| found.message.contains(words)), "{:?}", found.conditions);
        assert_eq!(mark_of(&found, "10.0.0.1"), None);
        assert!(!found.announced.contains_key(&prefix(&format!("{address}/32"))));
    }
}

#[test]
fn a_pod_has_one_gateway_and_namespaces_select_too() {
    let mut namespace = Object::new(Metadata::named("shop"), Namespace::default());
    namespace.metadata.labels = labelled("team", "pay");
    let of_team = |team: &str| {
        let team = format!("team == '{team}'");
        move |spec: &mut EgressGateway| {
            spec.namespace_selector = team.parse().unwrap();
            spec.pod_selector = Selector::default();
        }
    };
    let mut state = complete();
    let mut reader = Reader::default();
    for fact in cluster().into_iter().chain([
        Update::Namespace("shop".to_owned(), Some(Box::new(namespace))),
        gateway("by-label", &["203.0.113.1"], Some("a"), |_| {}),
        gateway("by-team", &["203.0.113.2"], Some("a"), of_team("pay")),
        gateway("by-other", &["203.0.113.3"], Some("a"), of_team("other")),
    ]) {
        state.apply(fact);
    }
    reader.read(&mut state);
    let members = state.egress_members();
    assert_eq!(members.keys().collect::<Vec<_>>(), ["by-label", "by-team"]);
    assert_eq!(members["by-team"].iter().collect::<Vec<_>>(), [&ip("10.0.0.2")]);
    assert!(
        reader.has_condition(Reason::Ambiguous, "EgressGateway/by-team: Ambiguous: it selects pod shop/bill")
    );
    // A pod that loses its labels leaves; the others' marks stay.
    let before = mark_of(&reader, "10.0.0.2");
    state.apply(Update::Pod("shop/bill".to_owned(), None));
    reader.read(&mut state);
    assert_eq!(mark_of(&reader, "10.0.0.2"), before);
    assert_eq!(mark_of(&reader, "10.0.0.1"), before, "its namespace's now");
}

#[test]
fn claims_say_who_may_have_the_addresses_and_whether_they_are_announced() {
    let mut state = complete();
    let facts = [
        gateway("g", &["203.0.113.1"], Some("b"), |_| {}),
        gateway("h", &["203.0.113.2"], None, |spec| spec.node_selector = "name == 'c'".parse().unwrap()),
        learned("203.0.113.1/32", &["192.0.2.2"]),
    ];
    cluster().into_iter().chain(facts).for_each(|fact| state.apply(fact));
    state.changes();
    let claims = state.egress_claims();
    let found = |name: &str| (claims[name].candidate, claims[name].node.clone(), claims[name].announced);
    assert_eq!(found("g"), (true, Some("b".to_owned()), true));
    assert_eq!(claims["g"].rank, 0, "it is the only other candidate");
    assert_eq!(found("h"), (false, None, false));
    state.apply(Update::Learned(prefix("203.0.113.1/32"), None));
    state.changes();
    assert!(!state.egress_claims()["g"].announced);
}
