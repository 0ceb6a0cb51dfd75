//! Tests of the table.

use std::net::IpAddr;

use bgpd_api::route::{BestRoute, RouteChange, RouteSource, RouteUpdate};
use cairn_kernel::object::{Object, Route, RouteKind, RouteTarget};
use cairn_net::{Families, Family};

use super::table::{Change, Table};

fn learned(prefix: &str, hops: &[&str]) -> RouteChange {
    let next_hops: Vec<IpAddr> = hops.iter().map(|hop| hop.parse().unwrap()).collect();
    let source = RouteSource::Peer("192.0.2.254".parse().unwrap());
    let best = BestRoute { next_hops, source, blackhole: false };
    RouteChange { prefix: prefix.parse().unwrap(), best: Some(best) }
}

fn blackhole(prefix: &str) -> RouteChange {
    let mut change = learned(prefix, &["192.0.2.1"]);
    change.best.as_mut().unwrap().blackhole = true;
    change
}

#[test]
fn a_blackhole_is_one_in_the_kernel_and_its_end_too() {
    let mut table = Table::default();
    let changes = table.apply(&update(vec![blackhole("203.0.113.7/32")], Families::NONE));
    let written = put(&changes[0]).clone();
    assert_eq!((written.kind, &written.target), (RouteKind::Blackhole, &RouteTarget::None));
    assert!(table.repair(std::slice::from_ref(&written)).is_empty());
    // Somebody made an ordinary route of it.
    let ordinary =
        put(&Table::default()
            .apply(&update(vec![learned("203.0.113.7/32", &["192.0.2.1"])], Families::NONE))[0])
        .clone();
    assert_eq!(table.repair(&[ordinary]), [Change::Put(written)]);
    let changes = table.apply(&update(vec![learned("203.0.113.7/32", &["192.0.2.1"])], Families::NONE));
    assert_eq!(put(&changes[0]).kind, RouteKind::Unicast);
}

fn gone(prefix: &str) -> RouteChange {
    RouteChange { prefix: prefix.parse().unwrap(), best: None }
}

fn update(changes: Vec<RouteChange>, end_of_rib: Families) -> RouteUpdate {
    RouteUpdate { changes, end_of_rib }
}

fn put(change: &Change) -> &Route {
    match change {
        Change::Put(route) => route,
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
    if let Some(best) = &mut own.best {
        best.source = RouteSource::Local("test".to_owned());
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
    assert_eq!(table.repair(std::slice::from_ref(&stale)), []);
    table.apply(&update(vec![], Families::NONE.with(Family::Ipv4)));
    assert_eq!(table.repair(std::slice::from_ref(&stale)), [Change::Remove(stale.key())]);
}

#[test]
fn lost_and_changed_routes_are_written_again_and_right_ones_left_alone() {
    let mut table = Table::default();
    let routes = vec![learned("10.0.0.0/8", &["192.0.2.1"]), learned("fd00::/16", &["2001:db8::1"])];
    let written: Vec<Route> =
        table.apply(&update(routes, Families::ALL)).iter().map(|change| put(change).clone()).collect();
    assert_eq!(table.repair(&written), []);
    let changed = Route::via("10.0.0.0/8".parse().unwrap(), "192.0.2.9".parse().unwrap(), None);
    let changes = table.repair(&[changed, written[1].clone()]);
    assert_eq!(changes, [Change::Put(written[0].clone())]);
    assert_eq!(table.repair(&[]).len(), 2);
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
fn a_new_stream_forgets_the_old_one() {
    let mut table = Table::default();
    table.apply(&update(vec![learned("10.0.0.0/8", &["192.0.2.1"])], Families::ALL));
    table.begin();
    let found = Route::via("10.0.0.0/8".parse().unwrap(), "192.0.2.1".parse().unwrap(), None);
    assert_eq!(table.repair(&[found]), []);
}
