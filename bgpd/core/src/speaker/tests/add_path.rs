//! Several paths for one prefix (RFC 7911).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use cairn_net::{Families, Family};

use super::*;
use crate::speaker::{
    AddPathConfig, AddPathSend, AggregateConfig, HandOverError, RibKind, Speaker, Surroundings,
};
use crate::wire::{AsPath, Attributes, EncodeContext, EncodedAttributes, NextHop, Nlri, Origin};

const PREFIX: &str = "10.9.0.0/24";

pub(super) fn sends(which: AddPathSend) -> AddPathConfig {
    AddPathConfig { receive: Families::NONE, send: [Some(which); 2] }
}

pub(super) fn receives() -> AddPathConfig {
    AddPathConfig { receive: Families::ALL, send: [None; 2] }
}

pub(super) fn best(count: u8) -> AddPathSend {
    AddPathSend::Best(NonZeroU8::new(count).unwrap())
}

/// Node 1 reflects for 2 to 5; it sends nodes 4 and 5 several paths.
fn reflector(which: AddPathSend) -> Sim {
    let mut sim = sim();
    let client = PeerConfig { route_reflector_client: true, ..open_peer(65001) };
    let several = PeerConfig { add_path: sends(which), ..client.clone() };
    let mut center = config(1, 65001);
    for n in 2..=5 {
        center = with_peer(center, n, if n < 4 { client.clone() } else { several.clone() });
    }
    sim.add(node(1), center);
    for n in 2..=5 {
        let mut peer = PeerConfig { add_path: receives(), ..open_peer(65001) };
        if n < 5 {
            // Whoever takes in a better path would withdraw its own.
            peer.import = Some(std::sync::Arc::new(Policy::reject_all()));
        }
        sim.add(node(n), with_peer(config(n, 65001), 1, peer));
    }
    assert!(sim.run_until(Duration::from_secs(2), |sim| (2..=5).all(|n| is_up(sim, 1, n))));
    sim.run(SOON);
    sim
}

/// The next hops and path identifiers that node n has from node 1.
fn paths(sim: &Sim, n: u8) -> BTreeMap<IpAddr, u32> {
    let speaker = sim.nodes[&node(n)].speaker.as_ref().unwrap();
    let routes = speaker.routes(RibKind::AdjRibIn(node(1)));
    let wanted = routes.into_iter().filter(|view| view.prefix == prefix(PREFIX));
    let paths: Vec<_> = wanted.map(|view| (view.route.next_hop.addr, view.path_id)).collect();
    let ids: BTreeSet<u32> = paths.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), paths.len(), "two paths have one identifier: {paths:?}");
    paths.into_iter().collect()
}

fn hops(sim: &Sim, n: u8) -> Vec<IpAddr> {
    paths(sim, n).into_keys().collect()
}

fn with_local_pref(sim: &mut Sim, n: u8, local_pref: u32) {
    let route = OriginatedRoute { local_pref: Some(local_pref), ..OriginatedRoute::new(prefix(PREFIX)) };
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false });
    sim.run(SOON);
}

#[test]
fn a_client_is_told_all_paths_but_its_own_and_others_only_the_best() {
    let mut sim = reflector(AddPathSend::All);
    for n in 2..=4 {
        originate(&mut sim, n, &[PREFIX]);
    }
    sim.run(SOON);
    assert_eq!(hops(&sim, 5), [node(2), node(3), node(4)]);
    assert_eq!(hops(&sim, 4), [node(2), node(3)]);
    assert_eq!(paths(&sim, 3), BTreeMap::from([(node(2), 0)]));
    // Members of one group are told the same identifiers.
    assert_eq!(paths(&sim, 5)[&node(2)], paths(&sim, 4)[&node(2)]);
    let advertised = |n| view(&sim, 1, n).families[0].advertised;
    assert_eq!((advertised(5), advertised(4), advertised(3)), (3, 2, 1));
}

