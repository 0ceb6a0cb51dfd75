//! Tests of the table, and of what is looked at when.

use std::time::Duration;

use bgp_core::nexthop::Forwarding;
use bgp_core::speaker::{BestRoute, RouteSource};
use cairn_kernel::object::{
    Change as Told, Hop, IfIndex, Object, PROTOCOL, Route, RouteKey, RouteKind, RouteTarget,
};
use cairn_net::{Families, Family, Prefix};
use tokio::time::Instant;

use super::doubts::Doubts;
use super::others::{Holder, Others};
use super::table::{Change, Table, key};
use super::{GATHER, PAUSE, RETRY, SLOWEST};
use crate::daemon::RouteBatch;

type Learned = (Prefix, Option<BestRoute>);

fn learned(prefix: &str, hops: &[&str]) -> Learned {
    let next_hops = hops.iter().map(|hop| hop.parse().unwrap()).collect();
    let source = RouteSource::Peer("192.0.2.254".parse().unwrap());
    (prefix.parse().unwrap(), Some(BestRoute { next_hops, source, blackhole: false }))
}

fn blackhole(prefix: &str) -> Learned {
    let (prefix, best) = learned(prefix, &["192.0.2.1"]);
    (prefix, best.map(|best| BestRoute { blackhole: true, ..best }))
}

fn via(prefix: &str, gateway: &str) -> Route {
    Route::via(prefix.parse().unwrap(), gateway.parse().unwrap(), None).normalised()
}

/// What a comparison with these routes of the kernel changes: first what goes, then what is written.
fn repair(table: &Table, actual: &[Route]) -> Vec<Change> {
    let mut table = table.clone();
    Family::ALL.into_iter().for_each(|family| table.look_anew(family));
    let strays: Vec<RouteKey> = actual.iter().filter_map(|route| table.seen(route)).collect();
    let missing = table.missing().into_iter().map(|prefix| table.write(prefix).unwrap());
    strays.into_iter().map(Change::Remove).chain(missing).collect()
}

#[test]
fn a_blackhole_is_one_in_the_kernel_and_its_end_too() {
    let mut table = Table::default();
    let changes = table.apply(&update(vec![blackhole("203.0.113.7/32")], Families::NONE));
    let written = put(&changes[0]).clone();
    assert_eq!((written.kind, &written.target), (RouteKind::Blackhole, &RouteTarget::None));
    assert!(repair(&table, std::slice::from_ref(&written)).is_empty());
    // Somebody made an ordinary route of it.
    let ordinary =
        put(&Table::default()
            .apply(&update(vec![learned("203.0.113.7/32", &["192.0.2.1"])], Families::NONE))[0])
        .clone();
    assert_eq!(repair(&table, &[ordinary]), [Change::Replace(written)]);
    let changes = table.apply(&update(vec![learned("203.0.113.7/32", &["192.0.2.1"])], Families::NONE));
    assert_eq!(put(&changes[0]).kind, RouteKind::Unicast);
}

fn gone(prefix: &str) -> Learned {
    (prefix.parse().unwrap(), None)
}

fn update(changes: Vec<Learned>, end_of_rib: Families) -> RouteBatch {
    RouteBatch { changes, end_of_rib, ..RouteBatch::default() }
}

fn put(change: &Change) -> &Route {
    match change {
        Change::Create(route) | Change::Replace(route) => route,
        Change::Remove(key) => panic!("{key} is removed"),
    }
}

#[test]
fn equal_paths_become_one_route_with_several_hops() {
    let mut table = Table::default();
    let changes =
        table.apply(&update(vec![learned("10.0.0.0/8", &["192.0.2.1", "192.0.2.2"])], Families::NONE));
    assert!(matches!(&put(&changes[0]).target, RouteTarget::Multipath(hops) if hops.len() == 2));
}

#[test]
fn what_the_router_originates_itself_is_not_installed() {
    let mut table = Table::default();
    let mut own = learned("10.0.0.0/8", &["192.0.2.1"]);
    if let Some(best) = &mut own.1 {
        best.source = RouteSource::Local("test".into());
    }
    let changes = table.apply(&update(vec![own], Families::NONE));
    assert!(matches!(changes.as_slice(), [Change::Remove(_)]));
    assert_eq!(table.len(), 0);
}

