//! Pools whose blocks are the nodes' pod CIDRs.

use cairn_api::kinds::{AffinityState, BlockSource, IpPool};
use felix_core::{Reason, Update};

use crate::world::{Reader, affinity, complete, derived, node_with_pod_cidrs, pool, prefix};

fn by_pod_cidr(cidr: &str) -> IpPool {
    IpPool { block_source: BlockSource::PodCidr, ..IpPool::of(prefix(cidr)) }
}

fn me(pod_cidrs: &[&str]) -> Update {
    node_with_pod_cidrs("a", &["192.0.2.1", "2001:db8::1"], pod_cidrs)
}

fn announced(reader: &Reader) -> Vec<String> {
    reader.announced.keys().map(ToString::to_string).collect()
}

#[test]
fn pod_cidrs_are_announced_once_their_claim_is_confirmed_and_as_they_are() {
    let found = derived([
        me(&["10.244.1.0/24", "fd00:1::/64"]),
        pool("v4", by_pod_cidr("10.244.0.0/16")),
        pool("v6", by_pod_cidr("fd00::/16")),
        affinity("10.244.1.0/24", "a", AffinityState::Confirmed),
        affinity("fd00:1::/64", "a", AffinityState::Pending),
        affinity("10.244.2.0/24", "b", AffinityState::Confirmed),
    ]);
    assert_eq!(announced(&found), ["10.244.1.0/24"]);
    assert!(!found.has_condition(Reason::PodCidrUnavailable, ""), "{:?}", found.conditions);
}

#[test]
fn a_node_says_what_keeps_it_from_having_addresses() {
    let said = |pod_cidrs: &[&str], words: &str| {
        let found = derived([me(pod_cidrs), pool("v4", by_pod_cidr("10.244.0.0/16"))]);
        assert!(found.has_condition(Reason::PodCidrUnavailable, words), "{:?}", found.conditions);
    };
    said(&[], "IPPool/v4: PodCIDRUnavailable: no addresses of it on this node");
    said(&["fd00:1::/64"], "spec.podCIDRs of this Node has none of ipv4");
    said(&["10.9.0.0/24"], "spec.podCIDRs of this Node, 10.9.0.0/24, is not inside of 10.244.0.0/16");
    let silent = |spec: IpPool| {
        let found = derived([me(&[]), pool("v4", spec)]);
        assert!(!found.has_condition(Reason::PodCidrUnavailable, ""), "{:?}", found.conditions);
    };
    silent(IpPool { disabled: true, ..by_pod_cidr("10.244.0.0/16") });
    silent(IpPool { node_selector: "rack == 'b'".parse().unwrap(), ..by_pod_cidr("10.244.0.0/16") });
    silent(IpPool::of(prefix("10.244.0.0/16")));
}

#[test]
fn a_pod_cidr_that_another_node_still_has_is_not_announced_and_said() {
    let mut state = complete();
    let mut reader = Reader::default();
    let theirs = |state| affinity("10.244.1.0/24", "b", state);
    let facts =
        [me(&["10.244.1.0/24"]), pool("v4", by_pod_cidr("10.244.0.0/16")), theirs(AffinityState::Confirmed)];
    facts.into_iter().for_each(|fact| state.apply(fact));
    reader.read(&mut state);
    assert!(announced(&reader).is_empty());
    let held = "no addresses of 10.244.1.0/24 on this node, whose pod CIDR it is: node b still has it";
    assert!(reader.has_condition(Reason::PodCidrUnavailable, held), "{:?}", reader.conditions);

    state.apply(theirs(AffinityState::PendingDeletion));
    reader.read(&mut state);
    assert!(!reader.has_condition(Reason::PodCidrUnavailable, ""), "{:?}", reader.conditions);
    state.apply(affinity("10.244.1.0/24", "a", AffinityState::Confirmed));
    reader.read(&mut state);
    assert_eq!(announced(&reader), ["10.244.1.0/24"]);
}

#[test]
fn a_pod_cidr_that_overlaps_with_a_block_of_another_size_is_said_until_the_node_has_it() {
    let mut state = complete();
    let mut reader = Reader::default();
    let mut said = |facts: Vec<Update>| {
        facts.into_iter().for_each(|fact| state.apply(fact));
        reader.read(&mut state);
        let told = reader.conditions.keys().filter(|found| found.reason == Reason::PodCidrUnavailable);
        told.map(|found| found.message.clone()).collect::<Vec<_>>()
    };
    let wanted =
        |why: &str| vec![format!("no addresses of 10.244.1.0/24 on this node, whose pod CIDR it is: {why}")];
    let inside = |state| affinity("10.244.1.128/25", "b", state);
    let facts = vec![
        me(&["10.244.1.0/24"]),
        pool("v4", by_pod_cidr("10.244.0.0/16")),
        inside(AffinityState::Confirmed),
    ];
    assert_eq!(said(facts), wanted("node b has 10.244.1.128/25, which overlaps with it"));
    let beside = affinity("10.244.2.0/25", "b", AffinityState::Confirmed);
    assert_eq!(said(vec![inside(AffinityState::PendingDeletion), beside]), [""; 0]);
    let around = affinity("10.244.0.0/23", "c", AffinityState::Confirmed);
    assert_eq!(said(vec![around]), wanted("node c has 10.244.0.0/23, which overlaps with it"));
    assert_eq!(said(vec![affinity("10.244.1.0/24", "a", AffinityState::Confirmed)]), [""; 0]);
}

#[test]
fn a_pod_cidr_that_overlaps_with_the_one_before_is_said_and_of_many_only_some() {
    let pool = || pool("v4", by_pod_cidr("10.244.0.0/16"));
    let before = affinity("10.244.1.0/24", "a", AffinityState::Confirmed);
    let found = derived([me(&["10.244.1.0/25"]), pool(), before]);
    let held = "whose pod CIDR it is: this node still has 10.244.1.0/24, which overlaps with it";
    assert!(found.has_condition(Reason::PodCidrUnavailable, held), "{:?}", found.conditions);

    let many = (0..9).map(|n| affinity(&format!("10.244.1.{}/28", n * 16), "b", AffinityState::Confirmed));
    let found = derived(many.chain([me(&["10.244.1.0/24"]), pool()]));
    assert!(
        found.has_condition(Reason::PodCidrUnavailable, "10.244.1.32/28, which overlaps with it; and others")
    );
    assert!(!found.has_condition(Reason::PodCidrUnavailable, "10.244.1.48/28"), "{:?}", found.conditions);
}
