//! Random histories: what the core gives out is that of the state, however little of it is derived anew for each change.
//!
//! The world is small, so that nodes share addresses, keys, router ids and prefixes as often as not.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::annotation::{AS_NUMBER, DRAIN, ROUTE_REFLECTOR_CLUSTER_ID, ROUTER_ID};
use cairn_api::kinds::{
    AffinityState, BgpConfiguration, BgpPeer, EncapMode, IpPool, UnencryptedPeers, WireguardPeer,
};
use cairn_net::Family;
use felix_core::{Host, HostTunnel, HostWireguard, State, TunnelKind, Update};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::addresses::choosing;
use crate::host_ports::claiming;
use crate::wireguard::{configuration, key, key_object};
use crate::world::{
    Reader, World, affinity, bgp, complete, derived, endpoint, gone, host, ip, learned, node,
    node_with_internal, peer, pool, prefix,
};

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const ADDRESSES: [&str; 5] = ["192.0.2.1", "192.0.2.2", "192.0.2.3/24", "198.51.100.4", "203.0.113.5"];
const ADDRESSES_V6: [&str; 3] = ["2001:db8::1", "2001:db8::2", "2001:db8:1::3"];
const BLOCKS: [&str; 4] = ["10.0.1.0/26", "10.0.2.0/26", "10.1.0.0/26", "fd00::40/122"];
const MODES: [EncapMode; 3] = [EncapMode::Never, EncapMode::Always, EncapMode::CrossSubnet];

/// Nodes with up to one address of each family, and annotations that clash.
fn any_node() -> impl Strategy<Value = Update> {
    let addresses = (proptest::option::of(select(&ADDRESSES)), proptest::option::of(select(&ADDRESSES_V6)));
    let annotations = subsequence(
        vec![
            (ROUTER_ID, "10.9.9.9"),
            (AS_NUMBER, "64513"),
            (ROUTE_REFLECTOR_CLUSTER_ID, "244.0.0.1"),
            (DRAIN, "why"),
        ],
        0..=1,
    );
    (select(&NODES), addresses, annotations).prop_map(|(name, (v4, v6), annotations)| {
        let addresses: Vec<&str> = v4.into_iter().chain(v6).collect();
        node(name, &addresses, &annotations)
    })
}

/// Nodes of which it takes a choice to know their addresses.
fn any_listed_node() -> impl Strategy<Value = Update> {
    let addresses = subsequence(vec!["192.0.2.1", "192.0.2.2", "198.51.100.4", "2001:db8::2"], 1..=3);
    (select(&NODES), addresses).prop_map(|(name, addresses)| node_with_internal(name, &addresses))
}

fn any_ranges() -> impl Strategy<Value = Update> {
    let ranges =
        subsequence(vec!["192.0.2.0/31", "192.0.2.2/32", "198.51.100.0/24", "2001:db8:1::/64"], 1..=2);
    ranges.prop_map(|ranges| choosing(&ranges))
}

fn any_pool() -> impl Strategy<Value = Update> {
    const POOLS: [(&str, &str); 3] = [("v4", "10.0.0.0/16"), ("other", "10.1.0.0/16"), ("v6", "fd00::/64")];
    (select(&POOLS), select(&MODES), select(&MODES), any::<bool>()).prop_map(
        |((name, cidr), ipip_mode, vxlan_mode, nat_outgoing)| {
            pool(name, IpPool { ipip_mode, vxlan_mode, nat_outgoing, ..IpPool::of(prefix(cidr)) })
        },
    )
}

fn any_key() -> impl Strategy<Value = Update> {
    let endpoint = proptest::option::of(Just("203.0.113.9:51820"));
    let allowed = subsequence(vec!["10.99.0.0/24", "192.0.2.2/32", "10.0.1.0/26"], 0..=2);
    const NAMES: [&str; 5] = ["b", "c", "d", "outside", "a"];
    (select(&NAMES), select(&NODES), endpoint, allowed).prop_map(|(name, of, endpoint, allowed)| {
        let endpoint = endpoint.map(|endpoint| endpoint.parse().unwrap());
        let allowed_ips = allowed.into_iter().map(prefix).collect();
        key_object(name, WireguardPeer { endpoint, allowed_ips, ..WireguardPeer::of(key(of)) })
    })
}