#[test]
fn nothing_is_swept_before_the_end_of_rib_of_its_family() {
    let mut table = Table::default();
    let stale = Route::via("10.1.0.0/16".parse().unwrap(), "192.0.2.1".parse().unwrap(), None);
    table.apply(&update(vec![], Families::NONE.with(Family::Ipv6)));
    assert_eq!(repair(&table, std::slice::from_ref(&stale)), []);
    table.apply(&update(vec![], Families::NONE.with(Family::Ipv4)));
    assert_eq!(repair(&table, std::slice::from_ref(&stale)), [Change::Remove(stale.key())]);
}

#[test]
fn lost_and_changed_routes_are_written_again_and_right_ones_left_alone() {
    let mut table = Table::default();
    let routes = vec![learned("10.0.0.0/8", &["192.0.2.1"]), learned("fd00::/16", &["2001:db8::1"])];
    let written: Vec<Route> =
        table.apply(&update(routes, Families::ALL)).iter().map(|change| put(change).clone()).collect();
    assert_eq!(repair(&table, &written), []);
    let changed = Route::via("10.0.0.0/8".parse().unwrap(), "192.0.2.9".parse().unwrap(), None);
    let changes = repair(&table, &[changed, written[1].clone()]);
    assert_eq!(changes, [Change::Replace(written[0].clone())]);
    assert_eq!(repair(&table, &[]).len(), 2);
}

#[test]
fn a_withdrawn_prefix_is_removed_at_once() {
    let mut table = Table::default();
    table.apply(&update(vec![learned("10.0.0.0/8", &["192.0.2.1"])], Families::NONE));
    assert!(matches!(
        table.apply(&update(vec![gone("10.0.0.0/8")], Families::NONE)).as_slice(),
        [Change::Remove(_)]
    ));
    assert_eq!(table.len(), 0);
}

#[test]
fn routes_share_their_ways_and_unused_ones_are_forgotten() {
    let mut table = Table::default();
    let both = ["192.0.2.1", "192.0.2.2"];
    let swapped = ["192.0.2.2", "192.0.2.1"];
    table
        .apply(&update(vec![learned("10.0.0.0/8", &both), learned("10.1.0.0/16", &swapped)], Families::NONE));
    assert_eq!((table.len(), table.ways()), (2, 1));
    table.apply(&update(vec![learned("10.0.0.0/8", &both[..1])], Families::NONE));
    assert_eq!(table.ways(), 2);
    table.apply(&update(vec![gone("10.1.0.0/16"), gone("10.1.0.0/16")], Families::NONE));
    assert_eq!((table.len(), table.ways()), (1, 1));
    for last in 1..=200 {
        table.apply(&update(vec![learned("10.0.0.0/8", &[&format!("192.0.2.{last}")])], Families::NONE));
        assert_eq!(table.ways(), 1);
        let wanted = table.wanted("10.0.0.0/8".parse().unwrap());
        assert_eq!(wanted, Some(via("10.0.0.0/8", &format!("192.0.2.{last}"))));
    }
}

#[test]
fn a_route_of_ours_beside_the_wanted_one_goes() {
    let mut table = Table::default();
    table.apply(&update(vec![learned("10.0.0.0/8", &["192.0.2.1"])], Families::NONE));
    let wanted = via("10.0.0.0/8", "192.0.2.1");
    let beside = Route { priority: 50, ..wanted.clone() };
    assert_eq!(repair(&table, &[beside.clone(), wanted]), [Change::Remove(beside.key())]);
    assert_eq!(table.mend(beside.key()), Some(Change::Remove(beside.key())));
}

