use cairn_api::kinds::{IpPool, NatOutgoingExclusions, NodeConfiguration};
use felix_core::{Element, Nat, Reason, Update};

use crate::world::{Reader, complete, configuration, derived, endpoint, host, ip, node, pool, prefix};

fn nat(cidr: &str) -> IpPool {
    IpPool { nat_outgoing: true, ..IpPool::of(prefix(cidr)) }
}

#[test]
fn each_address_of_a_pod_is_a_source_of_its_interface_alone() {
    let mut state = complete();
    let mut reader = Reader::default();
    state.apply(endpoint("crn1", &["10.0.0.1", "fd00::1"]));
    assert_eq!(
        reader.read(&mut state),
        1 + 1 + 2 + 2 + 2 + 1,
        "settings, translation, sources, routes, announcements, a condition"
    );
    let source =
        |interface: &str, address| Element::Source { interface: interface.into(), address: ip(address) };
    assert!(reader.elements.contains_key(&source("crn1", "10.0.0.1")));
    assert!(reader.elements.contains_key(&source("crn1", "fd00::1")));
    state.apply(Update::Endpoint("crn1".to_owned(), None));
    state.apply(endpoint("crn2", &["10.0.0.1"]));
    reader.read(&mut state);
    assert_eq!(reader.elements.into_keys().collect::<Vec<_>>(), [source("crn2", "10.0.0.1")]);
}

#[test]
fn what_leaves_all_pools_from_a_natted_one_is_masqueraded() {
    let found = derived([pool("a", nat("10.0.0.0/16")), pool("b", IpPool::of(prefix("fd00::/64")))]);
    let expected = [
        Element::Pool(prefix("10.0.0.0/16")),
        Element::Pool(prefix("fd00::/64")),
        Element::Masquerade(prefix("10.0.0.0/16")),
    ];
    assert_eq!(found.elements.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn overlapping_pools_are_reported_and_their_elements_do_not_overlap() {
    let found = derived([pool("a", IpPool::of(prefix("10.0.0.0/16"))), pool("b", nat("10.0.1.0/24"))]);
    let expected = [Element::Pool(prefix("10.0.0.0/16")), Element::Masquerade(prefix("10.0.1.0/24"))];
    assert_eq!(found.elements.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(found.has_condition(Reason::CidrOverlap, "10.0.1.0/24 of IPPool/b"));
}

#[test]
fn a_pool_that_overlaps_the_nodes_subnet_is_reported() {
    let cluster =
        [node("a", &["10.0.0.1"], &[]), host(&[("10.0.0.1", 24)], &[]), pool("a", nat("10.0.0.0/16"))];
    assert!(derived(cluster).has_condition(Reason::CidrOverlap, "10.0.0.0/24 of interface eth0"));
}

#[test]
fn excluded_destinations_count_as_pools() {
    let cluster = [
        pool("a", nat("10.0.0.0/16")),
        node("a", &["192.0.2.1"], &[]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
    ];
    let excluded = NodeConfiguration {
        nat_outgoing_excluded_cidrs: Some(vec![prefix("172.16.0.0/12"), prefix("10.0.3.0/24")]),
        ..NodeConfiguration::default()
    };
    let pools = |spec: NodeConfiguration| {
        let found = derived(cluster.clone().into_iter().chain([configuration(spec)]));
        let pool = |element: &Element| match element {
            Element::Pool(prefix) => Some(prefix.to_string()),
            _ => None,
        };
        found.elements.keys().filter_map(pool).collect::<Vec<_>>()
    };
    assert_eq!(pools(excluded.clone()), ["10.0.0.0/16", "172.16.0.0/12"]);
    let with_hosts = NodeConfiguration {
        nat_outgoing_exclusions: Some(NatOutgoingExclusions::IpPoolsAndHostIps),
        ..excluded
    };
    let expected = ["10.0.0.0/16", "172.16.0.0/12", "192.0.2.1/32", "192.0.2.2/32", "2001:db8::2/128"];
    assert_eq!(pools(with_hosts), expected);
}

#[test]
fn what_leaves_the_pools_gets_an_address_of_the_node() {
    let of = |address: &str| {
        configuration(NodeConfiguration {
            nat_outgoing_address: Some(address.parse().unwrap()),
            nat_port_range: Some("40000:49999".parse().unwrap()),
            nat_random_fully: Some(false),
            ..NodeConfiguration::default()
        })
    };
    let cluster = |address| {
        [node("a", &["192.0.2.1"], &[]), host(&[("192.0.2.1", 24), ("192.0.2.8", 24)], &[]), of(address)]
    };
    for own in ["192.0.2.1", "192.0.2.8"] {
        let found = derived(cluster(own));
        let ports = Some("40000:49999".parse().unwrap());
        assert_eq!(found.nat, Some(Nat { addresses: [Some(ip(own)), None], ports, random: false }));
    }
    let found = derived(cluster("192.0.2.9"));
    assert_eq!(found.nat.unwrap().addresses, [None; 2]);
    assert!(found.has_condition(Reason::AddressUnknown, "natOutgoingAddress 192.0.2.9"));
    assert_eq!(derived([]).nat, Some(Nat::default()));
}

#[test]
fn a_node_without_an_address_to_masquerade_with_says_so() {
    let six = host(&[("2001:db8::1", 64)], &[]);
    let found = derived([six, pool("v4", nat("10.0.0.0/16")), pool("v6", nat("fd00::/64"))]);
    assert!(
        found.has_condition(
            Reason::AddressUnknown,
            "IPPool/v4: AddressUnknown: natOutgoing, but no interface"
        )
    );
    assert!(!found.has_condition(Reason::AddressUnknown, "IPPool/v6"));
    assert!(
        found.elements.contains_key(&Element::Masquerade(prefix("10.0.0.0/16"))),
        "nothing leaves as it is"
    );
}
