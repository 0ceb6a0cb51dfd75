use std::time::{Duration, Instant};

use cairn_kernel::object::{LinkChange, LinkName, Neighbour, NeighbourState};
use cairn_kernel::{Netns, Requests, Rtnl};
use felix_api::{Attachment, HOST_MAC};

use super::*;
use crate::cni::journal::NetnsId;
use crate::cni::name::{host_ifname, pod_mac};

/// Two namespaces that go with the test.
struct Place {
    host: String,
    pod: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let name = |end: &str| format!("cni-{}-{name}-{end}", std::process::id());
        let place = Self { host: name("h"), pod: name("p") };
        Netns::create(&place.host).unwrap();
        Netns::create(&place.pod).unwrap();
        place
    }

    fn pod(&self) -> Netns {
        Netns::named(&self.pod).unwrap()
    }

    /// Runs the test on the host: a runtime and the wiring of its own.
    fn run<F: Future<Output = ()>>(
        &self,
        test: impl FnOnce(Arc<Wiring>, Arc<Record>, Arc<File>) -> F + Send,
    ) {
        let (record, netns) = (Arc::new(record()), Arc::new(File::open(self.pod().path()).unwrap()));
        let body = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test(Arc::new(Wiring::start().unwrap()), record, netns));
        };
        Netns::named(&self.host).unwrap().run(body).unwrap();
    }

    fn host_rtnl(&self) -> Rtnl {
        Rtnl::open_in(&Netns::named(&self.host).unwrap()).unwrap()
    }

    fn pod_rtnl(&self) -> Rtnl {
        Rtnl::open_in(&self.pod()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in [&self.host, &self.pod] {
            let _ = Netns::delete(name);
        }
    }
}

pub(super) fn record() -> Record {
    let attachment = Attachment { container: "c1".parse().unwrap(), ifname: "eth0".parse().unwrap() };
    Record {
        interface: host_ifname(&attachment),
        pod_mac: pod_mac(&attachment),
        attachment,
        network: "pods".to_owned(),
        netns: "/run/netns/p".to_owned(),
        netns_id: NetnsId { dev: 0, ino: 0 },
        pod: None,
        mtu: 1480,
        mtu_fixed: false,
        addresses: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        underlay: None,
        host_ports: Vec::new(),
        bandwidth: cairn_net::Bandwidth::default(),
    }
}

