//! Tunnel devices, and who breaks them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cairn_kernel::Rtnl;
use cairn_kernel::ethtool::Ethtool;
use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::object::{Change, Link, LinkName};
use cairn_net::Family;
use felix_core::{Tunnel, TunnelKind, VxlanSettings};

use super::super::host;
use super::super::tunnel::Tunnels;
use super::{in_namespace, run};
use crate::wireguard_key::KeyFile;

const KIND: TunnelKind = TunnelKind::Vxlan(Family::Ipv4);

/// No test here makes a key.
fn keys() -> KeyFile {
    KeyFile::in_directory(std::path::Path::new("/nonexistent"))
}

fn vxlan(mtu: u32) -> Tunnel {
    let mac = "02:00:5e:10:00:01".parse().unwrap();
    let vxlan = Some(VxlanSettings { vni: 77, port: 4790, mac, checksum_offload: true });
    Tunnel {
        local: [192, 0, 2, 1].into(),
        vxlan,
        wireguard_port: None,
        mtu,
        addresses: vec![[10, 0, 0, 1].into()],
    }
}

fn device() -> Option<Link> {
    let name: LinkName = KIND.device().parse().unwrap();
    Rtnl::open().unwrap().link(&name).unwrap()
}

/// Our device, told to be of use.
fn ready() -> Tunnels {
    let mut tunnels = Tunnels::open(keys()).unwrap();
    tunnels.want(KIND, Some(vxlan(1450)));
    tunnels.write(true).unwrap();
    while tunnels.usable().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(tunnels.is_news());
    tunnels
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_change_that_the_kernel_refuses_leaves_the_device_in_use() {
    in_namespace(|_| {
        let mut tunnels = ready();
        let before = device().unwrap();
        // More than any packet of IP is long.
        tunnels.want(KIND, Some(vxlan(70_000)));
        tunnels.write(true).unwrap();
        assert!(tunnels.faults().next().is_some());
        assert!(!tunnels.is_news() && tunnels.usable().contains_key(&KIND), "routes stay in it");
        assert!(run("ip address show dev cairn-vxlan").contains("10.0.0.1/32"));
        tunnels.want(KIND, Some(vxlan(1400)));
        tunnels.write(true).unwrap();
        assert_eq!(tunnels.faults().next(), None);
        let after = device().unwrap();
        assert_eq!((after.index, after.mtu), (before.index, 1400));
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_name_that_somebody_else_took_is_a_lost_device() {
    in_namespace(|_| {
        let mut tunnels = ready();
        run("ip link delete cairn-vxlan");
        run("ip link add cairn-vxlan type veth peer name theirs");
        tunnels.want(KIND, Some(vxlan(1450)));
        tunnels.write(true).unwrap();
        assert!(tunnels.usable().is_empty() && tunnels.faults().next().is_some());
        run("ip link delete cairn-vxlan");
        tunnels.want(KIND, Some(vxlan(1450)));
        tunnels.write(true).unwrap();
        assert_eq!(tunnels.faults().next(), None);
        assert!(run("ip address show dev cairn-vxlan").contains("10.0.0.1/32"));
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn whoever_goes_on_changing_a_device_does_not_postpone_its_repair() {
    in_namespace(|_| {
        let mut tunnels = ready();
        // As it should be: what the kernel tells of by itself is nobody's doing.
        for _ in 0..100 {
            tunnels.link_changed(&Change::Present(device().unwrap()));
        }
        assert_eq!(tunnels.poll_timeout(), None);
        // So often that somebody means it, and repairs wait.
        let mut break_it = || {
            run("ip link set cairn-vxlan mtu 1300");
            let before = Instant::now();
            tunnels.link_changed(&Change::Present(device().unwrap()));
            let due = tunnels.poll_timeout().unwrap();
            if due >= before + Duration::from_millis(100) {
                return Some(due);
            }
            while Instant::now() <= due {}
            tunnels.write(true).unwrap();
            assert_eq!(device().unwrap().mtu, 1450);
            None
        };
        let due = (0..9).find_map(|_| break_it()).expect("nobody waits for somebody who means it");
        while Instant::now() < due {
            tunnels.link_changed(&Change::Present(device().unwrap()));
            assert_eq!(tunnels.poll_timeout(), Some(due), "still at that time");
            std::thread::sleep(Duration::from_millis(5));
        }
        tunnels.write(true).unwrap();
        assert_eq!(device().unwrap().mtu, 1450);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_time_of_a_new_device_is_told_until_it_is_taken() {
    in_namespace(|_| {
        let mut tunnels = Tunnels::open(keys()).unwrap();
        tunnels.want(KIND, Some(vxlan(1450)));
        tunnels.write(true).unwrap();
        tunnels.is_news(); // of its addresses
        assert!(!tunnels.is_news() && tunnels.usable().is_empty(), "the other nodes may not have theirs yet");
        let ripe = tunnels.poll_timeout().unwrap();
        while Instant::now() <= ripe {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(tunnels.poll_timeout(), Some(ripe), "however late somebody looks");
        assert!(tunnels.is_news());
        assert_eq!(tunnels.poll_timeout(), None);
    });
}

fn setting(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap().trim().to_owned()
}

fn set(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}

const FILTER: &str = "ipv4/conf/cairn-vxlan/rp_filter";
const FILTER_OF_ALL: &str = "ipv4/conf/all/rp_filter";
const NO_ADDRESS: &str = "ipv6/conf/cairn-vxlan/addr_gen_mode";

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn settings_are_those_of_a_tunnel_also_on_one_that_is_adopted() {
    in_namespace(|_| {
        drop(ready());
        set(FILTER_OF_ALL, "0");
        set(FILTER, "1");
        set(NO_ADDRESS, "0");
        let mut tunnels = ready();
        assert_eq!((setting(FILTER).as_str(), setting(NO_ADDRESS).as_str()), ("0", "1"));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut monitor = Monitor::open(&[Topic::Settings, Topic::Addresses]).unwrap();
            tunnels.silence(&mut monitor).unwrap();
            for (path, value, follows, right) in [
                (FILTER, "1", FILTER, "0"),
                (FILTER_OF_ALL, "1", FILTER, "2"),
                (FILTER, "1", FILTER, "2"),
                (FILTER_OF_ALL, "2", FILTER, "0"),
                (NO_ADDRESS, "0", NO_ADDRESS, "1"),
            ] {
                set(path, value);
                while setting(follows) != right {
                    let event = tokio::time::timeout(Duration::from_secs(30), monitor.next()).await;
                    match event.expect("the kernel tells of it").unwrap() {
                        Event::Settings(Some(index)) => tunnels.settings_changed(index),
                        Event::Settings(None) => tunnels.settings_of_all_changed(),
                        Event::Address(change) => tunnels.address_changed(change),
                        other => panic!("{other:?}"),
                    }
                    tunnels.write(true).unwrap();
                }
            }
        });
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn addresses_on_tunnels_are_told_as_they_come_and_go() {
    in_namespace(|_| {
        let there = || host::read(&mut Rtnl::open().unwrap()).unwrap().1;
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut tunnels = ready();
        assert!(there().contains(&address));
        tunnels.sweep();
        tunnels.write(true).unwrap();
        assert!(tunnels.is_news(), "what nobody wants is gone");
        tunnels.want(KIND, None);
        tunnels.write(true).unwrap();
        tunnels.finish().unwrap();
        assert!(there().contains(&address), "as long as others may send into it");
        tunnels.want(KIND, Some(Tunnel { addresses: Vec::new(), ..vxlan(1450) }));
        tunnels.write(true).unwrap();
        assert!(!there().contains(&address));
        assert!(tunnels.is_news() && !tunnels.is_news());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn without_the_firewall_there_is_no_tunnel() {
    in_namespace(|_| {
        let mut tunnels = Tunnels::open(keys()).unwrap();
        tunnels.want(KIND, Some(vxlan(1450)));
        let before = Instant::now();
        tunnels.write(false).unwrap();
        assert!(device().is_none());
        let due = tunnels.poll_timeout().unwrap();
        assert!(due >= before + Duration::from_secs(1), "it is tried again, but not at once");
        while Instant::now() < due {
            std::thread::sleep(Duration::from_millis(20));
        }
        tunnels.write(true).unwrap();
        assert!(device().is_some());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn checksums_are_added_where_it_is_said_also_once_somebody_changes_that() {
    in_namespace(|_| {
        let name: LinkName = KIND.device().parse().unwrap();
        let mut ethtool = Ethtool::open().unwrap();
        let mut tunnels = ready();
        assert_eq!(ethtool.tx_checksum(&name), Ok(true));
        let index = device().unwrap().index;
        for wanted in [false, true] {
            let mut tunnel = vxlan(1450);
            tunnel.vxlan.as_mut().unwrap().checksum_offload = wanted;
            tunnels.want(KIND, Some(tunnel));
            tunnels.write(true).unwrap();
            assert_eq!((ethtool.tx_checksum(&name), tunnels.faults().next()), (Ok(wanted), None));
            ethtool.set_tx_checksum(&name, !wanted).unwrap();
            tunnels.link_changed(&Change::Present(device().unwrap()));
            tunnels.write(true).unwrap();
            assert_eq!(ethtool.tx_checksum(&name), Ok(wanted), "it is put back");
            tunnels.link_changed(&Change::Present(device().unwrap()));
            assert_eq!(tunnels.poll_timeout(), None, "nothing is left to do");
        }
        assert_eq!(device().unwrap().index, index, "the device is the same");
    });
}
