use cairn_net::Family;

use super::*;
use crate::speaker::Output;
use crate::wire::{AsPath, Attributes, EncodeContext, EncodedAttributes, NextHop, encode_unreach};

#[test]
fn a_session_comes_up_and_routes_of_both_families_come_and_go() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    sim.run(Duration::from_millis(50));
    assert!(knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "fd01::/64"));
    let routes = &sim.nodes[&node(2)].routes;
    assert_eq!(routes[&prefix("10.1.0.0/24")].next_hops[..], [node(1)]);
    assert_eq!(routes[&prefix("fd01::/64")].next_hops[..], [ip("fd00::1")]);
    withdraw(&mut sim, 1, &["10.1.0.0/24"]);
    sim.run(Duration::from_millis(50));
    assert!(!knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "fd01::/64"));
}

#[test]
fn a_late_joiner_gets_the_whole_table_and_its_end() {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, 65001), 2, open_peer(65002)));
    originate(&mut sim, 1, &["10.1.0.0/24", "10.2.0.0/24", "fd01::/64"]);
    sim.run(Duration::from_secs(5));
    sim.add(node(2), with_peer(config(2, 65002), 1, open_peer(65001)));
    assert!(sim.run_until(Duration::from_secs(1), |sim| sim.nodes[&node(2)].routes.len() == 3));
    sim.run(Duration::from_millis(50));
    let view = sim.nodes[&node(2)].speaker.as_ref().unwrap().peer(node(1)).unwrap();
    assert!(view.families.iter().all(|family| family.end_of_rib), "{view:?}");
    let view = sim.nodes[&node(1)].speaker.as_ref().unwrap().peer(node(2)).unwrap();
    assert_eq!(view.families.iter().map(|family| family.advertised).collect::<Vec<_>>(), [2, 1]);
}

/// Node 1 is given these messages of node 2 in one read; gives how many prefixes waited afterwards for their selection, and what is
/// reported.
fn read_at_once(sim: &mut Sim, bytes: bytes::Bytes) -> (usize, Vec<Prefix>) {
    let conn = sim.connection(node(1), node(2)).unwrap();
    let speaker = sim.nodes.get_mut(&node(1)).and_then(|node| node.speaker.as_mut()).unwrap();
    speaker.handle(speaker.now, Input::Received { conn, bytes });
    let waited = speaker.rib.table.dirty_of(Family::Ipv4);
    let count = speaker.reports();
    let mut reported = Vec::new();
    while let Some(output) = speaker.poll_output() {
        if let Output::RouteChanged { prefix } = output {
            reported.push(prefix);
        }
    }
    assert_eq!((count, speaker.reports()), (reported.len() - waited, 0));
    reported.sort_unstable();
    (waited, reported)
}

#[test]
fn what_comes_in_one_read_is_selected_in_parts_and_all_of_it_is_told() {
    let prefixes: Vec<Prefix> = (0..20_000u32)
        .map(|n| Prefix::new(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap())
        .collect();
    let context = EncodeContext::default();
    let attributes = Attributes { as_path: AsPath::sequence([Asn(65002)]), ..Attributes::default() };
    let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(node(2)), &context).unwrap();
    let (mut announced, mut withdrawn) = (bytes::BytesMut::new(), bytes::BytesMut::new());
    encoded.reach(prefixes.iter().map(|prefix| (*prefix).into()), &mut announced);
    encode_unreach(Family::Ipv4, prefixes.iter().map(|prefix| (*prefix).into()), &context, &mut withdrawn);
    let mut sim = pair(65002);
    for (messages, paths) in [(announced.freeze(), prefixes.len()), (withdrawn.freeze(), 0)] {
        let (waited, reported) = read_at_once(&mut sim, messages);
        assert!(waited < 4096, "{waited} prefixes waited");
        assert_eq!(reported, prefixes);
        assert_eq!(sim.nodes[&node(1)].speaker.as_ref().unwrap().statistics().paths, paths);
    }
}
