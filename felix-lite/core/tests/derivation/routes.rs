use cairn_api::kinds::AffinityState;
use cairn_net::Prefix;
use felix_core::{Gateway, NextHop, Reason, Route, Update};

use crate::world::{Reader, affinity, complete, derived, endpoint, host, ip, learned, node, prefix};

fn base() -> Vec<Update> {
    vec![
        node("a", &["192.0.2.1/24", "2001:db8::1/64"], &[]),
        host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254", "2001:db8::fe"]),
    ]
}

fn with(facts: impl IntoIterator<Item = Update>) -> Reader {
    derived(base().into_iter().chain(facts))
}

fn via(gateways: &[&str]) -> Route {
    Route::Gateways(gateways.iter().map(|gateway| Gateway::on(ip(gateway), 2)).collect())
}

fn route<'a>(reader: &'a Reader, text: &str) -> Option<&'a Route> {
    reader.routes.get(&prefix(text))
}

#[test]
fn a_next_hop_on_the_link_is_the_gateway() {
    let found = with([learned("10.0.1.0/26", &["192.0.2.2"]), learned("fd00::/122", &["2001:db8::2"])]);
    assert_eq!(route(&found, "10.0.1.0/26"), Some(&via(&["192.0.2.2"])));
    assert_eq!(route(&found, "fd00::/122"), Some(&via(&["2001:db8::2"])));
}

#[test]
fn a_link_local_next_hop_is_the_gateway_on_its_interface_for_either_family() {
    let hops = || [7, 8].map(|index| NextHop { address: ip("fe80::1"), index: Some(index) }).to_vec();
    let found = with(["10.0.1.0/26", "fd00::/122"].map(|text| Update::Learned(prefix(text), Some(hops()))));
    let gateways = [7, 8].map(|index| Gateway::on(ip("fe80::1"), index));
    for text in ["10.0.1.0/26", "fd00::/122"] {
        assert_eq!(route(&found, text), Some(&Route::Gateways(gateways.into())));
    }
    // Without its interface it leads nowhere.
    assert_eq!(route(&with([learned("10.0.1.0/26", &["fe80::1"])]), "10.0.1.0/26"), None);
}

#[test]
fn an_ipv4_route_may_have_an_ipv6_gateway() {
    let found = with([learned("10.0.1.0/26", &["2001:db8::2"])]);
    assert_eq!(route(&found, "10.0.1.0/26"), Some(&via(&["2001:db8::2"])));
}

#[test]
fn equal_cost_next_hops_become_one_multipath_route_in_order() {
    let found = with([learned("10.0.1.0/26", &["192.0.2.9", "192.0.2.2", "192.0.2.9"])]);
    assert_eq!(route(&found, "10.0.1.0/26"), Some(&via(&["192.0.2.2", "192.0.2.9"])));
}

#[test]
fn a_next_hop_behind_a_router_is_replaced_by_the_router() {
    let found = with([learned("10.0.1.0/26", &["198.51.100.7"])]);
    assert_eq!(route(&found, "10.0.1.0/26"), Some(&via(&["192.0.2.254"])));
}

#[test]
fn a_next_hop_is_resolved_through_a_learned_route_where_that_is_longer() {
    let found = with([
        learned("198.51.100.0/24", &["192.0.2.3", "192.0.2.4"]),
        learned("10.0.1.0/26", &["198.51.100.7"]),
    ]);
    assert_eq!(route(&found, "10.0.1.0/26"), Some(&via(&["192.0.2.3", "192.0.2.4"])));
}

#[test]
fn routes_follow_when_the_route_to_their_next_hop_changes() {
    let mut state = complete();
    let mut reader = Reader::default();
    let tor = learned("198.51.100.0/24", &["192.0.2.3"]);
    for fact in base().into_iter().chain([tor, learned("10.0.1.0/26", &["198.51.100.7"])]) {
        state.apply(fact);
    }
    reader.read(&mut state);
    state.apply(learned("198.51.100.0/24", &["192.0.2.4"]));
    assert_eq!(reader.read(&mut state), 2, "the route itself, and the one through it");
    assert_eq!(route(&reader, "10.0.1.0/26"), Some(&via(&["192.0.2.4"])));
    state.apply(Update::Learned(prefix("198.51.100.0/24"), None));
    reader.read(&mut state);
    assert_eq!(route(&reader, "10.0.1.0/26"), Some(&via(&["192.0.2.254"])));
}