#[test]
fn an_identifier_stays_with_its_path_whatever_happens_to_it_and_to_others() {
    let mut sim = reflector(AddPathSend::All);
    originate(&mut sim, 2, &[PREFIX]);
    originate(&mut sim, 3, &[PREFIX]);
    sim.run(SOON);
    let before = paths(&sim, 5);
    with_local_pref(&mut sim, 3, 200);
    assert_eq!(paths(&sim, 5), before);
    originate(&mut sim, 4, &[PREFIX]);
    sim.run(SOON);
    let now = paths(&sim, 5);
    assert!(before.iter().all(|(hop, id)| now[hop] == *id), "{before:?} {now:?}");
    withdraw(&mut sim, 2, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(hops(&sim, 5), [node(3), node(4)]);
    assert_eq!(paths(&sim, 5)[&node(3)], before[&node(3)]);
}

#[test]
fn the_best_few_are_told_and_another_moves_up_when_one_goes() {
    let mut sim = reflector(best(2));
    for (n, local_pref) in [(2, 100), (3, 300), (4, 200)] {
        with_local_pref(&mut sim, n, local_pref);
    }
    assert_eq!(hops(&sim, 5), [node(3), node(4)]);
    with_local_pref(&mut sim, 2, 400);
    assert_eq!(hops(&sim, 5), [node(2), node(3)]);
    withdraw(&mut sim, 3, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(hops(&sim, 5), [node(2), node(4)]);
    // Node 4's own is the second best: it is told one.
    assert_eq!(hops(&sim, 4), [node(2)]);
}

#[test]
fn how_many_are_told_can_change_under_the_session() {
    let mut sim = reflector(best(1));
    for n in 2..=4 {
        originate(&mut sim, n, &[PREFIX]);
    }
    sim.run(SOON);
    assert_eq!(hops(&sim, 5), [node(2)]);
    for (which, expected) in [(AddPathSend::All, 3), (best(2), 2), (best(3), 3), (best(1), 1)] {
        let mut config = sim.nodes[&node(1)].config.clone();
        config.peers.get_mut(&node(5)).unwrap().add_path = sends(which);
        sim.configure(node(1), config);
        sim.run(SOON);
        assert_eq!(hops(&sim, 5).len(), expected, "{which:?}");
        assert_eq!(hops(&sim, 4), [node(2)]);
    }
    assert_eq!(view(&sim, 1, 5).counters.established, 1);
}

#[test]
fn each_family_and_direction_is_negotiated_by_itself() {
    let mut sim = sim();
    let first = AddPathConfig { receive: Families::ALL, send: [Some(AddPathSend::All), None] };
    let second = AddPathConfig { receive: Families::ALL, send: [None, Some(best(3))] };
    let peer = |add_path| PeerConfig { add_path, ..open_peer(65001) };
    sim.add(node(1), with_peer(config(1, 65001), 2, peer(first)));
    sim.add(node(2), with_peer(config(2, 65001), 1, peer(second)));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    let negotiated = view(&sim, 1, 2).session.unwrap().negotiated;
    assert_eq!(negotiated.add_path_send, Families::NONE.with(Family::Ipv4));
    assert_eq!(negotiated.add_path_receive, Families::NONE.with(Family::Ipv6));
    for n in [1, 2] {
        originate(&mut sim, n, &[&format!("10.{n}.0.0/24"), &format!("fd0{n}::/64")]);
    }
    sim.run(SOON);
    assert!(knows(&sim, 2, "10.1.0.0/24") && knows(&sim, 2, "fd01::/64"));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
}

#[test]
fn all_paths_of_a_lost_peer_go_and_come_back_under_a_restart() {
    let mut sim = reflector(AddPathSend::All);
    originate(&mut sim, 2, &[PREFIX]);
    originate(&mut sim, 3, &[PREFIX]);
    sim.run(SOON);
    sim.kill(node(1));
    sim.run(Duration::from_secs(1));
    assert!(paths(&sim, 5).is_empty());
    sim.start(node(1));
    assert!(sim.run_until(Duration::from_secs(60), |sim| hops(sim, 5).len() == 2));
}

/// An UPDATE with path identifiers.
fn update(paths: impl IntoIterator<Item = u32>) -> bytes::Bytes {
    let context = EncodeContext { add_path: Families::ALL, ..EncodeContext::default() };
    let attributes =
        Attributes { as_path: AsPath::sequence([Asn(65002)]), origin: Origin::Igp, ..Attributes::default() };
    let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(node(2)), &context).unwrap();
    let mut out = bytes::BytesMut::new();
    encoded.reach(paths.into_iter().map(|path_id| Nlri { prefix: prefix(PREFIX), path_id }), &mut out);
    out.freeze()
}

#[test]
fn a_peer_that_names_paths_without_end_is_stopped() {
    let mut sim = sim();
    let peer = |asn, add_path| PeerConfig { add_path, ..open_peer(asn) };
    sim.add(node(1), with_peer(config(1, 65001), 2, peer(65002, receives())));
    sim.add(node(2), with_peer(config(2, 65002), 1, peer(65001, sends(AddPathSend::All))));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    let inject = |sim: &mut Sim, bytes| {
        let conn = sim.connection(node(1), node(2)).unwrap();
        sim.input(node(1), Input::Received { conn, bytes });
        sim.run(SOON);
    };
    inject(&mut sim, update(1..=256));
    assert_eq!(explain(&sim, 1, PREFIX).len(), 256);
    // The same again is no more.
    inject(&mut sim, update(1..=256));
    assert!(is_up(&sim, 1, 2));
    inject(&mut sim, update(256..=257));
    assert!(!is_up(&sim, 1, 2));
    assert!(explain(&sim, 1, PREFIX).is_empty());
    assert!(downs(&sim, 1).iter().any(|reason| reason.contains("more than 256 paths to 10.9.0.0/24")));
}

#[test]
fn who_receives_several_paths_can_be_taken_over() {
    let mut sim = reflector(AddPathSend::All);
    for n in [2, 3] {
        originate(&mut sim, n, &[PREFIX]);
    }
    sim.run(SOON);
    let before = paths(&sim, 4);
    assert_eq!(before.len(), 2);
    sim.take_over(node(4)).unwrap();
    assert_eq!(paths(&sim, 4), before);
    sim.run(SOON);
    withdraw(&mut sim, 2, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(hops(&sim, 4), [node(3)]);
}

/// All that node n has from node 1, with the identifiers, and how many UPDATEs it took.
fn everything(sim: &Sim, n: u8) -> (BTreeSet<(Prefix, u32, IpAddr)>, u64) {
    let routes = sim.nodes[&node(n)].speaker.as_ref().unwrap().routes(RibKind::AdjRibIn(node(1)));
    let routes = routes.into_iter().map(|view| (view.prefix, view.path_id, view.route.next_hop.addr));
    (routes.collect(), view(sim, n, 1).counters.updates_received)
}

#[test]
fn who_sends_several_paths_is_taken_over_and_their_identifiers_stay() {
    for which in [AddPathSend::All, best(2)] {
        let mut sim = reflector(which);
        // Numbers with holes between them: what was there first is gone.
        originate(&mut sim, 2, &["10.1.0.0/24", "10.1.1.0/24", "fd01::/64"]);
        sim.run(SOON);
        for n in [4, 3, 2] {
            originate(&mut sim, n, &[PREFIX, "fd09::/64"]);
            sim.run(SOON);
        }
        originate(&mut sim, 1, &[PREFIX, "10.2.0.0/24"]);
        sim.run(SOON);
        withdraw(&mut sim, 2, &["10.1.0.0/24", "fd01::/64"]);
        sim.run(SOON);
        let before = [4, 5].map(|n| everything(&sim, n));
        assert_eq!(hops(&sim, 5).len(), if which == AddPathSend::All { 4 } else { 2 });
        for _ in 0..3 {
            sim.take_over(node(1)).unwrap();
            sim.run(Duration::from_secs(60));
            assert_eq!([4, 5].map(|n| everything(&sim, n)), before, "nothing was told to anybody");
        }
        assert!((2..=5).all(|n| view(&sim, n, 1).counters.established == 1));
        // And it goes on: a withdrawal names the path that was announced before, and a new path has a number of its own.
        withdraw(&mut sim, 3, &[PREFIX]);
        originate(&mut sim, 2, &["10.3.0.0/24", "10.4.0.0/24", "10.5.0.0/24"]);
        sim.run(SOON);
        assert!(!hops(&sim, 5).contains(&node(3)));
        let (kept, _) = everything(&sim, 5);
        let gone = |(prefix_of, _, hop): &(Prefix, u32, IpAddr)| {
            *prefix_of == prefix(PREFIX) && (*hop == node(3) || which != AddPathSend::All)
        };
        assert!(before[1].0.iter().filter(|path| !gone(path)).all(|path| kept.contains(path)));
        let ids: BTreeSet<u32> = kept.iter().map(|(_, id, _)| *id).collect();
        assert_eq!(ids.len(), kept.len(), "no number is given twice: {kept:?}");
    }
}

#[test]
fn what_is_left_of_several_paths_is_told_by_the_new_process_under_the_same_identifiers() {
    let mut sim = reflector(AddPathSend::All);
    for n in [2, 3] {
        originate(&mut sim, n, &[PREFIX]);
    }
    sim.run(SOON);
    let before = paths(&sim, 5);
    sim.stall(node(1));
    withdraw(&mut sim, 2, &[PREFIX]);
    originate(&mut sim, 4, &[PREFIX]);
    sim.run(SOON);
    sim.take_over(node(1)).unwrap();
    sim.run(SOON);
    assert_eq!(paths(&sim, 5), before, "still stalled");
    sim.unstall(node(1));
    sim.run(SOON);
    assert_eq!(hops(&sim, 5), [node(3), node(4)]);
    assert_eq!(paths(&sim, 5)[&node(3)], before[&node(3)]);
}

#[test]
fn aggregates_keep_their_identifiers_over_a_take_over() {
    let mut sim = reflector(AddPathSend::All);
    let mut config = sim.nodes[&node(1)].config.clone();
    config.aggregates.push(AggregateConfig {
        prefix: prefix("10.0.0.0/8"),
        summary_only: false,
        as_set: false,
        matching_med_only: false,
    });
    sim.configure(node(1), config);
    for n in [2, 3] {
        originate(&mut sim, n, &[PREFIX]);
    }
    sim.run(SOON);
    let before = everything(&sim, 5);
    assert!(before.0.iter().any(|(found, ..)| *found == prefix("10.0.0.0/8")));
    sim.take_over(node(1)).unwrap();
    sim.run(Duration::from_secs(10));
    assert_eq!(everything(&sim, 5), before);
}

/// The speaker of a reflector whose paths have numbers.
fn numbered() -> (Sim, Vec<u8>) {
    let mut sim = reflector(AddPathSend::All);
    for n in [2, 3, 1] {
        originate(&mut sim, n, &[PREFIX, "fd09::/64"]);
    }
    sim.run(SOON);
    let state = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap().hand_over().unwrap().state;
    (sim, state.to_vec())
}

#[test]
fn a_state_with_numbers_that_is_damaged_anywhere_never_panics_and_cut_short_it_is_refused() {
    let (sim, state) = numbered();
    let config = &sim.nodes[&node(1)].config;
    let take = |state: &[u8]| Speaker::take_over(sim.now, config, Surroundings::default(), state).map(drop);
    assert_eq!(take(&state), Ok(()));
    for len in 0..state.len() {
        assert!(take(&state[..len]).is_err(), "{len}");
    }
    for place in 0..state.len() {
        for value in [0, 1, 0xff] {
            let mut damaged = state.clone();
            damaged[place] = value;
            // Taken or refused: some changes mean another sane state.
            let _ = take(&damaged);
        }
    }
}

#[test]
fn a_number_too_high_for_the_state_is_neither_written_nor_read() {
    let (mut sim, state) = numbered();
    let config = sim.nodes[&node(1)].config.clone();
    let speaker = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap();
    let highest = speaker.rib.table.paths.iter().map(|(id, _)| id).max().unwrap();
    // The number stands once in the state, in four octets.
    let found: Vec<usize> =
        (0..state.len() - 4).filter(|at| state[*at..at + 4] == highest.0.to_be_bytes()).collect();
    let refused = found.iter().filter(|at| {
        let mut other = state.clone();
        other[**at..**at + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let taken = Speaker::take_over(sim.now, &config, Surroundings::default(), &other);
        taken.is_err_and(|error| error.to_string().contains("at a place that it cannot have"))
    });
    assert_eq!(refused.count(), 1);
    let speaker = sim.nodes.get_mut(&node(1)).unwrap().speaker.as_mut().unwrap();
    let path = speaker.rib.table.paths[highest].clone();
    speaker.rib.table.paths.put(crate::rib::PathId(3 << 20), path);
    let error = HandOverError::PathIdentifier((3 << 20) + 1);
    assert_eq!(speaker.hand_over(), Err(error));
}
