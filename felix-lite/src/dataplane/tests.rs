//! Routes, firewall and tunnels in a kernel namespace of each test's own.

mod fast_path;
mod forged;
mod host_ports;
mod source_check;
mod tunnels;

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{self, Table};
use cairn_kernel::object::{IfIndex, LinkName, Nexthop, NexthopId, NexthopTarget, PROTOCOL, Route, TableId};
use cairn_kernel::{Requests, Rtnl};
use cairn_net::{Family, Prefix};
use felix_core::{Element, Gateway, Route as Wanted, TunnelKind};
use nix::sched::{CloneFlags, unshare};

use super::firewall::Firewall;
use super::route::Routes;

/// Runs in a fresh namespace, with an interface `up0` that has 192.0.2.1/24, and that ends with the thread.
fn in_namespace(test: impl FnOnce(IfIndex) + Send) {
    std::thread::scope(|scope| {
        let work = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            run("ip link add up0 type veth peer name up1");
            run("ip link set up0 up");
            run("ip link set up1 up");
            run("ip address add 192.0.2.1/24 dev up0");
            let name: LinkName = "up0".parse().unwrap();
            test(Rtnl::open().unwrap().link(&name).unwrap().unwrap().index);
        };
        if let Err(panic) = scope.spawn(work).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn via(last: &[u8], index: IfIndex) -> Wanted {
    Wanted::Gateways(last.iter().map(|last| Gateway::on([192, 0, 2, *last].into(), index.0)).collect())
}

fn installed() -> Vec<Route> {
    Rtnl::open().unwrap().routes(TableId::MAIN, PROTOCOL, Family::ALL).unwrap()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_restart_adopts_routes_and_sweeps_only_what_nobody_wants() {
    in_namespace(|index| {
        let mut before = Routes::open().unwrap();
        before.want(prefix("10.0.0.0/26"), Some(via(&[2, 3], index)));
        before.want(prefix("10.0.1.0/26"), Some(via(&[4], index)));
        before.want(prefix("10.0.2.0/26"), Some(Wanted::Blackhole));
        before.write().unwrap();
        assert_eq!(before.fault_of(prefix("10.0.0.0/26")), None);
        drop(before);
        let adopted = installed();
        assert_eq!(adopted.len(), 3);

        let mut after = Routes::open().unwrap();
        after.want(prefix("10.0.0.0/26"), Some(via(&[2, 3], index)));
        after.write().unwrap();
        assert_eq!(installed(), adopted, "nothing is written anew, nothing goes before the sweep");
        after.sweep();
        after.write().unwrap();
        assert_eq!(installed().len(), 1);
        let objects: Vec<Nexthop> = Rtnl::open().unwrap().list(None).unwrap();
        assert_eq!(objects.len(), 3, "two gateways and their group: {objects:?}");
        after.want(prefix("10.0.0.0/26"), None);
        after.write().unwrap();
        assert!(installed().is_empty());
        assert!(Rtnl::open().unwrap().list::<Nexthop>(None).unwrap().is_empty());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn routes_of_both_families_lead_over_link_local_gateways() {
    in_namespace(|index| {
        let gateways = ["fe80::1", "fe80::2"].map(|text| Gateway::on(text.parse().unwrap(), index.0));
        let mut routes = Routes::open().unwrap();
        for text in ["10.0.1.0/26", "fd00::/122"] {
            routes.want(prefix(text), Some(Wanted::Gateways(gateways.into())));
        }
        routes.write().unwrap();
        for (text, command) in [("10.0.1.0/26", "ip route show"), ("fd00::/122", "ip -6 route show")] {
            assert_eq!(routes.fault_of(prefix(text)), None);
            let table = run(&format!("{command} {text}"));
            for gateway in ["fe80::1 dev up0", "fe80::2 dev up0"] {
                assert!(table.contains(gateway), "{table}");
            }
        }
        assert_eq!(installed().len(), 2);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_pods_route_waits_for_its_interface() {
    in_namespace(|_| {
        let mut routes = Routes::open().unwrap();
        routes.want(prefix("10.0.0.1/32"), Some(Wanted::Interface("crn00000000001".into())));
        routes.write().unwrap();
        let fault = routes.fault_of(prefix("10.0.0.1/32")).unwrap();
        assert!(fault.contains("no interface crn00000000001"), "{fault}");
        run("ip link add crn00000000001 type veth peer name pod");
        run("ip link set crn00000000001 up");
        let name: LinkName = "crn00000000001".parse().unwrap();
        let link = routes.rtnl().link(&name).unwrap().unwrap();
        routes.pod_link_changed(&cairn_kernel::object::Change::Present(link));
        routes.write().unwrap();
        assert_eq!(routes.fault_of(prefix("10.0.0.1/32")), None);
        assert_eq!(installed().len(), 1);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_firewall_is_adopted_and_repaired() {
    in_namespace(|_| {
        let elements = |set: &str| {
            let mut socket = Socket::open(Protocol::Netfilter).unwrap();
            nftables::elements(&mut socket, Table::CAIRN, set).unwrap().len()
        };
        let mut before = Firewall::open().unwrap();
        before.add(&Element::Node(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        before.add(&Element::Node(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))));
        before.write().unwrap();
        drop(before);

        let mut after = Firewall::open().unwrap();
        after.add(&Element::Node(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        after.add(&Element::Pool(prefix("10.0.0.0/16")));
        after.write().unwrap();
        assert_eq!(
            (elements("nodes-v4"), elements("pools-v4")),
            (2, 0),
            "not before the picture is complete"
        );
        after.sweep();
        after.add(&Element::TunnelPort(4789));
        after.write().unwrap();
        assert_eq!((elements("nodes-v4"), elements("pools-v4")), (1, 2), "begin and end of the prefix");
        assert!(!after.repair().unwrap());
        let first = || {
            let listed = run("nft list chain inet cairn tunnel-ends");
            listed.lines().nth(2).unwrap().trim().to_owned()
        };
        let other = first();
        after.tunnel_ends_at(TunnelKind::Vxlan(Family::Ipv4), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        after.write().unwrap();
        assert!(first().contains("ip daddr 192.0.2.1 ip saddr @nodes-v4 accept"), "{}", first());
        after.tunnel_ends_at(TunnelKind::Vxlan(Family::Ipv4), None);
        after.write().unwrap();
        assert_eq!(first(), other);

        run("nft flush chain inet cairn encapsulated");
        run("nft flush set inet cairn nodes-v4");
        run("nft add chain inet cairn strange { type filter hook forward priority 0; }");
        run("nft add rule inet cairn strange counter drop");
        assert!(after.repair().unwrap());
        assert!(run("nft list chain inet cairn encapsulated").contains("goto tunnel-ends"));
        assert!(!run("nft list table inet cairn").contains("strange"));
        assert_eq!(elements("nodes-v4"), 1);
        run("nft delete table inet cairn");
        assert!(after.repair().unwrap());
        assert_eq!((elements("nodes-v4"), elements("pools-v4")), (1, 2));
        assert!(!after.repair().unwrap(), "there is nothing left to mend");
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn there_are_no_hooks_that_nothing_needs() {
    in_namespace(|_| {
        let hooks = || {
            let text = run("nft list table inet cairn");
            let hooks = text.lines().filter_map(|line| line.trim().strip_prefix("type "));
            let hooks = hooks.filter(|line| line.contains(" hook "));
            hooks.filter_map(|hook| hook.split_whitespace().nth(2).map(ToOwned::to_owned)).collect::<Vec<_>>()
        };
        let mut firewall = Firewall::open().unwrap();
        assert!(hooks().is_empty());
        firewall.add(&Element::TunnelPort(4789));
        firewall.write().unwrap();
        assert_eq!(hooks(), ["input"], "with the first element, in one transaction");
        firewall.sweep();
        firewall.add(&Element::Masquerade(prefix("10.0.0.0/16")));
        firewall.write().unwrap();
        assert_eq!(hooks(), ["input", "postrouting", "postrouting"], "what is translated could be forged");
        firewall.remove(&Element::TunnelPort(4789));
        firewall.write().unwrap();
        assert_eq!(hooks(), ["postrouting"]);
        firewall.remove(&Element::Masquerade(prefix("10.0.0.0/16")));
        firewall.write().unwrap();
        assert_eq!(hooks(), ["postrouting"], "connections that are translated go on");
        assert!(!firewall.repair().unwrap());
        drop(firewall);

        let mut after = Firewall::open().unwrap();
        assert_eq!(hooks(), ["postrouting"], "as after a restart");
        run("nft delete chain inet cairn masquerades");
        assert!(after.repair().unwrap());
        assert!(!after.repair().unwrap());
        assert!(hooks().is_empty(), "whoever wants it gone now has his way");
    });
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn who_deletes_a_route_again_and_again_is_named_and_waited_for() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let mut routes = Routes::open().unwrap();
    let mut monitor = Monitor::open(&[Topic::Routes]).unwrap();
    routes.silence(&mut monitor).unwrap();
    routes.want(prefix("10.0.0.0/26"), Some(Wanted::Blackhole));
    routes.write().unwrap();
    let mut deleted = 0;
    while routes.quarrels().count() == 0 {
        assert!(deleted < 20, "no quarrel after {deleted} deletions");
        run("ip route del blackhole 10.0.0.0/26 proto 202");
        deleted += 1;
        let next = tokio::time::timeout(Duration::from_secs(30), monitor.next());
        let Event::Route(change) = next.await.unwrap().unwrap() else { panic!("only routes are watched") };
        routes.route_changed(change, monitor.author());
        routes.write().unwrap();
    }
    assert!(deleted > 3, "the first ones are repaired at once");
    let text = routes.quarrels().next().unwrap();
    assert!(text.contains("10.0.0.0/26") && text.contains("deleted it"), "{text}");
    let wait = routes.poll_timeout().expect("the repair waits").saturating_duration_since(Instant::now());
    assert!(wait <= Duration::from_secs(1) && installed().is_empty(), "{wait:?}");
    tokio::time::sleep(wait).await;
    routes.write().unwrap();
    assert_eq!(installed().len(), 1, "repaired all the same");
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn only_others_changes_of_our_own_table_are_told() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link add crn1 type veth peer name pod1");
    let mut firewall = Firewall::open().unwrap();
    let mut monitor = Monitor::open_tables(Firewall::TABLES).unwrap();
    monitor.ignore(firewall.socket()).unwrap();
    let source =
        Element::Source { interface: "crn1".into(), address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)) };
    let node = Element::Node(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    for element in [&source, &node] {
        firewall.add(element);
    }
    firewall.write().unwrap();
    run("nft add table inet other");
    run("nft add table ip cairn");
    for change in [
        "nft flush set inet cairn nodes-v4",
        "nft add chain inet cairn theirs",
        "nft delete table inet cairn",
        "nft add rule netdev cairn crn1 accept",
        "nft insert rule netdev cairn crn1 accept",
        "nft flush chain netdev cairn own-link",
        "nft delete chain netdev cairn crn1",
        "nft delete table netdev cairn",
    ] {
        let quiet = tokio::time::timeout(Duration::from_millis(100), monitor.next()).await;
        assert!(quiet.is_err(), "told before {change}: {quiet:?}");
        run(change);
        // A deletion is told in several datagrams.
        let told = tokio::time::timeout(Duration::from_secs(30), monitor.next()).await;
        assert_eq!(told.unwrap_or_else(|_| panic!("{change} is not told")), Ok(Event::Table));
        assert!(monitor.author().is_some());
        while tokio::time::timeout(Duration::from_millis(100), monitor.next()).await.is_ok() {}
        let link = Rtnl::open().unwrap().link(&"crn1".parse().unwrap()).unwrap().unwrap();
        firewall.link_changed(&cairn_kernel::object::Change::Present(link));
        assert!(firewall.repair().unwrap(), "{change}");
        assert!(!firewall.repair().unwrap(), "{change}");
        assert!(firewall.has(&source) && firewall.has(&node), "{change}");
        assert_eq!(run("nft list table netdev cairn").matches(" accept").count(), 3 + 8, "{change}");
    }
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_hundred_thousand_routes_cost_little_more_than_writing_them() {
    const COUNT: u32 = 100_000;
    let each = |number: u32| Prefix::new(Ipv4Addr::from(0x0a00_0000 + number * 64).into(), 26).unwrap();
    let (mut raw, mut reconciled) = (None, None);
    in_namespace(|dev| {
        let mut rtnl = Rtnl::open().unwrap();
        let target = NexthopTarget::Gateway { gateway: [192, 0, 2, 2].into(), dev, onlink: false };
        rtnl.create(&Nexthop::new(NexthopId::FIRST, target)).unwrap();
        let begin = Instant::now();
        for chunk in 0..COUNT / 1000 {
            let mut requests = Requests::new();
            for number in chunk * 1000..(chunk + 1) * 1000 {
                requests.create(&Route { priority: 1024, ..Route::nexthop(each(number), NexthopId::FIRST) });
            }
            rtnl.execute_all(&mut requests).unwrap();
        }
        raw = Some(begin.elapsed());
    });
    in_namespace(|index| {
        let mut routes = Routes::open().unwrap();
        let begin = Instant::now();
        (0..COUNT).for_each(|number| routes.want(each(number), Some(via(&[2], index))));
        routes.write().unwrap();
        reconciled = Some(begin.elapsed());
        assert_eq!(installed().len(), COUNT as usize);
    });
    let (raw, reconciled) = (raw.unwrap(), reconciled.unwrap());
    println!("raw {raw:?}, reconciled {reconciled:?}: {:.2}", reconciled.as_secs_f64() / raw.as_secs_f64());
    // Far above what is measured on a quiet machine: it catches a mistake, not a busy neighbour.
    assert!(reconciled < raw * 3);
}
