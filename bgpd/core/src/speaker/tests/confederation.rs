//! Confederations (RFC 5065).

use std::collections::BTreeSet;

use super::*;
use crate::rib::{Rejection, Step};
use crate::speaker::Confederation;
use crate::wire::Community;

const IDENTIFIER: u32 = 65000;

/// A speaker in a member AS of the confederation.
fn member(n: u8, asn: u32, others: &[u32]) -> Config {
    let members: BTreeSet<Asn> = others.iter().copied().map(Asn).collect();
    Config { confederation: Some(Confederation { identifier: Asn(IDENTIFIER), members }), ..config(n, asn) }
}

/// 5 (outside) - 1 (member 65001) - 2 (member 65002) - 3 (member 65002) - 4 (outside).
fn line() -> Sim {
    let mut sim = sim();
    let first = with_peer(member(1, 65001, &[65002]), 2, open_peer(65002));
    sim.add(node(1), with_peer(first, 5, open_peer(65200)));
    let second = with_peer(member(2, 65002, &[65001]), 1, open_peer(65001));
    sim.add(node(2), with_peer(second, 3, open_peer(65002)));
    let third = with_peer(member(3, 65002, &[65001]), 2, open_peer(65002));
    sim.add(node(3), with_peer(third, 4, open_peer(65100)));
    sim.add(node(4), with_peer(config(4, 65100), 3, open_peer(IDENTIFIER)));
    sim.add(node(5), with_peer(config(5, 65200), 1, open_peer(IDENTIFIER)));
    let links = [(1, 2), (2, 3), (3, 4), (1, 5)];
    assert!(sim.run_until(Duration::from_secs(2), |sim| links.iter().all(|(a, b)| is_up(sim, *a, *b))));
    sim
}

fn path(sim: &Sim, n: u8, text: &str) -> Option<String> {
    explain(sim, n, text).first().map(|view| view.route.attributes.as_path.to_string())
}

#[test]
fn members_are_in_the_path_inside_and_only_the_identifier_is_outside() {
    let mut sim = line();
    originate(&mut sim, 5, &["10.5.0.0/24", "fd05::/64"]);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    sim.run(SOON);
    for prefix in ["10.5.0.0/24", "fd05::/64"] {
        let paths = [1, 2, 3, 4].map(|n| path(&sim, n, prefix).unwrap());
        assert_eq!(paths, ["65200", "(65001) 65200", "(65001) 65200", "65000 65200"]);
    }
    assert_eq!(path(&sim, 1, "10.3.0.0/24").as_deref(), Some("(65002)"));
    assert_eq!(path(&sim, 5, "10.3.0.0/24").as_deref(), Some("65000"));
    // Between members the next hop and LOCAL_PREF stay as between internal peers.
    let route = &explain(&sim, 2, "10.5.0.0/24")[0].route;
    assert_eq!((route.next_hop.addr, route.attributes.local_pref), (node(5), Some(100)));
}

#[test]
fn med_and_local_pref_cross_members_but_not_the_border() {
    let mut sim = line();
    let route = OriginatedRoute {
        local_pref: Some(300),
        med: Some(7),
        ..OriginatedRoute::new(prefix("10.1.0.0/24"))
    };
    sim.input(node(1), Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false });
    sim.run(SOON);
    for n in [2, 3] {
        let attributes = &explain(&sim, n, "10.1.0.0/24")[0].route.attributes;
        assert_eq!((attributes.local_pref, attributes.med), (Some(300), Some(7)), "node {n}");
    }
    let attributes = &explain(&sim, 4, "10.1.0.0/24")[0].route.attributes;
    assert_eq!((attributes.local_pref, attributes.med), (None, None));
}

