//! What is changed and held back on the way to a peer, and what well-known communities do.

use std::sync::Arc;

use super::*;
use crate::policy::{PrefixEntry, PrefixList};
use crate::rib::Rejection;
use crate::speaker::{
    BlackholeConfig, ConditionalAdvertisement, DefaultOriginate, NextHopMode, OutboundConfig,
    RemovePrivateAs, RibKind, SendCommunities,
};
use crate::wire::{Community, LargeCommunity};

const PREFIX: &str = "10.9.0.0/24";

/// 1 (AS of its own) - 2 (AS 100) - 3 (AS of its own); what 2 sends to 3 is as the options say.
fn line((first, third): (u32, u32), outbound: OutboundConfig) -> Sim {
    let mut sim = sim();
    sim.add(node(1), with_peer(config(1, first), 2, open_peer(100)));
    let to_third = PeerConfig { outbound, ..open_peer(third) };
    sim.add(node(2), with_peer(with_peer(config(2, 100), 1, open_peer(first)), 3, to_third));
    // Whoever shares an AS takes the path in for looking at it.
    let open = PeerConfig { allow_own_as: 3, ..open_peer(100) };
    sim.add(node(3), with_peer(config(3, third), 2, open));
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2) && is_up(sim, 2, 3)));
    sim.run(SOON);
    sim
}

fn set(sim: &mut Sim, change: impl FnOnce(&mut OutboundConfig)) {
    let mut config = sim.nodes[&node(2)].config.clone();
    change(&mut config.peers.get_mut(&node(3)).unwrap().outbound);
    sim.configure(node(2), config);
    sim.run(SOON);
}

fn path(sim: &Sim, n: u8, text: &str) -> String {
    explain(sim, n, text)[0].route.attributes.as_path.to_string()
}

fn list(prefixes: &[&str]) -> Arc<PrefixList> {
    Arc::new(PrefixList::new(prefixes.iter().map(|text| PrefixEntry::exact(prefix(text), true)).collect()))
}

fn with_communities(sim: &mut Sim, n: u8, text: &str, communities: &[Community]) {
    let route = OriginatedRoute {
        communities: communities.to_vec(),
        large_communities: vec![LargeCommunity { global: 1, local1: 2, local2: 3 }],
        ..OriginatedRoute::new(prefix(text))
    };
    sim.input(node(n), Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false });
    sim.run(SOON);
}

#[test]
fn private_as_numbers_go_or_are_replaced_but_the_receivers_own_stays() {
    let remove = |all, replace| Some(RemovePrivateAs { all, replace });
    for (first, third, option, expected) in [
        (65001, 200, None, "100 65001"),
        (65001, 200, remove(false, false), "100"),
        (65001, 200, remove(false, true), "100 100"),
        (65001, 65001, remove(true, false), "100 65001"),
        (300, 200, remove(true, false), "100 300"),
        (4_200_000_000, 200, remove(true, false), "100"),
    ] {
        let mut sim = line((first, third), OutboundConfig::default());
        originate(&mut sim, 1, &[PREFIX]);
        set(&mut sim, |outbound| outbound.remove_private_as = option);
        assert_eq!(path(&sim, 3, PREFIX), expected, "{first} {third} {option:?}");
        assert_eq!(view(&sim, 2, 3).counters.established, 1);
    }
}

#[test]
fn of_a_mixed_path_private_as_numbers_go_only_if_all_are_to_go() {
    // 4 (private) - 1 (public) - 2 - 3.
    let mut sim = line((300, 200), OutboundConfig::default());
    let mut first = sim.nodes[&node(1)].config.clone();
    first = with_peer(first, 4, open_peer(65004));
    sim.configure(node(1), first);
    sim.add(node(4), with_peer(config(4, 65004), 1, open_peer(300)));
    assert!(sim.run_until(Duration::from_secs(10), |sim| is_up(sim, 1, 4)));
    originate(&mut sim, 4, &[PREFIX]);
    for (all, replace, expected) in
        [(false, false, "100 300 65004"), (true, false, "100 300"), (true, true, "100 300 100")]
    {
        set(&mut sim, |outbound| outbound.remove_private_as = Some(RemovePrivateAs { all, replace }));
        assert_eq!(path(&sim, 3, PREFIX), expected);
    }
}

