//! Links, addresses, routes, nexthops, neighbours and rules against the kernel, with `ip` as the oracle.

mod namespace;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{
    Address, Change, Hop, IfIndex, Kind, Link, LinkChange, LinkFlags, Neighbour, Nexthop, NexthopId,
    NexthopTarget, Object, PROTOCOL, Route, RouteTarget, Rule, RuleAction, TableId, Veth, VethEnd, Vxlan,
};
use cairn_kernel::sysctl::{Conf, Scope, Sysctl};
use cairn_kernel::{Listed, Netns, Requests, Rtnl, sysctl};
use cairn_net::{Family, Mac, Prefix};
use namespace::{Namespace, link, up};

const HOST_MAC: Mac = Mac([0xee; 6]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Two namespaces with a cable between them, `up0` and `down0`, both up and with these addresses.
fn cabled() -> (Namespace, IfIndex, Namespace, IfIndex) {
    let (mut host, mut pod) = (Namespace::new(), Namespace::new());
    let veth = Veth {
        host: VethEnd { name: link("up0"), mac: Some(HOST_MAC) },
        peer: VethEnd { name: link("down0"), mac: Some(Mac([2, 0, 0, 0, 0, 1])) },
        peer_netns: Some(pod.netns.as_fd()),
        mtu: 1440,
        up: true,
    };
    host.rtnl.create_veth(&veth).unwrap();
    let (a, b) = (host.index("up0"), pod.index("down0"));
    pod.rtnl.change_link(b, &up()).unwrap();
    for (rtnl, index, last) in [(&mut host.rtnl, a, 1), (&mut pod.rtnl, b, 2)] {
        let v4 = Address { prefix_len: 24, ..Address::host(index, ip(&format!("192.0.2.{last}"))) };
        let v6 = Address { prefix_len: 64, ..Address::host(index, ip(&format!("2001:db8::{last}"))) };
        rtnl.execute_all(Requests::new().create(&v4).create(&v6)).unwrap();
    }
    (host, a, pod, b)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_veth_pair_is_complete_after_one_message() {
    let (mut host, index, mut pod, peer) = cabled();
    let near = host.rtnl.link(index).unwrap().unwrap();
    assert_eq!((near.mac, near.mtu, near.kind.clone()), (Some(HOST_MAC), 1440, Kind::Veth));
    assert_eq!(near.flags, LinkFlags { up: true, carrier: true, loopback: false });
    assert_eq!(near.peer, Some(peer));
    let far = pod.rtnl.link(&link("down0")).unwrap().unwrap();
    assert_eq!((far.mac, far.mtu, far.peer), (Some(Mac([2, 0, 0, 0, 0, 1])), 1440, Some(index)));
    assert!(pod.succeeds("ping -c 1 -W 1 192.0.2.1") && pod.succeeds("ping -c 1 -W 1 2001:db8::1"));
    assert!(host.rtnl.delete_link(index).unwrap());
    assert!(!host.rtnl.delete_link(index).unwrap(), "deleting twice is no error");
    assert_eq!(pod.rtnl.link(peer).unwrap(), None, "the other end goes too");
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_refusal_names_the_object_and_quotes_the_kernel() {
    let mut host = Namespace::new();
    let lost = Route::via(prefix("10.0.0.0/8"), ip("192.0.2.9"), None);
    let error = host.rtnl.create(&lost).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot create route 10.0.0.0/8 table 254 metric 0: Network is unreachable (ENETUNREACH): \
         Nexthop has invalid gateway"
    );
    // One of many is refused; the others are carried out.
    let mut requests = Requests::new();
    for number in 0..1000 {
        let route = Route::blackhole(prefix("10.0.0.0/8").subnet(24, number).unwrap());
        requests.create(if number == 700 { &lost } else { &route });
    }
    let results = host.rtnl.execute(&mut requests).unwrap();
    let refused: Vec<_> = results.iter().enumerate().filter(|(_, r)| r.is_err()).map(|(i, _)| i).collect();
    assert_eq!(refused, [700]);
    assert_eq!(host.rtnl.routes(TableId::MAIN, PROTOCOL, [Family::Ipv4]).unwrap().len(), 999);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn settings_of_a_link_are_changed_with_it() {
    let (mut host, index, _pod, _) = cabled();
    let change = LinkChange {
        mtu: Some(1400),
        alias: Some("a pod"),
        ipv4: &[(Conf::ProxyArp, 1), (Conf::Forwarding, 1), (Conf::RpFilter, 1), (Conf::RouteLocalnet, 1)],
        link_local: Some(false),
        ..LinkChange::default()
    };
    host.rtnl.change_link(index, &change).unwrap();
    let changed = host.rtnl.link(index).unwrap().unwrap();
    assert_eq!((changed.mtu, changed.alias.as_deref()), (1400, Some("a pod")));
    let read = |conf| {
        let sysctl = Sysctl::Conf(Family::Ipv4, Scope::Link(link("up0")), conf);
        host.netns.run(|| sysctl::read(&sysctl)).unwrap().unwrap()
    };
    for conf in [Conf::ProxyArp, Conf::Forwarding, Conf::RpFilter, Conf::RouteLocalnet] {
        assert_eq!(read(conf), 1, "{conf:?}");
    }
    let proxy_ndp = Sysctl::Conf(Family::Ipv6, Scope::Link(link("up0")), Conf::ProxyNdp);
    host.netns.run(|| sysctl::write(&proxy_ndp, 1)).unwrap().unwrap();
    assert_eq!(host.netns.run(|| sysctl::read(&proxy_ndp)).unwrap(), Ok(1));
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn every_shape_of_route_is_read_back_as_it_was_written() {
    let (mut host, dev, _pod, _) = cabled();
    let hops = |a: &str, b: &str| {
        RouteTarget::Multipath(vec![
            Hop { weight: 2, ..Hop::via(ip(a), Some(dev)) },
            Hop::via(ip(b), Some(dev)),
        ])
    };
    let v4 = |n| prefix("10.0.0.0/8").subnet(26, n).unwrap();
    let v6 = |n| prefix("fd00::/16").subnet(122, n).unwrap();
    let routes = [
        Route::dev(v4(1), dev),
        Route::via(v4(2), ip("192.0.2.2"), Some(dev)),
        Route::via(v4(3), ip("2001:db8::2"), Some(dev)),
        Route::blackhole(v4(4)),
        Route { target: hops("192.0.2.2", "192.0.2.3"), ..Route::dev(v4(5), dev) },
        Route { mtu: Some(1400), priority: 50, ..Route::via(v4(6), ip("192.0.2.2"), Some(dev)) },
        Route { prefsrc: Some(ip("192.0.2.1")), ..Route::dev(v4(7), dev) },
        Route::dev(v6(1), dev),
        Route::via(v6(2), ip("2001:db8::2"), Some(dev)),
        Route { target: hops("2001:db8::2", "2001:db8::3"), ..Route::dev(v6(3), dev) },
        Route::blackhole(v6(4)),
        Route { table: TableId(1000), ..Route::via(v6(5), ip("2001:db8::2"), Some(dev)) },
        Route {
            target: RouteTarget::Hop(Hop { onlink: true, ..Hop::via(ip("10.9.9.9"), Some(dev)) }),
            ..Route::dev(v4(8), dev)
        },
    ];
    let mut requests = Requests::new();
    for route in &routes {
        requests.create(route);
    }
    host.rtnl.execute_all(&mut requests).unwrap();

    let mut found = host.rtnl.routes(TableId::MAIN, PROTOCOL, Family::ALL).unwrap();
    found.extend(host.rtnl.routes(TableId(1000), PROTOCOL, Family::ALL).unwrap());
    for route in &routes {
        assert!(found.contains(&route.clone().normalised()), "{route:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), routes.len());
    let listing = host.run("ip route show proto 202");
    assert!(listing.contains("10.0.0.192/26 via inet6 2001:db8::2 dev up0"), "{listing}");
    assert!(listing.contains("blackhole 10.0.1.0/26"), "{listing}");

    assert!(host.rtnl.create(&routes[0]).unwrap_err().is_exists());
    for route in &routes {
        assert!(host.rtnl.delete::<Route>(&route.key()).unwrap(), "{route:?}");
        assert!(!host.rtnl.delete::<Route>(&route.key()).unwrap(), "{route:?}");
    }
    assert_eq!(host.rtnl.routes(TableId::MAIN, PROTOCOL, Family::ALL).unwrap(), []);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_survey_shows_our_routes_after_the_name_of_their_family() {
    let (mut host, dev, _pod, _) = cabled();
    let ours =
        ["10.0.0.0/26", "10.0.0.64/26", "fd00::/64"].map(|text| Route::dev(prefix(text), dev).normalised());
    let others = Route { protocol: 4, ..Route::dev(prefix("10.0.0.128/26"), dev) };
    let mut requests = Requests::new();
    for route in ours.iter().chain([&others]) {
        requests.create(route);
    }
    host.rtnl.execute_all(&mut requests).unwrap();
    let mut begun = Vec::new();
    let mut shown = host
        .rtnl
        .survey_routes(TableId::MAIN, PROTOCOL, Family::ALL, |listed| match listed {
            // Again where others changed something while the list was read: then what was shown before does not count.
            Listed::Family(family) => {
                begun.push(family);
                None
            }
            Listed::Route(route) => Some((begun.last().copied(), route)),
        })
        .unwrap();
    shown.sort_by_key(|(_, route)| route.key());
    let expected = ours.map(|route| (Some(route.prefix.family()), route));
    assert_eq!(shown, expected);
    begun.dedup();
    assert_eq!(begun, Family::ALL);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_group_changes_under_its_routes_in_one_step() {
    let (mut host, dev, _pod, _) = cabled();
    let id = |n| NexthopId(NexthopId::FIRST.0 + n);
    let via = |n, gateway: &str| {
        let target = NexthopTarget::Gateway { gateway: ip(gateway), dev, onlink: false };
        Nexthop::new(id(n), target)
    };
    let group = |members: &[(u32, u16)]| {
        let members = members.iter().map(|(n, weight)| (id(*n), *weight)).collect();
        Nexthop::new(id(0x100), NexthopTarget::Group { members, buckets: None })
    };
    let route = Route::nexthop(prefix("10.0.0.0/8"), id(0x100));
    let mut requests = Requests::new();
    requests.create(&via(1, "192.0.2.2")).create(&via(2, "192.0.2.3")).create(&via(3, "2001:db8::2"));
    requests.create(&group(&[(1, 1), (2, 3)])).create(&route);
    host.rtnl.execute_all(&mut requests).unwrap();
    let weights = host.run("ip -N route show 10.0.0.0/8");
    assert!(weights.contains("192.0.2.2 dev up0 weight 1"), "{weights}");
    assert!(weights.contains("192.0.2.3 dev up0 weight 3"), "{weights}");

    host.rtnl.replace(&group(&[(1, 1), (3, 1)])).unwrap();
    let after = host.run("ip -N route show 10.0.0.0/8");
    assert!(after.contains("2001:db8::2") && !after.contains("192.0.2.3"), "{after}");
    let nexthops: Vec<Nexthop> = host.rtnl.list(None).unwrap();
    assert!(nexthops.contains(&group(&[(1, 1), (3, 1)])) && nexthops.contains(&via(3, "2001:db8::2")));
    assert_eq!(host.rtnl.routes(TableId::MAIN, PROTOCOL, [Family::Ipv4]).unwrap(), [route]);
    assert!(host.rtnl.delete::<Nexthop>(&id(0x100)).unwrap());
    assert_eq!(host.rtnl.routes(TableId::MAIN, PROTOCOL, [Family::Ipv4]).unwrap(), []);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn addresses_neighbours_and_rules_are_read_back_as_they_were_written() {
    let (mut host, dev, _pod, _) = cabled();
    let addresses: Vec<Address> = host.rtnl.list(None).unwrap();
    let v6 = Address { prefix_len: 64, ..Address::host(dev, ip("2001:db8::1")) };
    assert!(addresses.contains(&v6), "{addresses:?}");
    assert!(host.rtnl.delete::<Address>(&v6.key()).unwrap());

    let mac = Mac([2, 0, 0, 0, 0, 9]);
    for addr in ["192.0.2.77", "2001:db8::77"].map(ip) {
        let (set, proxy) = (Neighbour::permanent(dev, addr, mac), Neighbour::proxy(dev, addr));
        host.rtnl.execute_all(Requests::new().create(&set).create(&proxy)).unwrap();
        let family = Some(Family::of(addr));
        assert!(host.rtnl.list::<Neighbour>(family).unwrap().contains(&set));
        assert_eq!(host.rtnl.proxies(family).unwrap(), std::slice::from_ref(&proxy));
        assert!(host.rtnl.delete::<Neighbour>(&proxy.key()).unwrap());
        assert!(host.rtnl.delete::<Neighbour>(&set.key()).unwrap());
        assert_eq!(host.rtnl.proxies(family).unwrap(), []);
    }

    for family in Family::ALL {
        let rule = Rule {
            mark: Some((0xca, 0xff)),
            iif: Some(link("up0")),
            ..Rule::new(family, 77, RuleAction::Lookup(TableId(1000)))
        };
        host.rtnl.create(&rule).unwrap();
        assert!(host.rtnl.list::<Rule>(Some(family)).unwrap().contains(&rule));
        assert!(host.rtnl.delete::<Rule>(&rule.key()).unwrap());
        assert!(!host.rtnl.list::<Rule>(Some(family)).unwrap().contains(&rule));
    }
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_vxlan_device_is_read_back_as_it_was_written() {
    let (mut host, dev, _pod, _) = cabled();
    let settings =
        Vxlan { vni: 4096, port: 4789, local: Some(ip("192.0.2.1")), dev: Some(dev), learning: false };
    let mut vxlan = Link {
        index: IfIndex(0),
        name: "vxlan.cairn".to_owned(),
        mac: Some(Mac([0x66, 0, 0, 0, 0, 1])),
        mtu: 1390,
        flags: LinkFlags { up: true, ..LinkFlags::default() },
        kind: Kind::Vxlan(settings),
        master: None,
        peer: None,
        alias: None,
        group: 0,
    };
    host.rtnl.create(&vxlan).unwrap();
    let found = host.rtnl.link(&link("vxlan.cairn")).unwrap().unwrap();
    (vxlan.index, vxlan.flags, vxlan.peer) = (found.index, found.flags, found.peer);
    assert!(found.flags.up);
    assert_eq!(found, vxlan);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_way_to_an_address_is_the_kernels() {
    let (mut host, dev, _pod, _) = cabled();
    host.rtnl.create(&Route::via(prefix("10.0.0.0/8"), ip("192.0.2.2"), Some(dev))).unwrap();
    let resolve = |rtnl: &mut Rtnl, addr: &str| rtnl.resolve(ip(addr)).unwrap();
    assert_eq!(resolve(&mut host.rtnl, "10.1.2.3"), Some(Hop::via(ip("192.0.2.2"), Some(dev))));
    assert_eq!(resolve(&mut host.rtnl, "192.0.2.9"), Some(Hop::dev(dev)));
    assert_eq!(resolve(&mut host.rtnl, "2001:db8::9"), Some(Hop::dev(dev)));
    assert_eq!(resolve(&mut host.rtnl, "172.16.0.1"), None);
    assert_eq!(resolve(&mut host.rtnl, "fd00::1"), None);
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn others_changes_are_told_and_ours_are_not() {
    let (mut host, dev, _pod, _) = cabled();
    let topics = [Topic::Links, Topic::Addresses, Topic::Routes, Topic::Nexthops, Topic::Neighbours];
    let mut monitor = Monitor::open_in(&host.netns, &topics).unwrap();
    monitor.ignore(host.rtnl.socket()).unwrap();
    let routes = [Route::dev(prefix("10.0.0.0/8"), dev), Route::dev(prefix("fd00::/8"), dev)];
    let mut requests = Requests::new();
    for route in &routes {
        requests.create(route);
    }
    host.rtnl.execute_all(&mut requests).unwrap();
    for (route, command) in routes.iter().zip(["ip route del 10.0.0.0/8", "ip -6 route del fd00::/8"]) {
        host.run(command);
        // The kernel has something to tell of its own, such as the routes of an IPv6 address that proved to be unique.
        let of_ours =
            |event: &Event| matches!(event, Event::Route(change) if change.object().protocol == PROTOCOL);
        let event = next_that(&mut monitor, of_ours).await;
        assert_eq!(event, Event::Route(Change::Gone(route.clone().normalised())), "ours was left out");
    }
    host.run("ip nexthop add id 7 via 192.0.2.2 dev up0");
    let nexthop = next_that(&mut monitor, |event| matches!(event, Event::Nexthop(_))).await;
    assert!(matches!(nexthop, Event::Nexthop(Change::Present(nexthop)) if nexthop.id == NexthopId(7)));
    host.run("ip address add 192.0.2.50/32 dev up0");
    let added = ip("192.0.2.50");
    next_that(&mut monitor, |event| matches!(event, Event::Address(Change::Present(a)) if a.addr == added))
        .await;
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn settings_of_one_interface_and_of_all_are_told() {
    let (host, dev, _pod, _) = cabled();
    for (setting, told) in [
        ("net.ipv4.ip_forward", None),
        ("net.ipv6.conf.all.forwarding", None),
        ("net.ipv4.conf.up0.rp_filter", Some(dev)),
        ("net.ipv6.conf.up0.forwarding", Some(dev)),
    ] {
        let mut monitor = Monitor::open_in(&host.netns, &[Topic::Settings]).unwrap();
        let other = if host.run(&format!("sysctl -n {setting}")).trim() == "0" { 1 } else { 0 };
        host.run(&format!("sysctl -w {setting}={other}"));
        next_that(&mut monitor, |event| *event == Event::Settings(told)).await;
    }
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn a_replacement_is_told_from_a_new_route_and_from_one_after_a_link_went_down() {
    let host = Namespace::new();
    for link in ["up0", "up1"] {
        host.run(&format!("ip link add {link} type veth peer name {link}peer"));
        host.run(&format!("ip link set {link} up"));
        host.run(&format!("ip link set {link}peer up"));
    }
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Routes]).unwrap();
    for wanted in ["10.1.0.0/16", "fd01::/16"] {
        let ip = if wanted.contains(':') { "ip -6" } else { "ip -4" };
        for (link, verb, replaced) in [("up0", "add", false), ("up1", "replace", true), ("up0", "add", false)]
        {
            if replaced {
                host.run(&format!("{ip} route {verb} {wanted} dev {link}"));
            } else {
                // What was there goes with its link: IPv4 routes without a word.
                host.run("ip link set up1 down");
                host.run("ip link set up1 up");
                host.run(&format!("{ip} route {verb} {wanted} dev {link}"));
            }
            let there = |event: &Event| matches!(event, Event::Route(Change::Present(route)) if route.prefix == prefix(wanted));
            next_that(&mut monitor, there).await;
            assert_eq!(monitor.replaced(), replaced, "{wanted}: {verb} over {link}");
        }
    }
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn routes_of_one_protocol_are_left_out_but_for_those_in_anothers_place() {
    let (mut host, dev, _pod, _) = cabled();
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Routes]).unwrap();
    monitor.ignore_routes_of(PROTOCOL).unwrap();
    let told = |event: &Event, wanted: &str| match event {
        Event::Route(change) => change.object().prefix == prefix(wanted),
        _ => false,
    };
    for (ours, theirs) in [("10.1.0.0/16", "10.2.0.0/16"), ("fd01::/16", "fd02::/16")] {
        let route = Route::dev(prefix(ours), dev);
        host.rtnl.create(&route).unwrap();
        host.rtnl.delete::<Route>(&route.key()).unwrap();
        let family = if ours.contains(':') { "-6" } else { "-4" };
        host.run(&format!("ip {family} route add {theirs} dev up0 metric 1024"));
        let wanted = |event: &Event| told(event, ours) || told(event, theirs);
        let first = next_that(&mut monitor, wanted).await;
        assert!(told(&first, theirs), "ours was told: {first:?}");
        // In the place of another's, which nothing else is told of.
        let over = Route { priority: 1024, ..Route::dev(prefix(theirs), dev) };
        host.rtnl.replace(&over).unwrap();
        let event = next_that(&mut monitor, |event| told(event, theirs)).await;
        assert!(matches!(event, Event::Route(Change::Present(route)) if route.protocol == PROTOCOL));
    }
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn lost_notifications_are_told() {
    let mut host = Namespace::new();
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Routes]).unwrap();
    let mut requests = Requests::new();
    for number in 0..40_000 {
        requests.create(&Route::blackhole(prefix("10.0.0.0/8").subnet(26, number).unwrap()));
    }
    host.rtnl.execute_all(&mut requests).unwrap();
    let mut told = 0;
    while next(&mut monitor).await != Event::Resync {
        told += 1;
    }
    assert!(told < 40_000);
}

async fn next_that(monitor: &mut Monitor, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = next(monitor).await;
        if wanted(&event) {
            return event;
        }
    }
}

async fn next(monitor: &mut Monitor) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(5), monitor.next()).await;
    event.expect("an event within five seconds").unwrap()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_namespace_is_created_once_and_deleted_often() {
    let host = Namespace::new();
    assert!(Netns::create(&host.name).unwrap_err().is_exists());
    assert_ne!(host.netns.id().unwrap(), Netns::current().unwrap().id().unwrap());
    assert_eq!(host.netns.id().unwrap(), Netns::named(&host.name).unwrap().id().unwrap());
    let inside = host.netns.run(|| Netns::current().unwrap().id().unwrap()).unwrap();
    assert_eq!(inside, host.netns.id().unwrap());
    Netns::delete(&host.name).unwrap();
    Netns::delete(&host.name).unwrap();
    assert!(Netns::named(&host.name).unwrap_err().is_not_found());
}
