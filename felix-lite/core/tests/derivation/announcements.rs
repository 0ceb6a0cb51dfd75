use cairn_api::kinds::{
    AffinityState, BgpConfiguration, CommunityRef, IpPool, NamedCommunity, PrefixAdvertisement,
};
use felix_core::Update;

use crate::world::{Reader, affinity, bgp, complete, derived, endpoint, ip, node, pool, prefix};

fn announced(reader: &Reader) -> Vec<String> {
    reader.announced.keys().map(ToString::to_string).collect()
}

fn me() -> Update {
    node("a", &["192.0.2.1", "2001:db8::1"], &[])
}

#[test]
fn own_confirmed_blocks_are_announced_with_the_nodes_address() {
    let found = derived([
        me(),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
        affinity("fd00::/122", "a", AffinityState::Confirmed),
        affinity("10.0.0.64/26", "a", AffinityState::Pending),
        affinity("10.0.0.128/26", "a", AffinityState::PendingDeletion),
        affinity("10.0.0.192/26", "b", AffinityState::Confirmed),
    ]);
    assert_eq!(announced(&found), ["10.0.0.0/26", "fd00::/122"]);
    assert_eq!(found.announced[&prefix("10.0.0.0/26")].next_hop, Some(ip("192.0.2.1")));
    assert_eq!(found.announced[&prefix("fd00::/122")].next_hop, Some(ip("2001:db8::1")));
}

#[test]
fn a_borrowed_address_is_announced_by_itself() {
    let found = derived([
        me(),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
        affinity("10.0.0.64/26", "b", AffinityState::Confirmed),
        endpoint("crn1", &["10.0.0.1"]),
        endpoint("crn2", &["10.0.0.65", "fd00::9"]),
    ]);
    assert_eq!(announced(&found), ["10.0.0.0/26", "10.0.0.65/32", "fd00::9/128"]);
}

#[test]
fn an_address_stays_announced_when_its_block_is_given_up_under_it() {
    let mut state = complete();
    let mut reader = Reader::default();
    for fact in
        [me(), affinity("10.0.0.0/26", "a", AffinityState::Confirmed), endpoint("crn1", &["10.0.0.1"])]
    {
        state.apply(fact);
    }
    reader.read(&mut state);
    assert_eq!(announced(&reader), ["10.0.0.0/26"]);
    state.apply(affinity("10.0.0.0/26", "a", AffinityState::PendingDeletion));
    reader.read(&mut state);
    assert_eq!(announced(&reader), ["10.0.0.1/32"]);
    state.apply(Update::Endpoint("crn1".to_owned(), None));
    reader.read(&mut state);
    assert!(announced(&reader).is_empty());
}

#[test]
fn a_pool_may_be_kept_out_of_bgp() {
    let hidden = IpPool { disable_bgp_export: true, ..IpPool::of(prefix("10.0.0.0/16")) };
    let found = derived([
        me(),
        pool("hidden", hidden),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
        affinity("10.1.0.0/26", "a", AffinityState::Confirmed),
        endpoint("crn1", &["10.0.0.77"]),
    ]);
    assert_eq!(announced(&found), ["10.1.0.0/26"]);
}

#[test]
fn communities_are_attached_by_prefix() {
    let spec = BgpConfiguration {
        communities: vec![NamedCommunity { name: "pods".to_owned(), value: "64512:7".parse().unwrap() }],
        prefix_advertisements: vec![
            PrefixAdvertisement {
                cidr: prefix("10.0.0.0/8"),
                communities: vec![CommunityRef::Name("pods".to_owned())],
            },
            PrefixAdvertisement {
                cidr: prefix("10.0.0.0/16"),
                communities: vec!["64512:1:2".to_owned().into()],
            },
        ],
        ..BgpConfiguration::default()
    };
    let found = derived([
        me(),
        bgp(spec),
        affinity("10.0.0.0/26", "a", AffinityState::Confirmed),
        affinity("10.9.0.0/26", "a", AffinityState::Confirmed),
    ]);
    let of = |text: &str| -> Vec<String> {
        found.announced[&prefix(text)].communities.iter().map(ToString::to_string).collect()
    };
    assert_eq!(of("10.0.0.0/26"), ["64512:7", "64512:1:2"]);
    assert_eq!(of("10.9.0.0/26"), ["64512:7"]);
}
