//! What passes at a pod's interface, of real frames, and whose chains are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_kernel::Rtnl;
use cairn_kernel::object::{Change, Link, LinkName};
use felix_core::Element;

use super::super::firewall::Firewall;
use super::{in_namespace, run};

const OWN: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1))];
const FORGED: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9))];

fn source(interface: &str, address: IpAddr) -> Element {
    Element::Source { interface: interface.into(), address }
}

fn link(name: &str) -> Link {
    let name: LinkName = name.parse().unwrap();
    Rtnl::open().unwrap().link(&name).unwrap().unwrap()
}

/// A pair whose host end may send, and is known to the firewall.
fn pair(firewall: &mut Firewall, host: &str, pod: &str) -> Link {
    run(&format!("ip link add {host} type veth peer name {pod}"));
    run(&format!("ip link set {host} up"));
    run(&format!("ip link set {pod} up"));
    let link = link(host);
    firewall.link_changed(&Change::Present(link.clone()));
    link
}

fn gone(firewall: &mut Firewall, link: Link) {
    run(&format!("ip link del {}", link.name));
    firewall.link_changed(&Change::Gone(link));
    firewall.write().unwrap();
}

/// The chains of interfaces.
fn chains() -> Vec<String> {
    let table = run("nft list table netdev cairn");
    let names = table.lines().filter_map(|line| line.trim().strip_prefix("chain "));
    names
        .filter_map(|name| name.strip_suffix(" {"))
        .filter(|name| *name != "own-link")
        .map(String::from)
        .collect()
}

/// Bytes on the wire for an interface: with so many VLAN tags of number 0, and a protocol above IP that is UDP, or ICMPv6 of a type.
fn frame(to: &Link, tags: usize, from: IpAddr, icmp: Option<u8>) -> String {
    let mut bytes = to.mac.unwrap().0.to_vec();
    bytes.extend([0xee; 6]);
    bytes.extend([0x81, 0, 0, 0].repeat(tags));
    let payload = [icmp.unwrap_or(0), 0, 0, 0, 0, 8, 0, 0];
    match from {
        IpAddr::V4(from) => {
            let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
            header.extend(from.octets());
            header.extend([10, 0, 0, 2]);
            let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
            let sum: u32 = words.sum();
            let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes.extend([8, 0]);
            bytes.extend(header);
        }
        IpAddr::V6(from) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, if icmp.is_some() { 58 } else { 17 }, 255]);
            bytes.extend(from.octets());
            bytes.extend("ff02::1".parse::<Ipv6Addr>().unwrap().octets());
        }
    }
    bytes.extend(payload);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many of the frames IP sees, once they are sent by the other end.
