//! Encapsulated packets to nodes that could pass for a node's.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use cairn_kernel::conntrack::{Conntrack, Endpoint};
use cairn_net::Family;
use felix_core::Element;

use super::{in_namespace, run};
use crate::dataplane::firewall::Firewall;

const TUNNEL: u16 = 4789;

/// The source ports of the UDP connections that the kernel tracks.
fn tracked() -> Vec<u16> {
    let flows = Conntrack::open().unwrap().list(Family::Ipv4, |flow| flow.original.protocol == 17).unwrap();
    let ports = flows.iter().filter_map(|flow| match flow.original.endpoint {
        Endpoint::Ports(from, _) => Some(from),
        Endpoint::Icmp { .. } | Endpoint::None => None,
    });
    let mut ports: Vec<_> = ports.collect();
    ports.sort_unstable();
    ports
}

fn send(from: u16, to: [u8; 4], port: u16) -> Result<usize, ErrorKind> {
    let socket = UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), from)).unwrap();
    socket.send_to(b"x", SocketAddrV4::new(to.into(), port)).map_err(|error| error.kind())
}

/// Writes whenever the firewall asks for it, as the worker does.
fn until(firewall: &mut Firewall, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{}: {:?}", run("nft list ruleset"), tracked());
        if firewall.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            firewall.write().unwrap();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn where_others_translate_nothing_passes_for_a_nodes_and_nothing_older_goes_on() {
    in_namespace(|_| {
        for last in [2, 3, 9] {
            run(&format!("ip neighbour add 192.0.2.{last} lladdr 02:00:00:00:00:0{last} dev up0"));
        }
        let node = |last| Element::Node(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let mut firewall = Firewall::open().unwrap();
        firewall.add(&node(1));
        firewall.add(&node(2));
        firewall.add(&Element::TunnelPort(TUNNEL));
        firewall.sweep();
        firewall.write().unwrap();
        let refuses = || run("nft list table inet cairn").contains("chain to-tunnels");
        assert!(!refuses(), "nothing has the kernel track connections");

        // A service that leads to the tunnels of two nodes, one of them yet to come.
        run("nft add table ip others");
        run("nft add chain ip others out { type nat hook output priority -100; }");
        for (port, last) in [(9, 2), (10, 3)] {
            let rule = format!("ip daddr 192.0.2.9 udp dport {port} dnat to 192.0.2.{last}:{TUNNEL}");
            run(&format!("nft add rule ip others out {rule}"));
        }
        send(5001, [192, 0, 2, 2], TUNNEL).unwrap();
        send(5002, [192, 0, 2, 9], 9).unwrap();
        assert_eq!(tracked(), [5001, 5002]);
        until(&mut firewall, refuses);
        until(&mut firewall, || tracked() == [5001]);
        send(5003, [192, 0, 2, 2], TUNNEL).unwrap();
        assert_eq!(send(5004, [192, 0, 2, 9], 9), Err(ErrorKind::PermissionDenied));
        assert_eq!(tracked(), [5001, 5003], "what this node itself sends");

        send(5005, [192, 0, 2, 9], 10).unwrap();
        assert_eq!(tracked(), [5001, 5003, 5005]);
        firewall.add(&node(3));
        firewall.write().unwrap();
        until(&mut firewall, || tracked() == [5001, 5003]);
        assert_eq!(send(5006, [192, 0, 2, 9], 10), Err(ErrorKind::PermissionDenied));
        assert!(!firewall.repair().unwrap());
        drop(firewall);

        drop(Firewall::open().unwrap());
        assert!(refuses(), "as after a restart");
        run("nft delete table ip others");
        drop(Firewall::open().unwrap());
        assert!(!refuses());
    });
}