#[test]
fn well_known_communities_stop_at_the_member_as_or_at_the_confederation() {
    let mut sim = line();
    let route = |text: &str, community| OriginatedRoute {
        communities: vec![community],
        ..OriginatedRoute::new(prefix(text))
    };
    let routes = vec![
        route("10.2.1.0/24", Community::NO_EXPORT),
        route("10.2.2.0/24", Community::NO_EXPORT_SUBCONFED),
        route("10.2.3.0/24", Community::NO_ADVERTISE),
    ];
    sim.input(node(2), Input::Originate { owner: "test".to_owned(), routes, replace: false });
    sim.run(SOON);
    let known = |n| ["10.2.1.0/24", "10.2.2.0/24", "10.2.3.0/24"].map(|prefix| knows(&sim, n, prefix));
    assert_eq!(known(1), [true, false, false]);
    assert_eq!(known(3), [true, true, false]);
    assert_eq!(known(4), [false; 3]);
    assert_eq!(known(5), [false; 3]);
}

#[test]
fn a_path_that_went_through_our_member_as_is_a_loop() {
    let mut sim = sim();
    let all = [65001, 65002, 65003];
    for n in 1..=3u8 {
        let asn = 65000 + u32::from(n);
        let others: Vec<u32> = all.into_iter().filter(|other| *other != asn).collect();
        let mut own = member(n, asn, &others);
        for other in (1..=3).filter(|other| *other != n) {
            let mut peer = open_peer(65000 + u32::from(other));
            if (n, other) == (1, 3) {
                // So that 3 hears of it from 2 alone, and tells 1.
                peer.export = Some(std::sync::Arc::new(Policy::reject_all()));
            }
            own = with_peer(own, other, peer);
        }
        sim.add(node(n), own);
    }
    assert!(
        sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3) && is_up(sim, 1, 3))
    );
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    sim.run(SOON);
    let rejections = |n| -> Vec<_> {
        explain(&sim, n, "10.1.0.0/24").into_iter().filter_map(|view| view.rejection).collect()
    };
    assert_eq!(rejections(1), [Rejection::AsLoop]);
    assert_eq!(path(&sim, 3, "10.1.0.0/24").as_deref(), Some("(65002 65001)"));
    assert_eq!(path(&sim, 2, "10.1.0.0/24").as_deref(), Some("(65001)"));
}

#[test]
fn the_number_of_a_member_as_means_nothing_in_a_path_from_outside() {
    // 6, outside, happens to have the private number that member 1 has.
    let mut sim = line();
    let mut outside = with_peer(sim.nodes[&node(5)].config.clone(), 6, open_peer(65001));
    outside.peers.get_mut(&node(1)).unwrap().enabled = true;
    sim.configure(node(5), outside);
    sim.add(node(6), with_peer(config(6, 65001), 5, open_peer(65200)));
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 5, 6)));
    originate(&mut sim, 6, &["10.6.0.0/24"]);
    sim.run(SOON);
    assert_eq!(path(&sim, 1, "10.6.0.0/24").as_deref(), Some("65200 65001"));
    assert!(knows(&sim, 1, "10.6.0.0/24") && knows(&sim, 4, "10.6.0.0/24"));
}

#[test]
fn a_path_from_outside_is_preferred_to_one_from_another_member() {
    let mut sim = line();
    for n in [4, 5] {
        originate(&mut sim, n, &["10.9.0.0/24"]);
    }
    sim.run(SOON);
    for (n, neighbour) in [(1, "65200"), (3, "65100")] {
        let paths = explain(&sim, n, "10.9.0.0/24");
        assert_eq!(paths[0].route.attributes.as_path.to_string(), neighbour);
        // The other border prefers its own, so that it says nothing else; where it does, this decides.
        assert!(paths.len() == 1 || paths[0].decided_by == Some(Step::ExternalOverInternal));
    }
}

#[test]
fn an_external_peer_must_not_send_confederation_segments() {
    let mut sim = line();
    // Node 3 thinks that 4 is outside; 4 thinks that 3 is another member.
    let wrong = Config {
        confederation: Some(Confederation {
            identifier: Asn(65100),
            members: BTreeSet::from([Asn(IDENTIFIER)]),
        }),
        ..with_peer(config(4, 65100), 3, open_peer(IDENTIFIER))
    };
    sim.configure(node(4), wrong);
    assert!(sim.run_until(Duration::from_secs(30), |sim| is_up(sim, 3, 4)));
    originate(&mut sim, 4, &["10.4.0.0/24"]);
    sim.run(SOON);
    assert!(!knows(&sim, 3, "10.4.0.0/24"));
    assert!(is_up(&sim, 3, 4));
}
