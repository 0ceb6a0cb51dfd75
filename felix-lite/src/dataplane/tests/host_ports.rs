//! Ports of the node that lead to pods, and limits of pods' traffic.

use std::num::NonZeroU16;

use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{self, Table};
use cairn_net::{Direction, Family, Rate, Transport};
use felix_core::Element;

use super::super::firewall::Firewall;
use super::{in_namespace, run};

fn port(host_ip: Option<&str>, host_port: u16, target: &str) -> Element {
    let target: std::net::SocketAddr = target.parse().unwrap();
    Element::HostPort {
        transport: Transport::Tcp,
        family: Family::of(target.ip()),
        host_ip: host_ip.map(|address| address.parse().unwrap()),
        host_port: NonZeroU16::new(host_port).unwrap(),
        target,
    }
}

fn limit(interface: &str, direction: Direction, bits: u64) -> Element {
    Element::Limit { interface: interface.into(), direction, rate: Rate::new(bits, None).unwrap() }
}

fn table() -> String {
    run("nft list table inet cairn")
}

fn count(set: &str) -> usize {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    nftables::elements(&mut socket, Table::CAIRN, set).unwrap().len()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn ports_of_the_node_lead_to_pods_while_there_are_such() {
    in_namespace(|_| {
        let wanted = [
            port(None, 80, "10.0.0.1:8080"),
            port(None, 80, "[fd00::1]:8080"),
            port(Some("192.0.2.1"), 53, "10.0.0.1:5353"),
            port(Some("2001:db8::1"), 53, "[fd00::1]:5353"),
        ];
        let mut firewall = Firewall::open().unwrap();
        firewall.sweep();
        wanted.iter().for_each(|element| firewall.add(element));
        firewall.write().unwrap();
        assert!(wanted.iter().all(|element| firewall.has(element)));
        let listed = table();
        for expected in [
            "tcp . 80 : 10.0.0.1 . 8080",
            "tcp . 80 : fd00::1 . 8080",
            "192.0.2.1 . tcp . 53 : 10.0.0.1 . 5353",
            "2001:db8::1 . tcp . 53 : fd00::1 . 5353",
            "type nat hook prerouting",
            "type nat hook output",
            "type nat hook postrouting",
            "fib daddr type local goto host-ports-lead",
            "map @host-ports-v4",
            "map @host-ports-v6",
            "map @host-ports-of-address-v4",
            "map @host-ports-of-address-v6",
            "@sources-v4 masquerade",
            "@sources-v6 masquerade",
            "pods do not send to the node's loopback",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
        assert!(!firewall.repair().unwrap());
        run("nft flush chain inet cairn host-ports");
        run("nft flush map inet cairn host-ports-v6");
        assert!(firewall.repair().unwrap());
        assert!(!firewall.repair().unwrap());
        assert_eq!(count("host-ports-v6"), 1);

        wanted.iter().for_each(|element| firewall.remove(element));
        firewall.write().unwrap();
        assert!(!table().contains("type nat"), "nothing has the kernel track connections: {}", table());
        assert!(!table().contains("loopback"), "{}", table());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_new_pod_does_not_wait_for_what_an_earlier_run_left_under_its_port() {
    in_namespace(|_| {
        let (gone, stays) = (port(None, 80, "10.0.0.1:8080"), port(None, 81, "10.0.0.1:8081"));
        let mut before = Firewall::open().unwrap();
        before.add(&gone);
        before.add(&stays);
        before.add(&limit("crn1", Direction::Egress, 8_000_000));
        before.write().unwrap();
        drop(before);

        let mut after = Firewall::open().unwrap();
        assert_eq!((count("host-ports-v4"), count("egress-limits")), (2, 1), "until all is known");
        let (new, other) = (port(None, 80, "10.0.0.2:8080"), limit("crn1", Direction::Egress, 16_000_000));
        after.add(&new);
        after.add(&other);
        after.write().unwrap();
        assert!(after.has(&new) && after.has(&other) && !after.has(&gone));
        assert_eq!((count("host-ports-v4"), count("egress-limits")), (2, 1), "what is not in the way stays");
        after.sweep();
        after.write().unwrap();
        assert!(after.has(&new) && !after.has(&stays));
        assert_eq!((count("host-ports-v4"), count("egress-limits")), (1, 1));
        assert!(!after.repair().unwrap());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn each_pod_has_a_limit_of_its_own_in_each_direction() {
    in_namespace(|_| {
        let (to, from) =
            (limit("crn1", Direction::Ingress, 20_000_000), limit("crn1", Direction::Egress, 8_000));
        let mut firewall = Firewall::open().unwrap();
        firewall.sweep();
        firewall.add(&to);
        firewall.write().unwrap();
        assert!(
            table().contains("oifname @ingress-limits counter") && !table().contains("chain egress-limit")
        );
        firewall.add(&from);
        firewall.add(&limit("crn2", Direction::Ingress, 1_000_000));
        firewall.write().unwrap();
        let listed = table();
        for expected in [
            "\"crn1\" limit rate over 2500000 bytes/second",
            "\"crn1\" limit rate over 1000 bytes/second",
            "\"crn2\" limit rate over 125000 bytes/second",
            "iifname @egress-limits counter",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
        assert!(!firewall.repair().unwrap(), "what is read back is what was written");
        run("nft delete element inet cairn ingress-limits { \"crn1\" }");
        assert!(firewall.repair().unwrap());
        assert_eq!(count("ingress-limits"), 2);
        drop(firewall);

        let mut after = Firewall::open().unwrap();
        after.add(&to);
        after.sweep();
        after.write().unwrap();
        assert_eq!((count("ingress-limits"), count("egress-limits")), (1, 0));
        after.remove(&to);
        after.write().unwrap();
        assert!(!table().contains("chain ingress-limit"), "{}", table());
    });
}