fn seen(by: &str, frames: &[String]) -> usize {
    const SEND: &str = "import socket, sys\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind((sys.argv[1], 0))\n[s.send(bytes.fromhex(f)) for f in sys.argv[2:]]";
    run("nft add table inet seen");
    run("nft add chain inet seen come { type filter hook prerouting priority -400; }");
    run("nft add rule inet seen come iifname crn1 counter");
    let output = std::process::Command::new("/usr/bin/python3").args(["-c", SEND, by]).args(frames).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What a veth pair is given is processed at once, or when this thread next waits.
    std::thread::sleep(Duration::from_millis(20));
    let text = run("nft list table inet seen");
    run("nft delete table inet seen");
    let count = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    count.unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn only_a_pods_own_addresses_pass_at_its_interface() {
    in_namespace(|_| {
        // The kernel sends of its own accord.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let mut firewall = Firewall::open().unwrap();
        let host = pair(&mut firewall, "crn1", "pod1");
        std::fs::write("/proc/sys/net/ipv6/conf/crn1/disable_ipv6", "0").unwrap();
        let all: Vec<_> = OWN.iter().chain(&FORGED).map(|from| frame(&host, 0, *from, None)).collect();
        let twice: Vec<_> = FORGED.iter().map(|from| frame(&host, 2, *from, None)).collect();
        assert_eq!((seen("pod1", &all), seen("pod1", &twice)), (4, 2), "unasked all of it gets through");

        OWN.iter().for_each(|own| firewall.add(&source("crn1", *own)));
        firewall.write().unwrap();
        assert!(OWN.iter().all(|own| firewall.has(&source("crn1", *own))));
        assert!(!firewall.has(&source("crn1", FORGED[0])));
        assert_eq!(seen("pod1", &all), 2);
        for (own, forged) in OWN.iter().zip(FORGED) {
            assert_eq!(seen("pod1", &[frame(&host, 0, *own, None)]), 1, "{own}");
            assert_eq!(
                seen("pod1", &[frame(&host, 1, *own, None)]),
                1,
                "{own} behind a tag without a number"
            );
            for tags in 0..=2 {
                assert_eq!(
                    seen("pod1", &[frame(&host, tags, forged, None)]),
                    0,
                    "{forged} behind {tags} tags"
                );
            }
        }
        let link_local = "fe80::1".parse().unwrap();
        let unassigned = "::".parse().unwrap();
        for (from, kind, passes) in [
            (link_local, Some(135), 1),
            (unassigned, Some(135), 1),
            (unassigned, Some(143), 1),
            (link_local, Some(128), 0),
            (link_local, None, 0),
            (FORGED[1], Some(135), 0),
        ] {
            assert_eq!(seen("pod1", &[frame(&host, 0, from, kind)]), passes, "{from} {kind:?}");
        }
        let listed = run("nft list table netdev cairn");
        assert!(listed.contains("ip saddr 10.0.0.1 accept"), "{listed}");
        assert!(listed.contains("type filter hook ingress device \"crn1\""), "{listed}");

        // One of two addresses is taken away, then the other one.
        firewall.remove(&source("crn1", OWN[0]));
        firewall.write().unwrap();
        assert_eq!(seen("pod1", &all), 1);
        firewall.remove(&source("crn1", OWN[1]));
        firewall.write().unwrap();
        assert_eq!(seen("pod1", &all), 0, "shut until it goes");
        assert!(!firewall.repair().unwrap());
        gone(&mut firewall, host);
        assert!(chains().is_empty(), "{:?}", chains());
        assert!(!firewall.repair().unwrap());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn an_interface_without_a_pod_is_shut() {
    in_namespace(|_| {
        let mut before = Firewall::open().unwrap();
        let (kept, dead) = (pair(&mut before, "crn1", "pod1"), pair(&mut before, "crn2", "pod2"));
        before.add(&source("crn1", OWN[0]));
        before.add(&source("crn2", OWN[1]));
        before.write().unwrap();
        drop(before);

        let mut after = Firewall::open().unwrap();
        let left = pair(&mut after, "crn3", "pod3");
        for link in [&kept, &dead] {
            after.link_changed(&Change::Present(link.clone()));
        }
        after.add(&source("crn1", OWN[0]));
        after.write().unwrap();
        let listed = run("nft list table netdev cairn");
        assert!(listed.contains("fd00::1 accept") && !listed.contains("crn3"), "not yet known: {listed}");
        let before = Instant::now();
        after.sweep();
        after.write().unwrap();
        let listed = run("nft list chain netdev cairn crn2");
        assert!(listed.contains("counter packets") && !listed.contains("fd00::1"), "{listed}");
        let until = after.poll_timeout().expect("crn3 may be claimed still");
        assert!(until <= before + Duration::from_secs(1));
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        after.write().unwrap();
        assert_eq!(after.poll_timeout(), None);
        assert!(run("nft list chain netdev cairn crn3").contains("counter packets"), "drops all");
        // It was an ADD that took its time.
        after.add(&source("crn3", FORGED[0]));
        after.write().unwrap();
        assert!(run("nft list chain netdev cairn crn3").contains("10.0.0.9 accept"));
        after.remove(&source("crn3", FORGED[0]));
        after.write().unwrap();
        for link in [left, dead] {
            gone(&mut after, link);
        }
        assert_eq!(chains(), ["crn1"]);

        // Nobody told that one went, and another one came and went.
        run("ip link del crn1");
        run("ip link add crn1 type veth peer name pod1");
        run("ip link add crn4 type veth peer name pod4");
        after.links_are(&Rtnl::open().unwrap().list::<Link>(None).unwrap());
        after.repair().unwrap();
        assert!(run("nft list chain netdev cairn crn1").contains("10.0.0.1 accept"));
        assert!(after.poll_timeout().is_some(), "crn4 may be claimed");
        run("ip link del crn4");
        after.links_are(&Rtnl::open().unwrap().list::<Link>(None).unwrap());
        assert!(!after.repair().unwrap());
        assert_eq!((chains(), after.poll_timeout()), (vec!["crn1".to_owned()], None));

        // Chains whose interface went while nobody looked.
        drop(after);
        run("ip link del crn1");
        let mut last = Firewall::open().unwrap();
        last.sweep();
        last.write().unwrap();
        assert!(chains().is_empty(), "{:?}", chains());
        assert!(!last.repair().unwrap());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn an_interface_that_is_not_there_holds_up_no_other() {
    in_namespace(|_| {
        let mut firewall = Firewall::open().unwrap();
        let first = pair(&mut firewall, "crn1", "pod1");
        let name: Arc<str> = "crn2".into();
        let missing = Element::Source { interface: Arc::clone(&name), address: OWN[1] };
        firewall.add(&missing);
        firewall.add(&source("crn1", OWN[0]));
        firewall.write().unwrap();
        assert!(firewall.has(&source("crn1", OWN[0])));
        // It comes, goes and comes again, and nobody else says so.
        for _ in 0..2 {
            let second = pair(&mut firewall, "crn2", "pod2");
            firewall.write().unwrap();
            assert!(firewall.has(&missing));
            assert!(run("nft list chain netdev cairn crn2").contains("fd00::1 accept"));
            gone(&mut firewall, second);
        }
        // Its successor is there before it is told that it went.
        run("ip link del crn1");
        let next = pair(&mut firewall, "crn1", "pod1");
        firewall.add(&source("crn1", FORGED[0]));
        firewall.write().unwrap();
        firewall.link_changed(&Change::Gone(first));
        firewall.link_changed(&Change::Present(next));
        firewall.write().unwrap();
        assert!(run("nft list chain netdev cairn crn1").contains("10.0.0.9 accept"));
        assert!(!firewall.repair().unwrap());
        // And told one after the other.
        let next = link("crn1");
        gone(&mut firewall, next);
        let last = pair(&mut firewall, "crn1", "pod1");
        firewall.write().unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/crn1/disable_ipv6", "1").unwrap();
        let (own, other) =
            (frame(&last, 0, OWN[0], None), frame(&last, 0, "10.0.0.7".parse().unwrap(), None));
        assert_eq!((seen("pod1", &[own]), seen("pod1", &[other])), (1, 0));
        // DEL after its interface.
        gone(&mut firewall, last);
        for address in [OWN[0], FORGED[0]] {
            firewall.remove(&source("crn1", address));
        }
        firewall.write().unwrap();
        assert!(!chains().contains(&"crn1".to_owned()), "{:?}", chains());
        assert!(!firewall.repair().unwrap());
    });
}
