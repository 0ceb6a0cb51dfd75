//! Strict reverse path filters on uplinks: told of where packets may come another way than their answers go.

use cairn_api::kinds::{EncapMode, IpPool};
use felix_core::{HostLink, NextHop, Reason, Update};

use crate::world::{Reader, complete, derived, gone, host, ip, learned, node, pool, prefix};

/// This node and another, and this one's two interfaces; of some of them the filter is strict.
fn base(strict: &[u32]) -> Vec<Update> {
    let Update::Host(mut host) = host(&[("192.0.2.1", 24)], &["192.0.2.254"]) else { unreachable!() };
    host.links.insert(3, HostLink { name: "eth1".to_owned(), mtu: 1500, ..HostLink::default() });
    host.links.iter_mut().for_each(|(index, link)| link.strict = strict.contains(index));
    vec![node("a", &["192.0.2.1/24"], &[]), node("b", &["192.0.2.2"], &[]), Update::Host(host)]
}

fn plain(cidr: &str) -> Update {
    pool("p", IpPool::of(prefix(cidr)))
}

fn vxlan(cidr: &str) -> Update {
    pool("p", IpPool { vxlan_mode: EncapMode::Always, ..IpPool::of(prefix(cidr)) })
}

/// A block that is reached over both interfaces.
fn over_both(block: &str) -> Update {
    let hops = [2, 3].map(|index| NextHop { address: ip("fe80::1"), index: Some(index) });
    Update::Learned(prefix(block), Some(hops.to_vec()))
}

/// The interfaces that are told of.
fn told(reader: &Reader) -> Vec<&str> {
    let found = reader.conditions.keys().filter(|found| found.reason == Reason::ReversePathFilter);
    let texts = found.map(|found| found.message.split(" is strict").next().unwrap());
    texts.filter_map(|text| text.strip_prefix("the reverse path filter of ")).collect()
}

#[test]
fn a_strict_filter_is_told_of_where_packets_may_come_another_way() {
    for (case, strict, facts, expected) in [
        (
            "plain, one way",
            &[2, 3][..],
            vec![plain("10.0.0.0/16"), learned("10.0.1.0/26", &["192.0.2.2"])],
            "",
        ),
        ("tunnels", &[2, 3][..], vec![vxlan("10.0.0.0/16")], "eth0"),
        ("tunnels, loose", &[3][..], vec![vxlan("10.0.0.0/16")], ""),
        ("tunnels of IPv6", &[2, 3][..], vec![vxlan("fd00::/64")], ""),
        ("two ways", &[2, 3][..], vec![plain("10.0.0.0/16"), over_both("10.0.1.0/26")], "eth0, eth1"),
        ("two ways, one strict", &[3][..], vec![plain("10.0.0.0/16"), over_both("10.0.1.0/26")], "eth1"),
        ("two ways of IPv6", &[2, 3][..], vec![plain("10.0.0.0/16"), over_both("fd00::/122")], ""),
    ] {
        let found = derived(base(strict).into_iter().chain(facts));
        assert_eq!(told(&found).join(" "), expected, "{case}: {:?}", found.conditions);
    }
}

#[test]
fn it_comes_and_goes_with_the_last_route_and_with_the_filter() {
    let (mut state, mut reader) = (complete(), Reader::default());
    let blocks = ["10.0.1.0/26", "10.0.2.0/26"].map(over_both);
    base(&[3]).into_iter().chain([plain("10.0.0.0/16")]).for_each(|fact| state.apply(fact));
    let mut after = |facts: &[Update]| {
        facts.iter().for_each(|fact| state.apply(fact.clone()));
        reader.read(&mut state);
        told(&reader).join(" ")
    };
    assert_eq!(after(&[]), "");
    assert_eq!(after(&blocks), "eth1");
    assert_eq!(after(&[gone(&blocks[0])]), "eth1");
    assert_eq!(after(&base(&[])), "");
    assert_eq!(after(&base(&[2])), "eth0");
    assert_eq!(after(&[gone(&blocks[1])]), "");
    assert_eq!(after(&[vxlan("10.0.0.0/16")]), "eth0");
}
