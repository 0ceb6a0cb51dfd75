use cairn_kernel::object::{Kind, LinkFlags};

use super::*;

const STATIC: u8 = 4;
const OSPF: u8 = 188;

fn link(index: u32, up: bool) -> Link {
    Link {
        index: IfIndex(index),
        name: format!("eth{index}"),
        mac: None,
        mtu: 1500,
        flags: LinkFlags { up, carrier: up, loopback: false },
        kind: Kind::Other(String::new()),
        master: None,
        peer: None,
        group: 0,
        alias: None,
    }
}

fn via(prefix: &str, metric: u32, protocol: u8, gateway: &str, index: u32) -> Route {
    let route = Route::via(prefix.parse().unwrap(), gateway.parse().unwrap(), Some(IfIndex(index)));
    Route { priority: metric, protocol, ..route }
}

fn routes(all: Vec<Route>) -> Routes {
    let mut routes = Routes::default();
    routes.set_links(vec![link(2, true), link(3, true)]);
    routes.set_all(all);
    routes
}

/// Metric and gateway of a prefix as `metric gateway%interface`, or what else it is.
fn told(changes: &[(Prefix, Option<KernelRoute>)], prefix: &str) -> String {
    let prefix: Prefix = prefix.parse().unwrap();
    match changes.iter().find(|(changed, _)| *changed == prefix) {
        None => "not told".to_owned(),
        Some((_, None)) => "gone".to_owned(),
        Some((_, Some(route))) => {
            let gateway = |gateway: &Gateway| {
                let address =
                    gateway.address.map_or_else(|| "link".to_owned(), |address| address.to_string());
                format!(" {address}%{}", gateway.interface)
            };
            let metric = route.metric.to_string();
            match &route.target {
                KernelTarget::Gateways(gateways) => {
                    gateways.iter().fold(metric, |text, hop| text + &gateway(hop))
                }
                other => format!("{metric} {other:?}"),
            }
        }
    }
}

#[test]
fn the_lowest_metric_counts_until_its_interface_is_down() {
    let mut routes = routes(vec![
        via("10.0.0.0/8", 20, OSPF, "192.0.2.1", 2),
        via("10.0.0.0/8", 10, STATIC, "192.0.2.2", 3),
    ]);
    assert_eq!(told(&routes.whole(), "10.0.0.0/8"), "10 192.0.2.2%3");
    let doubt = routes.doubt(&Event::Link(Change::Present(link(3, false))));
    assert_eq!(doubt.protocols, [STATIC].into());
    assert_eq!(told(&routes.changes(), "10.0.0.0/8"), "20 192.0.2.1%2");
    assert!(routes.doubt(&Event::Link(Change::Present(link(3, false)))).is_none(), "nothing new");
    let _ = routes.doubt(&Event::Link(Change::Gone(link(2, false))));
    assert_eq!(told(&routes.changes(), "10.0.0.0/8"), "gone");
    let _ = routes.doubt(&Event::Link(Change::Present(link(3, true))));
    assert_eq!(told(&routes.changes(), "10.0.0.0/8"), "10 192.0.2.2%3");
    assert!(routes.changes().is_empty());
}

#[test]
fn routes_of_a_changed_protocol_are_in_doubt_and_no_others() {
    let mut routes = routes(vec![via("10.0.0.0/8", 20, OSPF, "192.0.2.1", 2)]);
    routes.whole();
    let told = via("10.9.0.0/16", 5, STATIC, "192.0.2.1", 2);
    assert_eq!(routes.doubt(&Event::Route(Change::Present(told.clone()))).protocols, [STATIC].into());
    let elsewhere = Route { table: TableId(100), ..told.clone() };
    assert!(routes.doubt(&Event::Route(Change::Present(elsewhere))).is_none());
    // One of Cairn matters only where it took another's place.
    let ours = Route { protocol: PROTOCOL, ..told };
    assert!(routes.doubt(&Event::Route(Change::Present(ours.clone()))).is_none());
    let over = Route { prefix: "10.0.0.0/8".parse().unwrap(), ..ours };
    assert_eq!(routes.doubt(&Event::Route(Change::Present(over))).protocols, [OSPF].into());
    assert!(routes.doubt(&Event::Resync).all);
}

#[test]
fn nexthop_objects_and_groups_are_ways_like_any_other() {
    let route =
        |prefix: &str, id| Route { protocol: OSPF, ..Route::nexthop(prefix.parse().unwrap(), NexthopId(id)) };
    let mut routes = routes(vec![route("10.1.0.0/16", 1), route("10.2.0.0/16", 3), route("10.3.0.0/16", 4)]);
    let gateway = |gateway: &str, index| NexthopTarget::Gateway {
        gateway: gateway.parse().unwrap(),
        dev: IfIndex(index),
        onlink: false,
    };
    let group = NexthopTarget::Group { members: vec![(NexthopId(1), 1), (NexthopId(2), 1)], buckets: None };
    let blackhole = NexthopTarget::Blackhole(cairn_net::Family::Ipv4);
    let targets = [gateway("192.0.2.1", 2), gateway("192.0.2.2", 3), group, blackhole];
    let objects = (1..)
        .zip(targets)
        .map(|(id, target)| Nexthop { protocol: OSPF, ..Nexthop::new(NexthopId(id), target) });
    routes.set_nexthops(objects.collect());
    let whole = routes.whole();
    assert_eq!(told(&whole, "10.1.0.0/16"), "0 192.0.2.1%2");
    assert_eq!(told(&whole, "10.2.0.0/16"), "0 192.0.2.1%2 192.0.2.2%3");
    assert_eq!(told(&whole, "10.3.0.0/16"), "0 Blackhole");
    // One member's interface goes down.
    assert_eq!(routes.doubt(&Event::Link(Change::Present(link(3, false)))).protocols, [OSPF].into());
    assert_eq!(told(&routes.changes(), "10.2.0.0/16"), "0 192.0.2.1%2");
}

#[test]
fn what_discards_is_told_and_what_is_on_every_link_is_not() {
    let discard =
        |prefix: &str, kind| Route { protocol: STATIC, kind, ..Route::blackhole(prefix.parse().unwrap()) };
    let mut routes = routes(vec![
        discard("10.1.0.0/16", RouteKind::Unreachable),
        discard("10.2.0.0/16", RouteKind::Throw),
        discard("10.3.0.0/16", RouteKind::Prohibit),
        discard("10.4.0.0/16", RouteKind::Blackhole),
    ]);
    let whole = routes.whole();
    let expected = ["0 Refused", "not told", "0 Refused", "0 Blackhole"];
    let found = (1..=4).map(|n| told(&whole, &format!("10.{n}.0.0/16")));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let on_link = |prefix: &str| Route::dev(prefix.parse().unwrap(), IfIndex(2));
    assert!(!is_of_interest(&on_link("fe80::/64")) && !is_of_interest(&on_link("ff00::/8")));
    assert!(
        is_of_interest(&on_link("2001:db8::/64"))
            && is_of_interest(&discard("0.0.0.0/0", RouteKind::Blackhole))
    );
    let last = Route { priority: u32::MAX, ..discard("::/0", RouteKind::Unreachable) };
    assert!(!is_of_interest(&last));
}
