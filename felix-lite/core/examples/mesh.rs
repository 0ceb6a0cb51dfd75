//! What a mesh of many nodes costs the core: all of them at once, as the datastore tells them, and one that changes.
//!
//! `cargo run --release -p felix-core --example mesh -- 5000 [wireguard]`; CPU time of this process alone, so a busy machine matters little.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use cairn_api::core::Node;
use cairn_api::kinds::{
    AffinityState, BgpConfiguration, BlockAffinity, EncapMode, IpPool, NodeConfiguration, WireguardPeer,
};
use cairn_api::{Metadata, Object, WireguardKey, annotation};
use cairn_net::Prefix;
use felix_core::{Host, HostAddress, HostHop, HostLink, HostRoute, HostTunnel, State, TunnelKind, Update};

/// As many facts are taken before changes are read, as the engine does.
const BATCH: usize = 64;
/// How often one node changes.
const CHANGES: u32 = 501;

// It is its clock that it is for.
#[allow(clippy::disallowed_methods)]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let nodes: u32 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(5000);
    let encrypted = arguments.next().is_some_and(|word| word == "wireguard");
    let mut state = State::new("node-a", "cairn-system");
    for fact in ground(encrypted) {
        state.apply(fact);
    }
    state.apply(Update::Complete);
    state.changes();

    let facts: Vec<Update> = (0..nodes).flat_map(|number| node(number, 0, encrypted)).collect();
    let (start, mut changes) = (Instant::now(), 0);
    for batch in facts.chunks(BATCH) {
        batch.iter().for_each(|fact| state.apply(fact.clone()));
        changes += state.changes().len();
    }
    println!("{nodes} nodes: {changes} changes in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let mut times: Vec<Duration> = (1..=CHANGES)
        .map(|round| {
            let number = round * 7 % nodes;
            let fact = node(number, round, encrypted).remove(0);
            let start = Instant::now();
            state.apply(fact);
            assert!(!state.changes().is_empty());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    println!("one node gets another address: {:.1} us, at worst {:.1} us", at(50), at(99));
}

fn named<K: cairn_api::Kind>(name: &str, spec: K) -> Box<Object<K>> {
    Box::new(Object::new(Metadata::named(name), spec))
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// This node, its interface, the pool and what there is of tunnels; no mesh of BGP.
fn ground(encrypted: bool) -> Vec<Update> {
    let own: IpAddr = [10, 0, 0, 1].into();
    let router: IpAddr = [10, 0, 0, 254].into();
    let route = |prefix, gateway| HostRoute {
        prefix,
        metric: 0,
        hops: vec![HostHop { gateway, index: 2 }],
        mtu: None,
    };
    let kinds = [TunnelKind::Vxlan(cairn_net::Family::Ipv4), TunnelKind::Wireguard];
    let host = Host {
        addresses: vec![HostAddress { address: own, prefix_len: 24, interface: "eth0".to_owned() }],
        routes: vec![route(prefix("10.0.0.0/24"), None), route(prefix("0.0.0.0/0"), Some(router))],
        links: [(2, HostLink { name: "eth0".to_owned(), mtu: 1500, ..HostLink::default() })].into(),
        tunnels: (40..).zip(kinds).map(|(index, kind)| (kind, HostTunnel { index, port: 4789 })).collect(),
        ..Host::default()
    };
    let mode = if encrypted { EncapMode::Never } else { EncapMode::Always };
    let pool = IpPool { vxlan_mode: mode, ..IpPool::of(prefix("10.128.0.0/10")) };
    let bgp = BgpConfiguration { node_to_node_mesh_enabled: false, ..BgpConfiguration::default() };
    let configuration =
        NodeConfiguration { wireguard_enabled: Some(encrypted), ..NodeConfiguration::default() };
    let mut me = named("node-a", Node::default());
    me.metadata.annotations.insert(annotation::IPV4_ADDRESS.to_owned(), "10.0.0.1/24".to_owned());
    vec![
        Update::Host(Box::new(host)),
        Update::Node("node-a".to_owned(), Some(me)),
        Update::Pool("pods".to_owned(), Some(named("pods", pool))),
        Update::BgpConfiguration("default".to_owned(), Some(named("default", bgp))),
        Update::NodeConfiguration("default".to_owned(), Some(named("default", configuration))),
    ]
}

/// Another node, which has moved so often, with its block.
fn node(number: u32, moved: u32, encrypted: bool) -> Vec<Update> {
    let name = format!("far-{number}");
    let address = Ipv4Addr::from_bits(0x0b00_0000 + (moved << 16) + number + 1);
    let mut object = named(&name, Node::default());
    object.metadata.annotations.insert(annotation::IPV4_ADDRESS.to_owned(), format!("{address}/8"));
    let cidr = Prefix::containing(Ipv4Addr::from_bits(0x0aa0_0000 + (number << 6)).into(), 26);
    let cidr = cidr.expect("26 bits fit");
    let spec =
        BlockAffinity { cidr, node: name.clone(), pool: "pods".to_owned(), state: AffinityState::Confirmed };
    let block = cairn_api::name::of_prefix(cidr);
    let mut facts = vec![
        Update::Node(name.clone(), Some(object)),
        Update::Affinity(block.clone(), Some(named(&block, spec))),
    ];
    if encrypted {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let peer = WireguardPeer::of(WireguardKey(key));
        facts.push(Update::WireguardPeer(name.clone(), Some(named(&name, peer))));
    }
    facts
}