#[test]
fn only_what_is_ours_in_the_kernel_is_replaced() {
    let wanted = |hop| via("10.0.0.0/8", hop);
    let announce = |table: &mut Table, hop: &str| {
        table.apply(&update(vec![learned("10.0.0.0/8", &[hop])], Families::NONE)).remove(0)
    };
    let prefix = wanted("192.0.2.1").prefix;
    // A new one, until it is written.
    let mut table = Table::default();
    assert_eq!(announce(&mut table, "192.0.2.1"), Change::Create(wanted("192.0.2.1")));
    assert_eq!(announce(&mut table, "192.0.2.2"), Change::Create(wanted("192.0.2.2")));
    table.set_ours(prefix, true);
    assert_eq!(announce(&mut table, "192.0.2.1"), Change::Replace(wanted("192.0.2.1")));
    // Somebody deletes it, and somebody takes its place; another metric is another place.
    let ours = wanted("192.0.2.1");
    let theirs = Route { protocol: 4, ..ours.clone() };
    for (change, replaced, kept) in [
        (Told::Gone(Route { priority: 7, ..ours.clone() }), false, true),
        (Told::Present(Route { priority: 7, ..theirs.clone() }), false, true),
        (Told::Gone(theirs.clone()), false, true),
        (Told::Present(theirs.clone()), true, true),
        (Told::Gone(ours.clone()), false, false),
        (Told::Present(theirs.clone()), true, false),
        (Told::Present(ours.clone()), false, true),
        // The kernel has taken ours away with its interface, and said nothing.
        (Told::Present(theirs.clone()), false, false),
        (Told::Present(ours.clone()), true, true),
    ] {
        table.told(&change, replaced);
        let expected = if kept { Change::Replace(ours.clone()) } else { Change::Create(ours.clone()) };
        assert_eq!(table.write(prefix), Some(expected), "{change:?}");
    }
    table.apply(&update(vec![gone("10.0.0.0/8")], Families::NONE));
    assert_eq!(table.write(prefix), None);
    // What another process of ours has left, and what a comparison finds.
    let mut table = Table::default();
    assert_eq!(table.seen(&wanted("192.0.2.9")), None);
    assert_eq!(announce(&mut table, "192.0.2.1"), Change::Replace(wanted("192.0.2.1")));
    table.look_anew(Family::Ipv4);
    assert_eq!(announce(&mut table, "192.0.2.1"), Change::Create(wanted("192.0.2.1")));
}

#[test]
fn who_has_a_place_is_said_once_until_it_is_free() {
    let [theirs, ours] = [4, PROTOCOL].map(|protocol| Route { protocol, ..via("10.0.0.0/8", "192.0.2.1") });
    let other = via("10.1.0.0/16", "192.0.2.1");
    let now = Instant::now();
    let mut others = Others::default();
    let refused = [theirs.prefix, other.prefix];
    let taken = others.unknown(refused.into_iter());
    assert!(others.may_look(now) && !others.may_look(now) && others.may_look(now + RETRY));
    let holders = [Holder::of(&ours), Holder::of(&theirs), Holder::of(&other)];
    assert_eq!(others.found(taken, &holders), [other.prefix]);
    assert_eq!(others.unknown(refused.into_iter()), [other.prefix].into());
    others.written(theirs.prefix);
    assert_eq!(others.unknown(refused.into_iter()), refused.into());
}

#[test]
fn who_has_a_place_is_remembered_while_the_prefix_comes_and_goes() {
    let theirs = Route { protocol: 4, ..via("10.0.0.0/8", "192.0.2.1") };
    let mut others = Others::default();
    let unknown = |others: &mut Others| others.unknown([theirs.prefix].into_iter()).len();
    others.found([theirs.prefix].into(), &[Holder::of(&theirs)]);
    for _ in 0..3 {
        others.withdrawn(theirs.prefix);
        assert_eq!(others.waiting().len(), 0);
        assert_eq!((unknown(&mut others), others.waiting().len()), (0, 1), "the table is read again");
    }
    // Until somebody changes something there, or may have.
    others.withdrawn(theirs.prefix);
    others.told(&Told::Gone(theirs.clone()));
    assert_eq!(unknown(&mut others), 1);
    others.found([theirs.prefix].into(), &[Holder::of(&theirs)]);
    others.withdrawn(theirs.prefix);
    others.told_no_more();
    assert_eq!(unknown(&mut others), 1);
    // Whatever comes and goes, it is remembered of a bounded number.
    for number in 0..10_000u32 {
        let prefix = Prefix::host(std::net::Ipv4Addr::from(0x0b00_0000 + number).into());
        others.found([prefix].into(), &[Holder::of(&Route { protocol: 4, ..Route::blackhole(prefix) })]);
        others.withdrawn(prefix);
    }
    let known = (0..10_000u32).filter(|number| {
        let prefix = Prefix::host(std::net::Ipv4Addr::from(0x0b00_0000 + number).into());
        others.unknown([prefix].into_iter()).is_empty()
    });
    assert_eq!(known.count(), 4096);
}