#[test]
fn the_receivers_as_becomes_ours_by_as_override() {
    let mut sim = line((65001, 65001), OutboundConfig { as_override: true, ..OutboundConfig::default() });
    originate(&mut sim, 1, &[PREFIX]);
    sim.run(SOON);
    assert_eq!(path(&sim, 3, PREFIX), "100 100");
}

#[test]
fn the_next_hop_may_be_any_address() {
    let mut sim = line((65001, 65003), OutboundConfig::default());
    let mut config = sim.nodes[&node(2)].config.clone();
    config.peers.get_mut(&node(3)).unwrap().next_hop = NextHopMode::Address(node(77));
    sim.configure(node(2), config);
    originate(&mut sim, 1, &[PREFIX]);
    originate(&mut sim, 2, &["10.2.0.0/24", "fd02::/64"]);
    sim.run(SOON);
    // It cannot be that of an IPv6 route, which has the usual one.
    assert_eq!(explain(&sim, 3, "fd02::/64")[0].route.next_hop.addr, ip("fd00::2"));
    for prefix in [PREFIX, "10.2.0.0/24"] {
        assert_eq!(explain(&sim, 3, prefix)[0].route.next_hop.addr, node(77));
    }
}

#[test]
fn a_default_route_takes_the_place_of_any_other_and_follows_its_condition() {
    let default = |condition| Some(DefaultOriginate { condition });
    let mut sim = line((65001, 65003), OutboundConfig::default());
    originate(&mut sim, 1, &["0.0.0.0/0"]);
    sim.run(SOON);
    assert_eq!(path(&sim, 3, "0.0.0.0/0"), "100 65001");
    set(&mut sim, |outbound| outbound.default_originate = default(None));
    for text in ["0.0.0.0/0", "::/0"] {
        assert_eq!(path(&sim, 3, text), "100");
    }
    assert_eq!(explain(&sim, 3, "0.0.0.0/0")[0].route.next_hop.addr, node(2));
    assert_eq!(view(&sim, 2, 3).families.iter().map(|family| family.advertised).sum::<u32>(), 2);
    let told = sim.nodes[&node(2)].speaker.as_ref().unwrap().routes(RibKind::AdjRibOut(node(3)));
    let told: Vec<Prefix> = told.into_iter().map(|view| view.prefix).collect();
    assert_eq!(told, [prefix("0.0.0.0/0"), prefix("::/0")]);
    // The other one comes and goes unseen.
    withdraw(&mut sim, 1, &["0.0.0.0/0"]);
    sim.run(SOON);
    assert_eq!(path(&sim, 3, "0.0.0.0/0"), "100");
    set(&mut sim, |outbound| outbound.default_originate = default(Some(list(&[PREFIX]))));
    assert!(!knows(&sim, 3, "0.0.0.0/0") && !knows(&sim, 3, "::/0"));
    originate(&mut sim, 1, &[PREFIX]);
    sim.run(SOON);
    assert!(knows(&sim, 3, "0.0.0.0/0") && knows(&sim, 3, "::/0"));
    withdraw(&mut sim, 1, &[PREFIX]);
    sim.run(SOON);
    assert!(!knows(&sim, 3, "0.0.0.0/0") && !knows(&sim, 3, "::/0"));
    // A session that comes up while the condition holds begins with it.
    originate(&mut sim, 1, &[PREFIX]);
    sim.input(node(2), Input::ResetPeer { peer: node(3), text: String::new() });
    assert!(sim.run_until(Duration::from_secs(60), |sim| is_up(sim, 2, 3) && knows(sim, 3, "0.0.0.0/0")));
}

