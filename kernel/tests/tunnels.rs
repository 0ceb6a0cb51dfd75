//! Tunnel devices with their addresses, neighbours and forwarding entries, with `ip` and `bridge` as the oracles.

mod namespace;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cairn_kernel::Rtnl;
use cairn_kernel::ethtool::Ethtool;
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{Address, Change, Forwarding, IfIndex, Kind, Link, LinkFlags, Neighbour, Vxlan};
use cairn_kernel::reconciler::{BackOff, Owned, Reconciler, Rtnetlink};
use cairn_net::Mac;
use namespace::{Namespace, link};

const GROUP: u32 = 0x0CA0_0002;
const REMOTE: Mac = Mac([0x66, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A VXLAN device over a family, named `t0`.
fn vxlan(host: &mut Namespace, local: &str) -> IfIndex {
    let settings = Vxlan { vni: 4096, port: 4789, local: Some(ip(local)), dev: None, learning: false };
    let device = Link {
        index: IfIndex(0),
        name: "t0".to_owned(),
        mac: Some(Mac([0x66, 0, 0, 0, 0, 1])),
        mtu: 1450,
        flags: LinkFlags { up: true, ..LinkFlags::default() },
        kind: Kind::Vxlan(settings),
        master: None,
        peer: None,
        group: GROUP,
        alias: None,
    };
    host.rtnl.create(&device).unwrap();
    let found = host.rtnl.link(&link("t0")).unwrap().unwrap();
    assert_eq!((found.kind, found.group, found.mtu), (device.kind, GROUP, 1450));
    found.index
}

fn engine<O: Owned<Scope = Vec<IfIndex>>>(host: &Namespace, index: IfIndex) -> Reconciler<Rtnetlink<O>> {
    let rtnl = Rtnl::open_in(&host.netns).unwrap();
    let mut engine = Reconciler::new(Rtnetlink::new(rtnl, vec![index]), BackOff::default());
    engine.resync().unwrap();
    engine
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn what_a_tunnel_carries_is_adopted_and_pruned() {
    for (local, remote, own) in
        [("192.0.2.1", "192.0.2.2", "10.1.0.1"), ("2001:db8::1", "2001:db8::2", "fd00:1::1")]
    {
        let mut host = Namespace::new();
        let index = vxlan(&mut host, local);
        let entry = Forwarding { link: index, mac: REMOTE, remote: ip(remote) };
        let other = Forwarding { mac: Mac([0x66, 0, 0, 0, 0, 3]), ..entry };
        let address = Address::host(index, ip(own));
        let neighbour = Neighbour::permanent(index, ip("fe80::6400:ff:fe00:2"), REMOTE);

        let mut entries = engine::<Forwarding>(&host, index);
        [entry, other].into_iter().for_each(|entry| entries.set_object(entry));
        assert_eq!(entries.reconcile(Instant::now()).unwrap().updated, 2);
        let mut addresses = engine::<Address>(&host, index);
        addresses.set_object(address.clone());
        assert_eq!(addresses.reconcile(Instant::now()).unwrap().updated, 1);
        let mut neighbours = engine::<Neighbour>(&host, index);
        neighbours.set_object(neighbour.clone());
        assert_eq!(neighbours.reconcile(Instant::now()).unwrap().updated, 1);
        let shown = host.run("bridge fdb show dev t0");
        assert!(shown.contains(&format!("{REMOTE} dst {remote} self permanent")), "{shown}");

        let mut again = engine::<Forwarding>(&host, index);
        again.set_object(entry);
        again.allow_prune(true);
        let report = again.reconcile(Instant::now()).unwrap();
        assert_eq!((report.updated, report.deleted, report.failures), (0, 1, Vec::new()));
        let mut again = engine::<Address>(&host, index);
        again.set_object(address);
        again.allow_prune(true);
        let report = again.reconcile(Instant::now()).unwrap();
        assert_eq!((report.updated, report.deleted, report.failures), (0, 0, Vec::new()));
        let mut again = engine::<Neighbour>(&host, index);
        again.set_object(neighbour);
        again.allow_prune(true);
        let report = again.reconcile(Instant::now()).unwrap();
        assert_eq!((report.updated, report.deleted, report.failures), (0, 0, Vec::new()));
    }
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_peer_that_moves_takes_its_entry_along() {
    let mut host = Namespace::new();
    let index = vxlan(&mut host, "192.0.2.1");
    let mut entries = engine::<Forwarding>(&host, index);
    for remote in ["192.0.2.2", "192.0.2.3"] {
        entries.set_object(Forwarding { link: index, mac: REMOTE, remote: ip(remote) });
        assert_eq!(entries.reconcile(Instant::now()).unwrap().updated, 1);
    }
    let shown = host.run("bridge fdb show dev t0");
    assert!(shown.contains("dst 192.0.2.3") && !shown.contains("dst 192.0.2.2"), "{shown}");
}

#[tokio::test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
async fn an_entry_that_somebody_deletes_returns() {
    let mut host = Namespace::new();
    let index = vxlan(&mut host, "192.0.2.1");
    let mut entries = engine::<Forwarding>(&host, index);
    let mut monitor = Monitor::open_in(&host.netns, &[Topic::Neighbours]).unwrap();
    monitor.ignore(entries.backend().socket()).unwrap();
    let entry = Forwarding { link: index, mac: REMOTE, remote: ip("192.0.2.2") };
    entries.set_object(entry);
    entries.reconcile(Instant::now()).unwrap();
    host.run(&format!("bridge fdb del {REMOTE} dev t0 self"));
    loop {
        let event = tokio::time::timeout(Duration::from_secs(30), monitor.next()).await;
        // The kernel does not say whose request an entry came by, so ours is told, too.
        if let Event::Forwarding(change) = event.expect("the deletion is told").unwrap() {
            entries.observe_object(change.clone());
            if matches!(change, Change::Gone(gone) if gone == entry) {
                break;
            }
            assert_eq!(entries.reconcile(Instant::now()).unwrap().updated, 0, "as it should be");
        }
    }
    assert_eq!(entries.reconcile(Instant::now()).unwrap().updated, 1);
    assert!(host.run("bridge fdb show dev t0").contains("dst 192.0.2.2"));
}

/// A mesh of 5,000 nodes: what it takes is printed, not judged, for the machine may be busy.
#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_large_mesh_is_written_in_batches() {
    let mut host = Namespace::new();
    let index = vxlan(&mut host, "10.0.0.1");
    let mac = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        Mac([0x66, 0, 0, a, b, c])
    };
    let remote = |number: u32| IpAddr::from((0x0a01_0000 + number).to_be_bytes());
    let mut entries = engine::<Forwarding>(&host, index);
    let mut neighbours = engine::<Neighbour>(&host, index);
    for number in 0..5000 {
        entries.set_object(Forwarding { link: index, mac: mac(number), remote: remote(number) });
        neighbours.set_object(Neighbour::permanent(index, remote(number), mac(number)));
    }
    let start = Instant::now();
    assert_eq!(entries.reconcile(start).unwrap().updated, 5000);
    assert_eq!(neighbours.reconcile(start).unwrap().updated, 5000);
    println!("5,000 forwarding entries and neighbours: {:?}", start.elapsed());
    let start = Instant::now();
    entries.set_object(Forwarding { link: index, mac: mac(7), remote: remote(9000) });
    assert_eq!(entries.reconcile(start).unwrap().updated, 1);
    println!("one of them changed: {:?}", start.elapsed());
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_tunnel_takes_packets_with_or_without_checksum() {
    let mut host = Namespace::new();
    vxlan(&mut host, "192.0.2.1");
    let mut ethtool = Ethtool::open_in(&host.netns).unwrap();
    let name = link("t0");
    assert_eq!(ethtool.tx_checksum(&name), Ok(true));
    for on in [false, false, true] {
        ethtool.set_tx_checksum(&name, on).unwrap();
        assert_eq!(ethtool.tx_checksum(&name), Ok(on));
    }
    assert!(ethtool.tx_checksum(&link("t1")).unwrap_err().is_not_found());
    // What is fixed stays, and whoever asks is told.
    assert!(ethtool.set_tx_checksum(&link("lo"), false).is_err());
}
