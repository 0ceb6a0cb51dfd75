use std::num::NonZeroU16;

use cairn_net::{Bandwidth, Direction, HostPort, Rate, Transport};
use felix_core::{Element, Endpoint, State, Update};

use crate::world::{Reader, complete, ip, pod, programmed};

fn number(port: u16) -> NonZeroU16 {
    NonZeroU16::new(port).unwrap()
}

fn port(host_ip: Option<&str>, host_port: u16, port: u16) -> HostPort {
    let host_ip = host_ip.map(ip);
    HostPort { transport: Transport::Tcp, host_ip, host_port: number(host_port), port: number(port) }
}

fn with_ports(interface: &str, addresses: &[&str], ports: &[HostPort]) -> Endpoint {
    Endpoint { host_ports: ports.to_vec(), ..pod(interface, addresses) }
}

/// A pod to which a port of the node leads.
pub(crate) fn claiming(interface: &str, address: &str, host_port: u16) -> Update {
    programmed(with_ports(interface, &[address], &[port(None, host_port, host_port)]))
}

/// What leads to pods, in words.
fn ports(reader: &Reader) -> Vec<String> {
    let words = |element: &Element| match element {
        Element::HostPort { transport, family, host_ip, host_port, target } => {
            let host = host_ip.map_or_else(|| family.to_string(), |address| address.to_string());
            Some(format!("{transport} {host} {host_port} to {target}"))
        }
        _ => None,
    };
    reader.elements.keys().filter_map(words).collect()
}

#[test]
fn a_port_leads_to_the_pods_address_of_each_family_that_it_is_for() {
    let (mut state, mut reader) = (complete(), Reader::default());
    let wanted = [port(None, 80, 8080), port(Some("::"), 81, 81), port(Some("192.0.2.1"), 82, 82)];
    state.apply(programmed(with_ports("crn1", &["10.0.0.1", "fd00::1"], &wanted)));
    reader.read(&mut state);
    let expected = [
        "tcp ipv4 80 to 10.0.0.1:8080",
        "tcp 192.0.2.1 82 to 10.0.0.1:82",
        "tcp ipv6 80 to [fd00::1]:8080",
        "tcp ipv6 81 to [fd00::1]:81",
    ];
    assert_eq!(ports(&reader), expected);
    state.apply(Update::Endpoint("crn1".to_owned(), None));
    reader.read(&mut state);
    assert!(reader.elements.is_empty());
}

#[test]
fn one_pods_ports_touch_no_others() {
    let (mut state, mut reader) = (complete(), Reader::default());
    state.apply(claiming("crn1", "10.0.0.1", 80));
    reader.read(&mut state);
    state.apply(claiming("crn2", "10.0.0.2", 81));
    let changes = state.changes();
    let elements =
        changes.iter().filter(|change| matches!(change, felix_core::Change::AddElement(_))).count();
    assert_eq!(elements, 2, "a source and a port: {changes:?}");
}

#[test]
fn a_port_is_taken_where_both_are_for_one_address() {
    let mut state = complete();
    state.apply(programmed(with_ports("crn1", &["10.0.0.1"], &[port(None, 80, 80)])));
    state.apply(programmed(with_ports("crn2", &["fd00::2"], &[port(Some("2001:db8::1"), 80, 80)])));
    let taken = |state: &State, interface: &str, addresses: &[&str], wanted: HostPort| {
        let endpoint = with_ports(interface, addresses, &[wanted]);
        state.taken_port(&endpoint).map(|(port, holder)| format!("{port}: {holder}"))
    };
    for (addresses, wanted, holder) in [
        (&["10.0.0.3"], port(None, 80, 90), Some("tcp port 80: crn1")),
        (&["10.0.0.3"], port(Some("192.0.2.1"), 80, 90), Some("tcp port 80 of 192.0.2.1: crn1")),
        (&["10.0.0.3"], port(None, 81, 90), None),
        (&["fd00::3"], port(Some("2001:db8::2"), 80, 90), None),
        (&["fd00::3"], port(None, 80, 90), Some("tcp port 80: crn2")),
    ] {
        let found = taken(&state, "crn3", addresses, wanted);
        assert_eq!(found.as_deref(), holder, "{wanted} for {addresses:?}");
    }
    assert_eq!(taken(&state, "crn1", &["10.0.0.1"], port(None, 80, 80)), None, "it has it itself");
    let udp = HostPort { transport: Transport::Udp, ..port(None, 80, 80) };
    assert_eq!(taken(&state, "crn3", &["10.0.0.3"], udp), None);
}

/// A journal may say so after all: the kernel would refuse a whole transaction for it.
#[test]
fn a_port_that_two_pods_claim_is_the_first_ones_whoever_came_first() {
    for order in [["crn1", "crn2"], ["crn2", "crn1"]] {
        let (mut state, mut reader) = (complete(), Reader::default());
        for interface in order {
            state.apply(claiming(interface, &interface.replace("crn", "10.0.0."), 80));
            reader.read(&mut state);
        }
        assert_eq!(ports(&reader), ["tcp ipv4 80 to 10.0.0.1:80"]);
        state.apply(Update::Endpoint("crn1".to_owned(), None));
        reader.read(&mut state);
        assert_eq!(ports(&reader), ["tcp ipv4 80 to 10.0.0.2:80"]);
    }
}

#[test]
fn limits_are_their_interfaces_in_each_direction() {
    let (mut state, mut reader) = (complete(), Reader::default());
    let limited = |ingress: u64| Endpoint {
        bandwidth: Bandwidth {
            ingress: Some(Rate::new(ingress, None).unwrap()),
            egress: Some(Rate::new(1_000_000, None).unwrap()),
        },
        ..pod("crn1", &["10.0.0.1"])
    };
    let limits = |reader: &Reader| {
        let words = |element: &Element| match element {
            Element::Limit { interface, direction, rate } => {
                Some((interface.to_string(), *direction, rate.bytes_per_second()))
            }
            _ => None,
        };
        reader.elements.keys().filter_map(words).collect::<Vec<_>>()
    };
    let expected = |ingress| {
        let of = |direction, rate| ("crn1".to_owned(), direction, rate);
        vec![of(Direction::Ingress, ingress), of(Direction::Egress, 125_000)]
    };
    state.apply(programmed(limited(8_000_000)));
    reader.read(&mut state);
    assert_eq!(limits(&reader), expected(1_000_000));
    state.apply(programmed(limited(16_000_000)));
    assert_eq!(reader.read(&mut state), 2, "one goes and one comes");
    assert_eq!(limits(&reader), expected(2_000_000));
    assert_eq!(limited(8_000_000).elements().count(), 3);
}
