use super::*;
use crate::netlink::Frames;

fn routes() -> Vec<Route> {
    let gateway4: IpAddr = "192.0.2.1".parse().unwrap();
    let gateway6: IpAddr = "fe80::1".parse().unwrap();
    let v4: Prefix = "10.1.0.0/26".parse().unwrap();
    let v6: Prefix = "fd00:1::/122".parse().unwrap();
    let ways = |gateway| {
        RouteTarget::Multipath(vec![
            Hop { weight: 3, ..Hop::via(gateway, Some(IfIndex(3))) },
            Hop { onlink: true, ..Hop::via(gateway6, Some(IfIndex(4))) },
        ])
    };
    vec![
        Route::dev(v4, IfIndex(7)),
        Route { priority: 5, mtu: Some(1400), ..Route::via(v4, gateway4, Some(IfIndex(3))) },
        Route { table: TableId(100_000), ..Route::via(v4, gateway6, Some(IfIndex(3))) },
        Route::blackhole(v4),
        Route { prefsrc: Some(gateway4), ..Route::nexthop(v4, NexthopId::FIRST) },
        Route::new(v4, RouteKind::Unicast, ways(gateway4)),
        Route { priority: 7, ..Route::new(v6, RouteKind::Unicast, ways(gateway6)) },
        Route { priority: 1, ..Route::new(v6, RouteKind::Unreachable, RouteTarget::None) },
        Route::new("0.0.0.0/0".parse().unwrap(), RouteKind::Throw, RouteTarget::None),
    ]
}

#[test]
fn a_route_survives_its_message() {
    for route in routes() {
        let mut batch = Batch::new();
        route.encode(Verb::Create, &mut batch);
        let frame = Frames::new(batch.as_bytes()).next().unwrap();
        assert_eq!(Route::decode(frame), Some(Change::Present(route)));
    }
}

#[test]
fn torn_and_flipped_messages_never_panic() {
    for route in routes() {
        let mut batch = Batch::new();
        route.encode(Verb::Replace, &mut batch);
        let whole = batch.as_bytes();
        for at in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0xff;
            Frames::new(&bytes).for_each(|frame| drop(Route::decode(frame)));
            Frames::new(&bytes[..at]).for_each(|frame| drop(Route::decode(frame)));
        }
    }
}

#[test]
fn an_ipv6_route_without_metric_has_the_kernels_default() {
    let prefix: Prefix = "fd00::/64".parse().unwrap();
    assert_eq!(Route::blackhole(prefix).key().priority, 1024);
    assert_eq!(Route::blackhole(prefix).normalised().priority, 1024);
    assert_eq!(Route::blackhole("10.0.0.0/8".parse().unwrap()).key().priority, 0);
}
