//! State expansion: whatever way leads to a state, what the core gives out is that of the state.
//!
//! Each list of states is also walked backwards, squashed (nothing read in between), split (read after every single
//! fact) and with the empty state after each; what is added in one order is removed in another.

use cairn_api::annotation::{AS_NUMBER, DRAIN, ROUTE_REFLECTOR_CLUSTER_ID};
use cairn_api::kinds::{
    AffinityState, Attachment, AttachmentMode, BgpConfiguration, BgpPeer, BlockSource, EncapMode, IpPool,
    NextHopMode, UnencryptedPeers, WireguardPeer,
};
use cairn_net::{Asn, Family};
use felix_core::{HostTunnel, State, TunnelKind, Update};

use crate::wireguard;
use crate::world::{
    Reader, World, affinity, bgp, complete, derived, endpoint, gone, host, ip, learned, node,
    node_with_pod_cidrs, peer, pool, prefix, world,
};

/// When changes are read on the way to a state.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    EachState,
    EachFact,
    OnlyAtTheEnd,
}

fn macvlan() -> Attachment {
    Attachment { mode: AttachmentMode::Macvlan, ..Attachment::default() }
}

fn states() -> Vec<World> {
    plain()
        .into_iter()
        .chain(encrypted())
        .chain(emptied())
        .chain([world([node("b", &["192.0.2.2"], &[])])])
        .collect()
}

fn plain() -> Vec<World> {
    let a = || node("a", &["192.0.2.1", "2001:db8::1"], &[]);
    let b = || node("b", &["192.0.2.2", "2001:db8::2"], &[]);
    let net = || host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254"]);
    let nat = |cidr| IpPool { nat_outgoing: true, ..IpPool::of(prefix(cidr)) };
    let confirmed = |block, node| affinity(block, node, AffinityState::Confirmed);
    let tor = |asn| BgpPeer {
        peer_ip: Some("192.0.2.254".parse().unwrap()),
        as_number: Some(Asn(asn).into()),
        ..BgpPeer::default()
    };
    vec![
        world([a(), net()]),
        world([a(), b(), net(), pool("v4", nat("10.0.0.0/16")), confirmed("10.0.0.0/26", "a")]),
        world([
            a(),
            b(),
            net(),
            pool("v4", nat("10.0.0.0/16")),
            pool("v6", nat("fd00::/64")),
            confirmed("10.0.0.0/26", "a"),
            confirmed("fd00::40/122", "a"),
            confirmed("10.0.0.64/26", "b"),
            endpoint("crn1", &["10.0.0.1", "fd00::41"]),
            endpoint("crn2", &["10.0.0.70"]),
            learned("10.0.0.64/26", &["192.0.2.2"]),
            learned("fd00::80/122", &["2001:db8::2"]),
        ]),
        // The pool's pods are in the node's own network from now on, as far as they can be.
        world([
            a(),
            net(),
            pool("v4", IpPool { attachment: macvlan(), ..IpPool::of(prefix("192.0.2.128/26")) }),
            pool("v6", IpPool { attachment: macvlan(), ..nat("fd00::/64") }),
            confirmed("192.0.2.128/29", "a"),
            endpoint("crn1", &["192.0.2.129"]),
        ]),
        // Pools whose blocks are pod CIDRs: one that another node has, and none.
        world([
            node_with_pod_cidrs("a", &["192.0.2.1"], &["10.0.0.0/24"]),
            b(),
            net(),
            pool("v4", IpPool { block_source: BlockSource::PodCidr, ..IpPool::of(prefix("10.0.0.0/16")) }),
            pool("v6", IpPool { block_source: BlockSource::PodCidr, ..IpPool::of(prefix("fd00::/64")) }),
            confirmed("10.0.0.0/24", "b"),
        ]),
        // The block moves to the other node, and the address to the other interface.
        world([
            a(),
            node("b", &["192.0.2.2"], &[(AS_NUMBER, "64513")]),
            net(),
            pool("v4", IpPool { disable_bgp_export: true, ..IpPool::of(prefix("10.0.0.0/16")) }),
            pool("inner", nat("10.0.0.0/24")),
            confirmed("10.0.0.0/26", "b"),
            endpoint("crn1", &["10.0.0.9"]),
            endpoint("crn2", &["10.0.0.1"]),
            learned("10.0.0.0/26", &["192.0.2.2", "192.0.2.3"]),
            learned("0.0.0.0/0", &["192.0.2.254"]),
            learned("198.51.100.0/24", &["203.0.113.7"]),
            peer("tor", tor(65001)),
        ]),
        world([
            node("a", &["2001:db8::1"], &[(ROUTE_REFLECTOR_CLUSTER_ID, "244.0.0.1")]),
            b(),
            node("c", &[], &[]),
            peer(
                "tor",
                BgpPeer { next_hop_mode: NextHopMode::Own, filters: vec!["none".to_owned()], ..tor(64512) },
            ),
            bgp(BgpConfiguration { as_number: Asn(64600), ..BgpConfiguration::default() }),
            endpoint("crn1", &["10.0.0.9"]),
            endpoint("crn3", &["10.0.0.9"]),
            learned("10.1.0.0/26", &["192.0.2.2"]),
        ]),
        // Two encapsulations; then the devices are there, a pool changes its mind, and a block its owner.
        world([
            a(),
            b(),
            net(),
            pool("v4", IpPool { ipip_mode: EncapMode::Always, ..nat("10.0.0.0/16") }),
            pool("v6", IpPool { vxlan_mode: EncapMode::CrossSubnet, ..nat("fd00::/64") }),
            confirmed("10.0.0.64/26", "b"),
            confirmed("fd00::80/122", "b"),
            learned("10.0.0.64/26", &["192.0.2.254"]),
            learned("10.0.0.200/32", &["192.0.2.2", "192.0.2.3"]),
        ]),
        world([
            a(),
            node("b", &["198.51.100.2", "2001:db8::2"], &[]),
            with_tunnels(net()),
            tunnel_address("10.0.0.7"),
            pool("v4", IpPool { vxlan_mode: EncapMode::Always, ..nat("10.0.0.0/16") }),
            pool("v6", IpPool { ipip_mode: EncapMode::Always, ..nat("fd00::/64") }),
            confirmed("10.0.0.64/26", "b"),
            confirmed("fd00::80/122", "a"),
            learned("10.0.0.200/32", &["198.51.100.2", "192.0.2.3"]),
        ]),
    ]
}