#[test]
fn places_of_others_are_tried_less_and_less_often_while_that_is_in_vain() {
    let began = Instant::now();
    let mut doubts = Doubts::default();
    let mut now = began;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        doubts.of_waiting(now);
        doubts.of_waiting(now);
        let due = doubts.due().unwrap();
        assert!(!doubts.take_waiting(due - Duration::from_millis(1)));
        assert!(doubts.take_waiting(due));
        doubts.tried(false);
        pauses.push(due - now);
        now = due;
        assert_eq!(doubts.due(), None);
    }
    assert_eq!(pauses[..4], [GATHER, 2 * PAUSE, 4 * PAUSE, 8 * PAUSE]);
    assert_eq!(pauses[8], SLOWEST);
    doubts.tried(true);
    doubts.of_waiting(now);
    assert_eq!(doubts.due(), Some(now + PAUSE));
}

/// A table with one route, and that route.
fn one_route() -> (Table, Route) {
    let mut table = Table::default();
    table.apply(&update(vec![learned("10.0.0.0/8", &["192.0.2.1"])], Families::ALL));
    (table, via("10.0.0.0/8", "192.0.2.1"))
}

#[test]
fn what_others_do_is_looked_at_only_where_it_concerns_us() {
    let (table, ours) = one_route();
    let now = Instant::now();
    let theirs = |route: &Route| Route { protocol: 4, ..route.clone() };
    let nothing = [
        // As it should be.
        Told::Present(ours.clone()),
        Told::Present(theirs(&via("10.9.0.0/16", "192.0.2.9"))),
        Told::Gone(theirs(&via("10.9.0.0/16", "192.0.2.9"))),
        // Beside ours, with another metric.
        Told::Present(Route { priority: 7, ..theirs(&ours) }),
    ];
    for change in nothing {
        let mut doubts = Doubts::default();
        doubts.changed(&change, &table, now);
        assert_eq!(doubts.due(), None, "{change:?}");
    }
    let something = [
        (Told::Gone(ours.clone()), Change::Create(ours.clone())),
        // Somebody's route has taken the place of ours.
        (Told::Present(theirs(&ours)), Change::Create(ours.clone())),
        (Told::Present(via("10.0.0.0/8", "192.0.2.9")), Change::Create(ours)),
        (
            Told::Present(via("10.9.0.0/16", "192.0.2.9")),
            Change::Remove(via("10.9.0.0/16", "192.0.2.9").key()),
        ),
    ];
    for (change, mended) in something {
        let mut doubts = Doubts::default();
        doubts.changed(&change, &table, now);
        assert_eq!(doubts.due(), Some(now + GATHER), "{change:?}");
        assert!(doubts.take(now).is_empty(), "not yet");
        let due: Vec<RouteKey> = doubts.take(now + GATHER);
        let changes: Vec<Change> = due.into_iter().filter_map(|key| table.mend(key)).collect();
        assert_eq!(changes, [mended]);
        assert_eq!(doubts.due(), None);
    }
}

#[test]
fn a_quarrel_costs_one_look_a_second() {
    let (table, ours) = one_route();
    let began = Instant::now();
    let (mut now, mut looks) = (began, 0);
    let mut doubts = Doubts::default();
    while now < began + Duration::from_secs(10) {
        doubts.changed(&Told::Gone(ours.clone()), &table, now);
        looks += usize::from(!doubts.take(now).is_empty());
        now += Duration::from_millis(1);
    }
    assert_eq!(looks, 10);
}

#[test]
fn much_meddling_is_one_comparison() {
    let (table, _) = one_route();
    let now = Instant::now();
    let mut doubts = Doubts::default();
    for number in 0..10_000u32 {
        let prefix = Prefix::host(std::net::Ipv4Addr::from(0x0b00_0000 + number).into());
        doubts.changed(&Told::Present(Route::blackhole(prefix)), &table, now);
    }
    assert!(doubts.take_everything(now + GATHER));
    doubts.compared(now);
    assert_eq!(doubts.due(), None);
    // Not again at once.
    doubts.of_everything(now);
    assert_eq!(doubts.due(), Some(now + RETRY));
}

#[test]
fn what_the_kernel_refused_is_tried_again_until_it_is_withdrawn() {
    let (mut table, ours) = one_route();
    let now = Instant::now();
    let mut doubts = Doubts::default();
    doubts.refused([ours.prefix], now);
    assert_eq!(doubts.due(), Some(now + RETRY));
    let due = doubts.take(now + RETRY);
    assert_eq!(
        due.iter().filter_map(|key| table.mend(*key)).collect::<Vec<_>>(),
        [Change::Create(ours.clone())]
    );
    table.apply(&update(vec![gone("10.0.0.0/8")], Families::NONE));
    assert_eq!(table.mend(ours.key()), Some(Change::Remove(ours.key())));
    assert_eq!(ours.protocol, PROTOCOL);
}