#[test]
fn routes_are_sent_only_while_others_exist_or_do_not() {
    for exist in [true, false] {
        let rule =
            ConditionalAdvertisement { routes: list(&[PREFIX]), condition: list(&["10.8.0.0/24"]), exist };
        let mut sim = line((65001, 65003), OutboundConfig::default());
        set(&mut sim, |outbound| outbound.conditional = vec![rule]);
        originate(&mut sim, 1, &[PREFIX, "10.7.0.0/24"]);
        sim.run(SOON);
        for there in [false, true, false] {
            if there {
                originate(&mut sim, 2, &["10.8.0.0/24"]);
            } else {
                withdraw(&mut sim, 2, &["10.8.0.0/24"]);
            }
            sim.run(SOON);
            assert_eq!(knows(&sim, 3, PREFIX), there == exist);
            assert!(knows(&sim, 3, "10.7.0.0/24"));
        }
        assert_eq!(view(&sim, 2, 3).counters.established, 1);
    }
}

#[test]
fn each_of_several_conditions_holds_its_own_routes_back_and_a_shared_one_waits_for_all() {
    const SHARED: &str = "10.7.0.0/24";
    let rule = |routes: &[&str], condition: &str| ConditionalAdvertisement {
        routes: list(routes),
        condition: list(&[condition]),
        exist: true,
    };
    let (first, second) = ("10.8.0.0/24", "10.5.0.0/24");
    let mut sim = line((65001, 65003), OutboundConfig::default());
    set(&mut sim, |outbound| {
        outbound.conditional = vec![rule(&[PREFIX, SHARED], first), rule(&[SHARED], second)];
    });
    originate(&mut sim, 1, &[PREFIX, SHARED, "10.6.0.0/24"]);
    for there in [&[][..], &[second], &[first], &[first, second], &[]] {
        withdraw(&mut sim, 2, &[first, second]);
        originate(&mut sim, 2, there);
        sim.run(SOON);
        let has = |condition| there.contains(&condition);
        assert_eq!(knows(&sim, 3, PREFIX), has(first), "{there:?}");
        assert_eq!(knows(&sim, 3, SHARED), has(first) && has(second), "{there:?}");
        assert!(knows(&sim, 3, "10.6.0.0/24"));
    }
}

#[test]
fn kinds_of_communities_can_be_kept_back() {
    let mut sim = line((65001, 65003), OutboundConfig::default());
    with_communities(&mut sim, 1, PREFIX, &[Community::new(1, 2)]);
    let sent = |sim: &Sim| {
        let attributes = &explain(sim, 3, PREFIX)[0].route.attributes;
        (attributes.communities.len(), attributes.large_communities.len())
    };
    assert_eq!(sent(&sim), (1, 1));
    for (standard, large) in [(false, true), (true, false), (false, false)] {
        set(&mut sim, |outbound| {
            outbound.send_communities = SendCommunities { standard, extended: true, large };
        });
        assert_eq!(sent(&sim), (usize::from(standard), usize::from(large)));
    }
}

#[test]
fn a_graceful_shutdown_is_marked_and_makes_the_path_the_last_choice() {
    let mut sim = line((65001, 65003), OutboundConfig::default());
    originate(&mut sim, 1, &[PREFIX]);
    sim.run(SOON);
    let local_pref = |sim: &Sim| {
        let path = &explain(sim, 3, PREFIX)[0].route.attributes;
        (path.communities.contains(Community::GRACEFUL_SHUTDOWN), path.local_pref)
    };
    assert_eq!(local_pref(&sim), (false, None));
    set(&mut sim, |outbound| outbound.graceful_shutdown = true);
    assert_eq!(local_pref(&sim), (true, Some(0)));
    set(&mut sim, |outbound| outbound.graceful_shutdown = false);
    assert_eq!(local_pref(&sim), (false, None));
    // What came, came without LOCAL_PREF.
    let speaker = sim.nodes[&node(3)].speaker.as_ref().unwrap();
    let routes = speaker.routes(RibKind::AdjRibIn(node(2)));
    assert!(routes.iter().all(|view| view.route.attributes.local_pref.is_none()));
}