/// The node is being emptied and has an egress address; then it has waited, and another node is being emptied as well.
fn emptied() -> Vec<World> {
    let confirmed = |block| affinity(block, "a", AffinityState::Confirmed);
    let a = || node("a", &["192.0.2.1", "2001:db8::1"], &[(DRAIN, "why")]);
    let common = || {
        [
            a(),
            host(&[("192.0.2.1", 24), ("2001:db8::1", 64)], &["192.0.2.254"]),
            pool("v4", IpPool::of(prefix("10.0.0.0/16"))),
            confirmed("10.0.0.0/26"),
            confirmed("10.0.0.64/26"),
            crate::egress::gateway("g", &["203.0.113.1"], Some("a"), |_| {}),
            endpoint("crn1", &["10.0.0.1"]),
        ]
    };
    vec![
        world(common().into_iter().chain([node("b", &["192.0.2.2"], &[])])),
        world(common().into_iter().chain([
            node("b", &["192.0.2.2"], &[(DRAIN, "too")]),
            Update::DrainWaited(true),
            tunnel_address("10.0.0.7"),
        ])),
        world(
            common().into_iter().take(6).chain([node("b", &["192.0.2.2"], &[]), Update::DrainWaited(true)]),
        ),
    ]
}

/// Encryption: open, with a peer that is not ready and a host outside; then closed, and a key moves.
fn encrypted() -> Vec<World> {
    let a = || node("a", &["192.0.2.1", "2001:db8::1"], &[]);
    let confirmed = |block, node| affinity(block, node, AffinityState::Confirmed);
    vec![
        world([
            a(),
            node("b", &["192.0.2.2", "2001:db8::2"], &[]),
            wireguard::net(&["b"]),
            wireguard::configuration(UnencryptedPeers::Allow),
            pool("v4", IpPool { ipip_mode: EncapMode::Always, ..IpPool::of(prefix("10.0.0.0/16")) }),
            pool("v6", IpPool::of(prefix("fd00::/64"))),
            confirmed("10.0.0.64/26", "b"),
            confirmed("fd00::80/122", "b"),
            wireguard::key_of("b"),
            wireguard::key_object("outside", outside()),
            learned("10.0.0.200/32", &["192.0.2.2"]),
        ]),
        world([
            a(),
            node("b", &["198.51.100.2"], &[]),
            wireguard::net(&["x"]),
            wireguard::configuration(UnencryptedPeers::Refuse),
            pool("v4", IpPool::of(prefix("10.0.0.0/16"))),
            confirmed("10.0.0.64/26", "b"),
            confirmed("10.0.0.0/26", "a"),
            wireguard::key_object("b", WireguardPeer::of(wireguard::key("x"))),
            learned("10.0.0.200/32", &["198.51.100.2", "192.0.2.3"]),
        ]),
    ]
}