#[test]
fn routes_that_only_lead_through_each_other_are_not_installed() {
    let cluster = [
        node("a", &["192.0.2.1/24"], &[]),
        host(&[("192.0.2.1", 24)], &[]),
        learned("198.51.100.0/24", &["203.0.113.1"]),
        learned("203.0.113.0/24", &["198.51.100.1"]),
    ];
    let found = derived(cluster);
    assert!(found.routes.is_empty(), "{:?}", found.routes);
    assert!(found.has_condition(Reason::NextHopUnreachable, "203.0.113.1"));
}

#[test]
fn nothing_takes_over_the_nodes_own_address_or_subnet() {
    let refused = ["192.0.2.1/32", "192.0.2.0/24", "192.0.2.0/25", "2001:db8::1/128"];
    let found = with(refused.map(|text| learned(text, &["192.0.2.254"])));
    assert!(found.routes.is_empty(), "{:?}", found.routes);
    let found = with([learned("0.0.0.0/0", &["192.0.2.254"]), learned("192.0.0.0/16", &["192.0.2.254"])]);
    assert_eq!(found.routes.len(), 2);
}

#[test]
fn a_route_to_this_node_itself_is_not_installed() {
    assert!(with([learned("10.0.1.0/26", &["192.0.2.1"])]).routes.is_empty());
}

#[test]
fn a_pod_wins_over_a_block_and_a_block_over_a_learned_route() {
    let found = with([
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
        affinity("10.0.0.64/32", "a", AffinityState::Confirmed),
        endpoint("crn1", &["10.0.0.5", "10.0.0.64", "fd00::5"]),
        learned("10.0.0.0/26", &["192.0.2.2"]),
        learned("10.0.0.5/32", &["192.0.2.2"]),
    ]);
    let to_pod = Some(&Route::Interface("crn1".into()));
    for text in ["10.0.0.5/32", "10.0.0.64/32", "fd00::5/128"] {
        assert_eq!(route(&found, text), to_pod, "{text}");
    }
    assert_eq!(route(&found, "10.0.0.0/26"), Some(&Route::Blackhole));
    assert!(found.has_condition(Reason::BlockConflict, "10.0.0.0/26"));
}

#[test]
fn only_confirmed_blocks_of_this_node_are_blackholed() {
    let found = with([
        affinity("10.0.0.0/26", "a", AffinityState::Pending),
        affinity("10.0.0.64/26", "a", AffinityState::PendingDeletion),
        affinity("10.0.0.128/26", "b", AffinityState::Confirmed),
    ]);
    assert!(found.routes.is_empty(), "{:?}", found.routes);
}

#[test]
fn one_learned_route_is_one_change_among_many() {
    let mut state = complete();
    base().into_iter().for_each(|fact| state.apply(fact));
    let mut reader = Reader::default();
    for number in 0..10_000u32 {
        let at = std::net::Ipv4Addr::from(0x0a00_0000 + number * 64).into();
        let hops = vec![ip("192.0.2.2").into(), ip("192.0.2.3").into()];
        state.apply(Update::Learned(Prefix::new(at, 26).unwrap(), Some(hops)));
    }
    reader.read(&mut state);
    assert_eq!(reader.routes.len(), 10_000);
    state.apply(learned("10.0.1.0/26", &["192.0.2.3"]));
    assert_eq!(reader.read(&mut state), 1);
    state.apply(Update::Learned(prefix("10.0.1.0/26"), None));
    assert_eq!(reader.read(&mut state), 1);
    assert_eq!(reader.routes.len(), 9_999);
}