#[test]
fn inside_of_the_as_a_graceful_shutdown_says_local_pref_0() {
    let mut sim = line((65001, 100), OutboundConfig { graceful_shutdown: true, ..OutboundConfig::default() });
    originate(&mut sim, 1, &[PREFIX]);
    sim.run(SOON);
    let attributes = &explain(&sim, 3, PREFIX)[0].route.attributes;
    assert_eq!(attributes.local_pref, Some(0));
    assert!(attributes.communities.contains(Community::GRACEFUL_SHUTDOWN));
}

#[test]
fn a_route_of_our_own_that_is_marked_is_the_last_choice_on_both_sides_of_the_as() {
    for third in [100, 65003] {
        let mut sim = line((65001, third), OutboundConfig::default());
        let best = |sim: &Sim, n: u8| {
            let path = &explain(sim, n, PREFIX)[0].route.attributes;
            (path.communities.contains(Community::GRACEFUL_SHUTDOWN), path.local_pref)
        };
        let (external, usual) = (third != 100, if third == 100 { Some(100) } else { None });
        with_communities(&mut sim, 2, PREFIX, &[]);
        assert_eq!(best(&sim, 3), (false, usual), "AS {third}");
        with_communities(&mut sim, 2, PREFIX, &[Community::GRACEFUL_SHUTDOWN]);
        assert_eq!(best(&sim, 3), (true, Some(0)), "AS {third}");
        assert_eq!(best(&sim, 1), (true, Some(0)));
        assert_eq!(best(&sim, 2), (true, None), "its own is still what it prefers itself");
        // What it says of LOCAL_PREF itself counts, inside of the AS.
        let route = OriginatedRoute {
            communities: vec![Community::GRACEFUL_SHUTDOWN],
            local_pref: Some(50),
            ..OriginatedRoute::new(prefix(PREFIX))
        };
        let input = Input::Originate { owner: "test".to_owned(), routes: vec![route], replace: false };
        sim.input(node(2), input);
        sim.run(SOON);
        assert_eq!(best(&sim, 3), (true, Some(if external { 0 } else { 50 })), "AS {third}");
        with_communities(&mut sim, 2, PREFIX, &[]);
        assert_eq!(best(&sim, 3), (false, usual), "AS {third}");
    }
}

#[test]
fn a_blackhole_is_one_where_that_is_configured_and_long_enough_and_goes_no_further() {
    let mut sim = line((65001, 65003), OutboundConfig::default());
    for text in ["192.0.2.1/32", "192.0.2.0/31"] {
        with_communities(&mut sim, 1, text, &[Community::BLACKHOLE]);
    }
    let blackhole =
        |sim: &Sim, n: u8| sim.nodes[&node(n)].routes.get(&prefix("192.0.2.1/32")).map(|best| best.blackhole);
    assert_eq!((blackhole(&sim, 2), blackhole(&sim, 3)), (Some(false), Some(false)));
    let accept = |sim: &mut Sim, accept| {
        let mut config = sim.nodes[&node(2)].config.clone();
        config.peers.get_mut(&node(1)).unwrap().blackhole = accept;
        sim.configure(node(2), config);
        sim.run(SOON);
    };
    accept(&mut sim, Some(BlackholeConfig::default()));
    assert_eq!((blackhole(&sim, 2), blackhole(&sim, 3)), (Some(true), None));
    assert_eq!(explain(&sim, 2, "192.0.2.0/31")[0].rejection, Some(Rejection::BlackholeTooShort));
    accept(&mut sim, Some(BlackholeConfig { min_len: [31, 128] }));
    assert_eq!(explain(&sim, 2, "192.0.2.0/31")[0].rejection, None);
    accept(&mut sim, None);
    assert_eq!((blackhole(&sim, 2), blackhole(&sim, 3)), (Some(false), Some(false)));
    assert_eq!(view(&sim, 2, 1).counters.established, 1);
}
