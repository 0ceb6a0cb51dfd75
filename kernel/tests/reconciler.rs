//! The reconciler on the real kernel: repair, adoption, and other people's routes.

mod namespace;

use std::time::{Duration, Instant};

use cairn_kernel::Rtnl;
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{
    IfIndex, Link, Neighbour, Nexthop, NexthopId, NexthopTarget, Object, PROTOCOL, Route, RouteKind,
    RouteTarget, Rule, RuleAction, TableId, Veth, VethEnd,
};
use cairn_kernel::reconciler::{BackOff, Reconciler, Rtnetlink, Tables};
use cairn_net::{Family, Mac, Prefix};
use namespace::{Namespace, link, up};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn routes(host: &Namespace) -> Reconciler<Rtnetlink<Route>> {
    let rtnl = Rtnl::open_in(&host.netns).unwrap();
    let mut routes = Reconciler::new(Rtnetlink::new(rtnl, TableId::MAIN.into()), BackOff::default());
    routes.resync().unwrap();
    routes
}

fn ours(host: &mut Namespace) -> Vec<Prefix> {
    let routes = host.rtnl.routes(TableId::MAIN, PROTOCOL, Family::ALL).unwrap();
    let mut prefixes: Vec<_> = routes.iter().map(|route| route.prefix).collect();
    prefixes.sort();
    prefixes
}