/// The node's interfaces, with some devices, and some peers that answered.
fn any_host() -> impl Strategy<Value = Update> {
    let devices = subsequence(TunnelKind::ALL.to_vec(), 0..=4);
    let names = || subsequence(NODES.to_vec(), 0..=5);
    (devices, select(&NODES), names(), names(), select(&[1400, 1500][..]), any::<bool>()).prop_map(
        |(devices, own, ready, known, mtu, strict)| {
            let addresses = [("192.0.2.1", 24), ("2001:db8::1", 64)];
            let Update::Host(mut host) = host(&addresses, &["192.0.2.254"]) else { unreachable!() };
            host.links.values_mut().for_each(|link| (link.mtu, link.strict) = (mtu, strict));
            let numbered = (30..).zip(TunnelKind::ALL).filter(|(_, kind)| devices.contains(kind));
            let tunnel = |(index, kind)| (kind, HostTunnel { index, port: 4789 });
            let tunnels: BTreeMap<_, _> = numbered.map(tunnel).collect();
            let ready = ready.into_iter().map(key).collect();
            let known: BTreeSet<String> = known.into_iter().map(ToOwned::to_owned).collect();
            let device = HostWireguard { key: key(own), ready, known };
            let wireguard = tunnels
                .contains_key(&TunnelKind::Wireguard)
                .then_some((TunnelKind::Wireguard, device))
                .into_iter()
                .collect();
            Update::Host(Box::new(Host { tunnels, wireguard, ..*host }))
        },
    )
}

fn any_peer() -> impl Strategy<Value = Update> {
    (select(&["192.0.2.254", "192.0.2.2"][..]), select(&["", "name == 'b'"][..])).prop_map(
        |(address, nodes)| {
            let mut spec = BgpPeer::default();
            if nodes.is_empty() {
                (spec.peer_ip, spec.as_number) =
                    (Some(address.parse().unwrap()), Some(cairn_net::Asn(65001).into()));
            } else {
                spec.peer_selector = Some(nodes.parse().unwrap());
            }
            peer("peer", spec)
        },
    )
}

fn fact() -> impl Strategy<Value = Update> {
    let hops =
        vec(select(&["192.0.2.2", "192.0.2.3", "198.51.100.4", "192.0.2.254", "2001:db8::2"][..]), 1..3);
    const ROUTES: [&str; 6] =
        ["10.0.1.0/26", "10.0.2.7/32", "10.99.0.0/24", "198.51.100.0/24", "203.0.113.0/24", "0.0.0.0/0"];
    prop_oneof![
        6 => any_node(),
        3 => any_listed_node(),
        1 => any_ranges(),
        2 => any_pool(),
        4 => any_key(),
        2 => any_host(),
        4 => (select(&BLOCKS), select(&NODES)).prop_map(|(block, name)| affinity(block, name, AffinityState::Confirmed)),
        4 => (select(&ROUTES), hops).prop_map(|(route, hops)| learned(route, &hops)),
        1 => any_peer(),
        1 => any::<bool>().prop_map(|mesh| {
            bgp(BgpConfiguration { node_to_node_mesh_enabled: mesh, ..BgpConfiguration::default() })
        }),
        1 => select(&[UnencryptedPeers::Allow, UnencryptedPeers::Refuse][..]).prop_map(configuration),
        1 => select(&["10.0.1.3", "10.0.2.7"][..]).prop_map(|address| endpoint("crn1", &[address])),
        1 => (select(&["crn1", "crn2"][..]), select(&["10.0.1.3", "10.0.2.7"][..])).prop_map(|(interface, address)| claiming(interface, address, 80)),
        1 => Just(Update::TunnelAddresses([(Family::Ipv4, ip("10.0.0.7"))].into())),
        1 => any::<bool>().prop_map(Update::DrainWaited),
    ]
}

/// What is done: a fact, or that it is no more; and whether changes are read then.
fn history() -> impl Strategy<Value = Vec<(Update, bool, bool)>> {
    vec((fact(), prop::bool::weighted(0.7), any::<bool>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_gives_what_its_last_state_gives(steps in history()) {
        let (mut state, mut reader, mut world): (State, Reader, World) =
            (complete(), Reader::default(), World::new());
        for (fact, is_there, read) in steps {
            let fact = if is_there { fact } else { gone(&fact) };
            world.insert(crate::world::key(&fact), fact.clone());
            state.apply(fact);
            if read {
                reader.read(&mut state);
            }
        }
        reader.read(&mut state);
        prop_assert_eq!(reader.read(&mut state), 0, "nothing is left to tell");
        let mut expected = derived(world.into_values());
        // Without a Node object of its own the node leaves bgpd as it is.
        expected.config = expected.config.or_else(|| reader.config.clone());
        prop_assert_eq!(reader, expected);
    }
}