fn eth0() -> LinkName {
    "eth0".parse().unwrap()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn what_is_wired_checks_and_nothing_is_tentative() {
    let place = Place::new("up");
    place.run(async |wiring, record, netns| {
        wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
        wiring.check(Arc::clone(&record), netns).await.unwrap();
        assert_eq!(wiring.links().await.unwrap(), HashSet::from([record.interface.clone()]));

        let mut host = place.host_rtnl();
        let link = host.link(&record.interface.parse::<LinkName>().unwrap()).unwrap().unwrap();
        let addresses: Vec<cairn_kernel::object::Address> = host.list(None).unwrap();
        let own: Vec<_> = addresses.iter().filter(|address| address.link == link.index).collect();
        assert_eq!(own.len(), 1, "the gateway's and no other: {own:?}");
        assert_eq!(own[0].addr, felix_api::gateway(cairn_net::Family::Ipv6));
        assert!(!own[0].tentative);
        let neighbours: Vec<Neighbour> = host.list(None).unwrap();
        let permanent = |addr| {
            neighbours.iter().any(|n| n.addr == addr && n.state == NeighbourState::Permanent(record.pod_mac))
        };
        assert!(record.addresses.iter().all(|addr| permanent(*addr)), "{neighbours:?}");
        let inside: Vec<Neighbour> = place.pod_rtnl().list(None).unwrap();
        assert_eq!(inside.iter().filter(|n| n.state == NeighbourState::Permanent(HOST_MAC)).count(), 2);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn only_a_port_that_is_for_the_nodes_loopback_lets_answers_back_to_it() {
    let place = Place::new("loopback");
    place.run(async |wiring, record, netns| {
        let port = |host_ip: &str| {
            let text = format!(r#"{{"transport":"tcp"{host_ip},"host_port":80,"port":8080}}"#);
            vec![serde_json::from_str(&text).unwrap()]
        };
        let path = format!("/proc/sys/net/ipv4/conf/{}/route_localnet", record.interface);
        for (host_ports, expected) in [
            (Vec::new(), "0"),
            (port(""), "1"),
            (port(r#","host_ip":"0.0.0.0""#), "1"),
            (port(r#","host_ip":"127.0.0.1""#), "1"),
            (port(r#","host_ip":"192.0.2.1""#), "0"),
            (port(r#","host_ip":"::""#), "0"),
        ] {
            let record = Arc::new(Record { host_ports, ..(*record).clone() });
            wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
            let found = std::fs::read_to_string(&path).unwrap();
            assert_eq!(found.trim(), expected, "{:?}", record.host_ports);
            wiring.remove(&record.interface).await.unwrap();
        }
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_nodes_routes_must_lead_to_the_container() {
    let place = Place::new("routes");
    place.run(async |wiring, record, netns| {
        wiring.up(Arc::clone(&record), netns).await.unwrap();
        let mut host = place.host_rtnl();
        let index = host.link(&record.interface.parse::<LinkName>().unwrap()).unwrap().unwrap().index;
        let missing = check::host_routes(&mut host, &record).unwrap_err();
        assert!(missing.to_string().contains("no route"), "{missing}");
        for addr in &record.addresses {
            let prefix = cairn_net::Prefix::host(*addr);
            host.replace(&cairn_kernel::object::Route::dev(prefix, index)).unwrap();
        }
        check::host_routes(&mut host, &record).unwrap();
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_doomed_go_together_and_a_new_one_may_come_at_once() {
    let place = Place::new("doom");
    place.run(async |wiring, record, netns| {
        for _ in 0..3 {
            wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
            wiring.doom(&record.interface).await.unwrap();
        }
        wiring.doom(&record.interface).await.unwrap();
        let start = Instant::now();
        while place.host_rtnl().list::<cairn_kernel::object::Link>(None).unwrap().len() > 1 {
            assert!(start.elapsed() < Duration::from_secs(5), "never deleted");
            thread::sleep(Duration::from_millis(5));
        }
        wiring.remove(&record.interface).await.unwrap();
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_strangers_interface_is_neither_taken_nor_touched() {
    let place = Place::new("taken");
    place.run(async |wiring, record, netns| {
        wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
        let mut other = (*record).clone();
        other.interface = "crn00000000000".to_owned();
        let error = wiring.up(Arc::new(other), Arc::clone(&netns)).await.unwrap_err();
        assert!(matches!(error, WiringError::InterfaceExists { .. }), "{error}");
        wiring.check(record, netns).await.unwrap();
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn check_names_each_difference() {
    let place = Place::new("check");
    place.run(async |wiring, record, netns| {
        let down = LinkChange { up: Some(false), ..LinkChange::default() };
        let small = LinkChange { mtu: Some(1300), ..LinkChange::default() };
        for (change, word) in [(down, "down"), (small, "MTU")] {
            wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
            place.pod_rtnl().change_link(&eth0(), &change).unwrap();
            let error = wiring.check(Arc::clone(&record), Arc::clone(&netns)).await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            wiring.remove(&record.interface).await.unwrap();
        }
        let error = wiring.check(Arc::clone(&record), netns).await.unwrap_err();
        assert!(error.to_string().contains(&record.interface), "{error}");
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn both_ends_change_their_mtu() {
    let place = Place::new("resize");
    place.run(async |wiring, record, netns| {
        wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
        for mtu in [1300, 1450] {
            wiring.resize(Arc::clone(&record), Arc::clone(&netns), mtu).await.unwrap();
            let resized = Arc::new(Record { mtu, ..(*record).clone() });
            wiring.check(resized, Arc::clone(&netns)).await.unwrap();
        }
        // A crash came between the two ends, or before the record.
        for (outside, inside, mtu) in [(1450, 1300, 1450), (1300, 1450, 1400), (1480, 1480, 1300)] {
            let set = |mtu| LinkChange { mtu: Some(mtu), ..LinkChange::default() };
            place.pod_rtnl().change_link(&eth0(), &set(inside)).unwrap();
            place.host_rtnl().change_link(&record.interface.parse().unwrap(), &set(outside)).unwrap();
            wiring.resize(Arc::clone(&record), Arc::clone(&netns), mtu).await.unwrap();
            let resized = Arc::new(Record { mtu, ..(*record).clone() });
            wiring.check(resized, Arc::clone(&netns)).await.unwrap();
        }
        // One end that is not there leaves the other as it is.
        wiring.remove(&record.interface).await.unwrap();
        wiring.resize(Arc::clone(&record), netns, 1280).await.unwrap_err();
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn ipv6_is_switched_on_where_a_runtime_switched_it_off() {
    let place = Place::new("noipv6");
    place.pod().run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap()).unwrap();
    place.run(async |wiring, record, netns| {
        wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
        wiring.check(record, netns).await.unwrap();
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_file_that_is_no_namespace_is_refused() {
    let place = Place::new("file");
    place.run(async |wiring, record, _| {
        let file = Arc::new(File::open("/proc/self/status").unwrap());
        let error = wiring.up(record, file).await.unwrap_err();
        assert!(matches!(error, WiringError::NotNetns { .. }), "{error}");
        let mut rtnl = place.host_rtnl();
        assert!(rtnl.execute(&mut Requests::new()).unwrap().is_empty());
    });
}

mod needs_macvlan {
    use cairn_api::kinds::UnderlayKind;
    use cairn_kernel::object::{Address, Link, Route, Veth, VethEnd};
    use felix_api::Network;

    use super::*;
    use crate::cni::underlay::Underlay;

    /// An interface of the host, and the record of a container on its network.
    fn on_network(place: &Place) -> Record {
        let end = |name: &str| VethEnd { name: name.parse().unwrap(), mac: None };
        let veth = Veth { host: end("up0"), peer: end("up1"), peer_netns: None, mtu: 1500, up: true };
        let parent = place.host_rtnl().make_veth(&veth).unwrap();
        let network = |prefix_len, gateway: &str| Network {
            prefix_len,
            has_default: true,
            gateway: gateway.parse().ok(),
        };
        let underlay = Underlay {
            kind: UnderlayKind::Macvlan,
            index: parent.index.0,
            interface: parent.name,
            networks: vec![network(24, "10.0.0.1"), network(64, "fe80::1")],
            node: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        };
        Record { underlay: Some(underlay), ..record() }
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn what_is_in_the_underlay_checks_and_ends_alone() {
        let place = Place::new("underlay");
        let record = Arc::new(on_network(&place));
        place.run(async |wiring, _, netns| {
            for _ in 0..2 {
                wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
                wiring.check(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
                let mut pod = place.pod_rtnl();
                let eth0 = pod.link(&eth0()).unwrap().unwrap();
                let addresses: Vec<Address> = pod.list(None).unwrap();
                let has = |addr: &str, len| {
                    addresses.iter().any(|own| {
                        own.link == eth0.index
                            && own.addr == addr.parse::<std::net::IpAddr>().unwrap()
                            && own.prefix_len == len
                    })
                };
                assert!(has("10.0.0.7", 24) && has("fd00::7", 64), "{addresses:?}");
                let routes: Vec<Route> = pod.list(None).unwrap();
                for (node, inner) in [("10.0.0.2/32", &record.interface), ("fd00::2/128", &record.interface)]
                {
                    let inner = pod.link(&inner.parse::<LinkName>().unwrap()).unwrap().unwrap().index;
                    let wanted = Route::dev(node.parse().unwrap(), inner);
                    let found = routes
                        .iter()
                        .any(|route| route.prefix == wanted.prefix && route.target == wanted.target);
                    assert!(found, "{node}: {routes:?}");
                }
                // The node's namespace never has it, and the pair stays when it ends.
                let host: Vec<Link> = place.host_rtnl().list(None).unwrap();
                assert!(host.iter().all(|link| !matches!(link.kind, cairn_kernel::object::Kind::Stacked(_))));
                wiring.detach(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
                wiring.detach(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
                assert_eq!(place.pod_rtnl().link(&super::eth0()).unwrap(), None);
                assert_eq!(wiring.links().await.unwrap(), HashSet::from([record.interface.clone()]));
                let missing = wiring.check(Arc::clone(&record), Arc::clone(&netns)).await.unwrap_err();
                assert!(missing.to_string().contains("eth0 is missing"), "{missing}");
                wiring.remove(&record.interface).await.unwrap();
            }
        });
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn an_interface_that_is_gone_is_refused_and_a_strangers_stays() {
        let place = Place::new("bridged");
        let record = Arc::new(on_network(&place));
        place.run(async |wiring, _, netns| {
            // A name that somebody has in the container.
            let end = |name: &str| VethEnd { name: name.parse().unwrap(), mac: None };
            let veth = Veth { host: end("eth0"), peer: end("other"), peer_netns: None, mtu: 1500, up: false };
            place.pod_rtnl().create_veth(&veth).unwrap();
            let error = wiring.up(Arc::clone(&record), Arc::clone(&netns)).await.unwrap_err();
            assert!(matches!(error, WiringError::InterfaceExists { .. }), "{error}");
            wiring.detach(Arc::clone(&record), Arc::clone(&netns)).await.unwrap();
            assert!(place.pod_rtnl().link(&eth0()).unwrap().is_some());
            wiring.remove(&record.interface).await.unwrap();
            place.pod_rtnl().delete_link(&eth0()).unwrap();

            let up0: LinkName = "up0".parse().unwrap();
            place.host_rtnl().delete_link(&up0).unwrap();
            let error = wiring.up(Arc::clone(&record), netns).await.unwrap_err().to_string();
            assert!(error.contains("no pod on up0 by MACVLAN: up0 is gone"), "{error}");
        });
    }
}