#[test]
fn a_link_local_next_hop_has_its_interface_in_routes_of_either_family() {
    for (prefix, hops) in [("10.0.0.0/8", &["fe80::1", "192.0.2.1"][..]), ("2001:db8::/32", &["fe80::1"])] {
        let mut table = Table::default();
        let batch = update(vec![learned(prefix, hops)], Families::NONE);
        let links = [("fe80::1".parse().unwrap(), 7)].into();
        table.apply(&RouteBatch { links, ..batch });
        let route = table.wanted(prefix.parse().unwrap()).unwrap();
        let via = Hop::via("fe80::1".parse().unwrap(), Some(IfIndex(7)));
        match &route.target {
            RouteTarget::Hop(hop) => assert_eq!(*hop, via),
            RouteTarget::Multipath(hops) => assert!(hops.contains(&via), "{hops:?}"),
            other => panic!("{other:?}"),
        }
        // What the kernel has is the same where the interface is, too.
        assert_eq!(repair(&table, std::slice::from_ref(&route)), []);
        let mut moved = route;
        match &mut moved.target {
            RouteTarget::Hop(hop) => hop.dev = Some(IfIndex(8)),
            RouteTarget::Multipath(hops) => hops.iter_mut().for_each(|hop| hop.dev = Some(IfIndex(8))),
            other => panic!("{other:?}"),
        }
        assert_eq!(repair(&table, &[moved]).len(), 1);
    }
}

#[test]
fn a_next_hop_behind_routers_is_written_as_these_and_follows_them() {
    let gateway = |address: &str, interface| bgp_core::nexthop::Gateway {
        address: address.parse().ok(),
        interface,
        onlink: false,
    };
    let batch = |forwarding: Forwarding| RouteBatch {
        forwarding: [("198.51.100.9".parse().unwrap(), forwarding)].into(),
        ..update(vec![learned("203.0.113.0/24", &["198.51.100.9"])], Families::NONE)
    };
    let mut table = Table::default();
    let changes =
        table.apply(&batch(Forwarding::Through([gateway("192.0.2.1", 3), gateway("192.0.2.2", 4)].into())));
    let hops = [("192.0.2.1", 3), ("192.0.2.2", 4)]
        .map(|(address, index)| Hop::via(address.parse().unwrap(), Some(IfIndex(index))));
    let written = put(&changes[0]).clone();
    assert_eq!(written.target, RouteTarget::Multipath(hops.to_vec()));
    assert!(repair(&table, std::slice::from_ref(&written)).is_empty());
    // Over another link it is another way.
    let mut moved = written.clone();
    if let RouteTarget::Multipath(hops) = &mut moved.target {
        hops[1].dev = Some(IfIndex(5));
    }
    assert_eq!(repair(&table, &[moved]).iter().map(put).collect::<Vec<_>>(), [&written]);
    let changes = table.apply(&batch(Forwarding::Through([gateway("192.0.2.7", 3)].into())));
    assert_eq!(
        put(&changes[0]).target,
        RouteTarget::Hop(Hop::via("192.0.2.7".parse().unwrap(), Some(IfIndex(3))))
    );
    // It is on a connected network now: the kernel finds the link.
    let changes = table.apply(&batch(Forwarding::Direct));
    assert_eq!(put(&changes[0]).target, RouteTarget::Hop(Hop::via("198.51.100.9".parse().unwrap(), None)));
    // It is behind a blackhole, alone and beside another one.
    let changes = table.apply(&batch(Forwarding::Discard));
    assert_eq!(put(&changes[0]).kind, RouteKind::Blackhole);
    let beside = update(vec![learned("203.0.113.0/24", &["198.51.100.9", "192.0.2.1"])], Families::NONE);
    let changes = table.apply(&RouteBatch { forwarding: batch(Forwarding::Discard).forwarding, ..beside });
    assert_eq!(put(&changes[0]).target, RouteTarget::Hop(Hop::via("192.0.2.1".parse().unwrap(), None)));
    // It is an address of this machine: there is nobody to send packets to.
    let changes = table.apply(&batch(Forwarding::Own));
    assert_eq!(changes, [Change::Remove(key("203.0.113.0/24".parse().unwrap()))]);
}