fn outside() -> WireguardPeer {
    WireguardPeer {
        endpoint: Some("203.0.113.9:51820".parse().unwrap()),
        allowed_ips: vec![prefix("10.99.0.0/24")],
        ..WireguardPeer::of(wireguard::key("outside"))
    }
}

/// A host with devices of both families of VXLAN and of IP-in-IP.
fn with_tunnels(host: Update) -> Update {
    let Update::Host(mut host) = host else { panic!("{host:?}") };
    let tunnel = |(index, kind)| (kind, HostTunnel { index, port: 4789 });
    host.tunnels = (30..).zip(TunnelKind::ALL).map(tunnel).collect();
    Update::Host(host)
}

fn tunnel_address(address: &str) -> Update {
    Update::TunnelAddresses([(Family::Ipv4, ip(address))].into())
}

/// Changes one state into the next; facts in the given order.
fn walk(states: &[World], reading: Reading, removals_first: bool) {
    let mut state = complete();
    let mut reader = Reader::default();
    let mut before = World::new();
    for (index, now) in states.iter().enumerate() {
        let removed = before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, fact)| gone(fact));
        let set =
            now.iter().filter(|(key, fact)| before.get(*key) != Some(*fact)).map(|(_, fact)| fact.clone());
        let facts: Vec<_> = if removals_first {
            removed.chain(set).collect()
        } else {
            set.collect::<Vec<_>>().into_iter().rev().chain(removed).collect()
        };
        for fact in facts {
            state.apply(fact);
            if reading == Reading::EachFact {
                reader.read(&mut state);
            }
        }
        before = now.clone();
        if reading != Reading::OnlyAtTheEnd || index + 1 == states.len() {
            reader.read(&mut state);
            assert_eq!(reader.read(&mut state), 0, "nothing is left to tell");
            let mut expected = derived(now.values().cloned());
            // Without a Node object of its own the node leaves bgpd as it is.
            expected.config = expected.config.or_else(|| reader.config.clone());
            assert_eq!(reader, expected, "state {index}");
        }
    }
}

fn expand(states: &[World]) {
    let backwards: Vec<World> = states.iter().rev().cloned().collect();
    let emptied = |list: &[World]| list.iter().flat_map(|world| [world.clone(), World::new()]).collect();
    let with_empties: Vec<World> = emptied(states);
    let backwards_with_empties: Vec<World> = emptied(&backwards);
    for list in [states, &backwards, &with_empties, &backwards_with_empties] {
        for reading in [Reading::EachState, Reading::EachFact, Reading::OnlyAtTheEnd] {
            walk(list, reading, true);
            walk(list, reading, false);
        }
    }
}

#[test]
fn every_way_to_a_state_gives_the_same() {
    expand(&states());
}

#[test]
fn every_pair_of_states_is_crossed_both_ways() {
    let states = states();
    for from in &states {
        for to in &states {
            expand(&[from.clone(), to.clone()]);
        }
    }
}

#[test]
fn what_was_told_before_all_was_known_counts_once_it_is() {
    for facts in states() {
        let mut state = State::new("a", "cairn-system");
        let mut reader = Reader::default();
        for fact in facts.values().cloned().chain([Update::Complete]) {
            state.apply(fact);
            reader.read(&mut state);
        }
        assert_eq!(reader, derived(facts.into_values()));
    }
}

#[test]
fn facts_that_say_nothing_new_change_nothing() {
    let facts: Vec<_> = states().swap_remove(2).into_values().collect();
    let mut state = complete();
    let mut reader = Reader::default();
    facts.iter().for_each(|fact| state.apply(fact.clone()));
    assert!(reader.read(&mut state) > 0);
    facts.iter().for_each(|fact| state.apply(fact.clone()));
    assert_eq!(reader.read(&mut state), 0);
    assert_eq!(state.holder(ip("10.0.0.1")), Some("crn1"));
}