/// A pair of interfaces, `a0` and `b0`, both up.
fn pair(host: &mut Namespace) -> IfIndex {
    let end = |name| VethEnd { name: link(name), mac: None };
    let veth = Veth { host: end("a0"), peer: end("b0"), peer_netns: None, mtu: 1500, up: true };
    host.rtnl.create_veth(&veth).unwrap();
    host.rtnl.change_link(&link("b0"), &up()).unwrap();
    host.index("a0")
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn interference_is_repaired_within_a_second() {
    let mut host = Namespace::new();
    let wanted = ["10.1.0.0/26", "fd00:1::/122"].map(prefix);
    let mut routes = routes(&host);
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Routes]).unwrap();
    monitor.ignore(routes.backend().socket()).unwrap();
    wanted.iter().for_each(|prefix| routes.set_object(Route::blackhole(*prefix)));
    assert_eq!(routes.reconcile(Instant::now()).unwrap().updated, 2);

    let interference = [
        "ip route del blackhole 10.1.0.0/26",
        "ip -6 route del blackhole fd00:1::/122",
        "ip route replace unreachable 10.1.0.0/26 proto static",
        "ip route replace unreachable 10.1.0.0/26 proto 202",
        "ip route add blackhole 10.2.0.0/26 proto 202",
    ];
    routes.allow_prune(true);
    for command in interference {
        let before = Instant::now();
        host.run(command);
        while ours(&mut host) != wanted || host.run("ip route").contains("unreachable") {
            let event = tokio::time::timeout(Duration::from_secs(1), monitor.next()).await;
            match event.unwrap_or_else(|_| panic!("{command} was not told")).unwrap() {
                Event::Route(change) => routes.observe_object(change),
                event => panic!("{event:?}"),
            }
            routes.reconcile(Instant::now()).unwrap();
        }
        assert!(before.elapsed() < Duration::from_secs(1), "{command}: {:?}", before.elapsed());
    }
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_restart_adopts_and_prunes_ours_alone() {
    let mut host = Namespace::new();
    host.run("ip route add blackhole 10.9.0.0/16 proto static");
    host.run("ip route add blackhole 10.8.0.0/16 proto bird table 254");
    host.run("ip route add blackhole 10.7.0.0/16 proto 202 table 1000");
    let mut first = routes(&host);
    for text in ["10.1.0.0/26", "10.1.0.64/26", "fd00:1::/122"] {
        first.set_object(Route::blackhole(prefix(text)));
    }
    first.reconcile(Instant::now()).unwrap();
    drop(first);
    assert_eq!(ours(&mut host).len(), 3, "whoever leaves takes nothing along");

    let mut second = routes(&host);
    for text in ["10.1.0.0/26", "fd00:1::/122"] {
        second.set_object(Route::blackhole(prefix(text)));
    }
    let report = second.reconcile(Instant::now()).unwrap();
    assert_eq!((report.updated, report.deleted), (0, 0), "adopted as it is; not yet in sync");
    second.allow_prune(true);
    let report = second.reconcile(Instant::now()).unwrap();
    assert_eq!((report.updated, report.deleted), (0, 1));
    assert_eq!(ours(&mut host), ["10.1.0.0/26", "fd00:1::/122"].map(prefix));
    let (main, other) = (host.run("ip route"), host.run("ip route show table 1000"));
    assert!(main.contains("10.9.0.0/16") && main.contains("10.8.0.0/16") && other.contains("10.7.0.0/16"));
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_new_route_leaves_somebody_elses_alone() {
    let mut host = Namespace::new();
    for (family, text) in [("-4", "10.1.0.0/26"), ("-6", "fd00:1::/122")] {
        let mut routes = routes(&host);
        host.run(&format!("ip {family} route add unreachable {text} proto static"));
        routes.set_object(Route::blackhole(prefix(text)));
        let now = Instant::now();
        let report = routes.reconcile(now).unwrap();
        assert!(report.failures.iter().all(|f| f.error.is_exists()) && report.failures.len() == 1);
        assert!(host.run(&format!("ip {family} route show {text}")).contains("unreachable"));
        host.run(&format!("ip {family} route del unreachable {text}"));
        routes.reconcile(now + Duration::from_secs(1)).unwrap();
        assert!(host.run(&format!("ip {family} route show {text}")).contains("blackhole"));
    }
    assert_eq!(ours(&mut host).len(), 2);
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn nexthops_and_routes_return_with_their_link() {
    let mut host = Namespace::new();
    let dev = pair(&mut host);
    let mut routes = routes(&host);
    let rtnl = Rtnl::open_in(&host.netns).unwrap();
    let mut nexthops = Reconciler::new(Rtnetlink::<Nexthop>::new(rtnl, ()), BackOff::default());
    nexthops.resync().unwrap();
    let gateway = NexthopTarget::Gateway { gateway: "fe80::1".parse().unwrap(), dev, onlink: false };
    nexthops.set_object(Nexthop::new(NexthopId::FIRST, gateway));
    routes.set_object(Route::nexthop(prefix("10.0.0.0/8"), NexthopId::FIRST));
    routes.set_object(Route::dev(prefix("192.0.2.7/32"), dev));
    let now = Instant::now();
    nexthops.reconcile(now).unwrap();
    assert_eq!(routes.reconcile(now).unwrap().updated, 2);

    // The kernel takes all of them along with the link, and tells of none of the IPv4 routes.
    host.run("ip link set a0 down");
    assert_eq!(ours(&mut host), []);
    host.run("ip link set a0 up");
    nexthops
        .distrust(|_, nexthop| matches!(nexthop.target, NexthopTarget::Gateway { dev: d, .. } if d == dev));
    routes.distrust(|_, _| true);
    assert_eq!(nexthops.reconcile(now).unwrap().updated, 1);
    assert_eq!(routes.reconcile(now).unwrap().updated, 2);
    assert_eq!(ours(&mut host).len(), 2);
    assert!(host.run("ip route").contains("10.0.0.0/8 nhid 3388997632 via inet6 fe80::1 dev a0"));
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn neighbours_are_adopted_by_their_mark() {
    let mut host = Namespace::new();
    let dev = pair(&mut host);
    host.run("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev a0");
    let mac = Mac([2, 0, 0, 0, 0, 7]);
    let addrs: [std::net::IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    let mut wanted: Vec<_> = addrs.iter().map(|addr| Neighbour::permanent(dev, *addr, mac)).collect();
    wanted.push(Neighbour::proxy(dev, addrs[1]));
    let engine = || {
        let rtnl = Rtnl::open_in(&host.netns).unwrap();
        let mut engine = Reconciler::new(Rtnetlink::<Neighbour>::new(rtnl, vec![dev]), BackOff::default());
        engine.resync().unwrap();
        engine
    };
    let mut first = engine();
    wanted.iter().for_each(|neighbour| first.set_object(neighbour.clone()));
    assert_eq!(first.reconcile(Instant::now()).unwrap().updated, 3);
    let mut second = engine();
    wanted.iter().take(2).for_each(|neighbour| second.set_object(neighbour.clone()));
    second.allow_prune(true);
    let report = second.reconcile(Instant::now()).unwrap();
    assert_eq!((report.updated, report.deleted), (0, 1));
    assert_eq!(host.rtnl.proxies(None).unwrap(), []);
    assert!(host.run("ip neigh").contains("192.0.2.9"), "somebody else's stays");
    assert!(second.is_settled(&wanted[0].key()));
    let links: Vec<Link> = host.rtnl.list(None).unwrap();
    assert_eq!(links.len(), 3);
}

/// Routes of some tables of ours, and the rules that lead to them: told when somebody else changes them, adopted, and swept.
#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn rules_and_the_tables_behind_them_are_kept() {
    let host = Namespace::new();
    let tables = || Tables::range(1000..=1001);
    let mut routes = Reconciler::new(
        Rtnetlink::<Route>::new(Rtnl::open_in(&host.netns).unwrap(), tables()),
        BackOff::default(),
    );
    let rules = || {
        let rtnl = Rtnl::open_in(&host.netns).unwrap();
        let mut rules = Reconciler::new(Rtnetlink::<Rule>::new(rtnl, 202), BackOff::default());
        rules.resync().unwrap();
        rules
    };
    let mut engine = rules();
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Routes, Topic::Rules]).unwrap();
    monitor.ignore(routes.backend().socket()).unwrap();
    monitor.ignore(engine.backend().socket()).unwrap();
    for (number, text) in [(1000, "0.0.0.0/0"), (1001, "::/0")] {
        let refused = Route::new(prefix(text), RouteKind::Unreachable, RouteTarget::None);
        routes.set_object(Route { table: TableId(number), ..refused });
        let rule = Rule::new(prefix(text).family(), 202, RuleAction::Lookup(TableId(number)));
        engine.set_object(Rule { mark: Some((number << 16, 0xffff_0000)), ..rule });
    }
    host.run("ip route add unreachable 10.9.0.0/16 table 1000 proto 202");
    host.run("ip route add unreachable 10.9.0.0/16 table 1002 proto 202");
    host.run("ip rule add priority 202 fwmark 0x7/0xff lookup 1002 protocol 202");
    host.run("ip rule add priority 203 fwmark 0x7/0xff lookup 1002");
    routes.resync().unwrap();
    engine.resync().unwrap();
    let look = || {
        let shown = ["ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all"];
        shown.map(|command| host.run(command)).concat()
    };
    let now = Instant::now();
    assert_eq!((routes.reconcile(now).unwrap().updated, engine.reconcile(now).unwrap().updated), (2, 2));
    assert!(look().contains("fwmark 0x7/0xff lookup 1002 proto 202"), "nothing goes before all is known");
    routes.allow_prune(true);
    engine.allow_prune(true);
    routes.reconcile(now).unwrap();
    engine.reconcile(now).unwrap();
    let shown = look();
    for kept in [
        "202:	from all fwmark 0x3e80000/0xffff0000 lookup 1000 proto 202",
        "202:	from all fwmark 0x3e90000/0xffff0000 lookup 1001 proto 202",
        "203:	from all fwmark 0x7/0xff lookup 1002",
        "unreachable default table 1000 proto 202",
        "unreachable 10.9.0.0/16 table 1002 proto 202",
    ] {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
    assert!(!shown.contains("10.9.0.0/16 table 1000") && !shown.contains("lookup 1002 proto 202"), "{shown}");

    for damage in ["ip rule del priority 202", "ip -6 rule del priority 202", "ip route flush table 1000"] {
        host.run(damage);
        while look() != shown {
            let event = tokio::time::timeout(Duration::from_secs(1), monitor.next()).await;
            match event.unwrap_or_else(|_| panic!("{damage} was not told: {}", look())).unwrap() {
                Event::Route(change) => routes.observe_object(change),
                Event::Rule(change) => engine.observe_object(change),
                event => panic!("{event:?}"),
            }
            routes.reconcile(Instant::now()).unwrap();
            engine.reconcile(Instant::now()).unwrap();
        }
    }
    let mut again = rules();
    assert_eq!(again.reconcile(Instant::now()).unwrap().updated, 0, "adopted as they are");
}
