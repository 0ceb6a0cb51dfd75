//! Tracked connections to ports of the node, when these begin or cease to lead to a container.
//!
//! Where a connection is led is decided at its first packet, and UDP has no other: a client that goes on sending from one port would be led for ever
//! where the first one was.

use std::collections::HashSet;
use std::net::IpAddr;

use cairn_kernel::conntrack::{Conntrack, Endpoint, Tuple};
use cairn_kernel::object::Address;
use cairn_kernel::{Error, Rtnl};
use cairn_net::{Family, HostPort, Transport};

use crate::cni::journal::Record;

/// What has happened to the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cni) enum Moment {
    /// They lead to the container from now on.
    Added,
    /// They do no longer.
    Removed,
}

/// Can there be any such connection?
pub(super) fn concerns(record: &Record, moment: Moment) -> bool {
    let udp = |port: &HostPort| port.transport == Transport::Udp;
    match moment {
        Moment::Added => record.host_ports.iter().any(udp),
        Moment::Removed => !record.host_ports.is_empty(),
    }
}

/// Ends them. The whole table is read for it, which the kernel gives in no other way.
pub(super) fn end(rtnl: &mut Rtnl, record: &Record, moment: Moment) -> Result<(), Error> {
    let own: HashSet<IpAddr> = match moment {
        Moment::Added => rtnl.list::<Address>(None)?.into_iter().map(|address| address.addr).collect(),
        Moment::Removed => HashSet::new(),
    };
    let mut conntrack = Conntrack::open()?;
    for address in &record.addresses {
        conntrack.delete(Family::of(*address), |flow| match moment {
            Moment::Added => goes_elsewhere(record, &own, &flow.original, &flow.reply),
            Moment::Removed => comes_here(record, &flow.original, &flow.reply),
        })?;
    }
    Ok(())
}

/// UDP to a port that leads to the container now, and is answered by somebody else. `own`: the node's addresses.
fn goes_elsewhere(record: &Record, own: &HashSet<IpAddr>, original: &Tuple, reply: &Tuple) -> bool {
    let to_node = own.contains(&original.dst) || original.dst.is_loopback();
    original.protocol == Transport::Udp.number()
        && to_node
        && !record.addresses.contains(&reply.src)
        && port_of(record, original).is_some()
}

/// To a port that led to the container, and is answered by it.
fn comes_here(record: &Record, original: &Tuple, reply: &Tuple) -> bool {
    let is_led = record.addresses.contains(&reply.src) && original.dst != reply.src;
    let Endpoint::Ports(answering, _) = reply.endpoint else { return false };
    is_led && port_of(record, original).is_some_and(|port| port.port.get() == answering)
}

/// The port of the node that a connection is to.
fn port_of<'a>(record: &'a Record, original: &Tuple) -> Option<&'a HostPort> {
    let Endpoint::Ports(_, to) = original.endpoint else { return None };
    record.host_ports.iter().find(|port| {
        port.transport.number() == original.protocol && port.host_port.get() == to && port.takes(original.dst)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "198.51.100.9";
    const NODE: &str = "192.0.2.1";
    const POD: &str = "10.0.0.7";

    fn record() -> Record {
        let ports = r#"[{"transport":"udp","host_port":53,"port":5353},{"transport":"tcp","host_ip":"192.0.2.1","host_port":80,"port":8080}]"#;
        Record { host_ports: serde_json::from_str(ports).unwrap(), ..super::super::tests::record() }
    }

    fn tuple(protocol: u8, (src, from): (&str, u16), (dst, to): (&str, u16)) -> Tuple {
        let [src, dst] = [src, dst].map(|address| address.parse().unwrap());
        Tuple { src, dst, protocol, endpoint: Endpoint::Ports(from, to) }
    }

    /// To a port of an address, answered from a port of another.
    fn flow(protocol: u8, to: (&str, u16), answered: (&str, u16)) -> (Tuple, Tuple) {
        (tuple(protocol, (CLIENT, 40_000), to), tuple(protocol, answered, (CLIENT, 40_000)))
    }

    #[test]
    fn udp_that_the_node_answered_is_ended_when_its_port_begins_to_lead_to_a_pod() {
        let own = HashSet::from([NODE.parse().unwrap()]);
        let ends = |(original, reply)| goes_elsewhere(&record(), &own, &original, &reply);
        assert!(ends(flow(17, (NODE, 53), (NODE, 53))));
        assert!(ends(flow(17, ("127.0.0.1", 53), ("127.0.0.1", 53))));
        assert!(ends(flow(17, (NODE, 53), ("10.0.0.8", 5353))), "of a pod that is gone");
        assert!(!ends(flow(17, (NODE, 53), (POD, 5353))), "it comes here already");
        assert!(!ends(flow(17, ("203.0.113.1", 53), ("203.0.113.1", 53))), "not to the node");
        assert!(!ends(flow(17, (NODE, 54), (NODE, 54))));
        assert!(!ends(flow(6, (NODE, 80), (NODE, 80))), "TCP ends by itself");
    }

    #[test]
    fn what_was_led_to_a_pod_is_ended_with_its_port() {
        let ends = |(original, reply)| comes_here(&record(), &original, &reply);
        assert!(ends(flow(17, (NODE, 53), (POD, 5353))));
        assert!(ends(flow(6, (NODE, 80), (POD, 8080))));
        assert!(!ends(flow(6, ("192.0.2.2", 80), (POD, 8080))), "by way of something else");
        assert!(!ends(flow(17, (NODE, 53), ("10.0.0.8", 5353))));
        assert!(!ends(flow(17, (POD, 53), (POD, 53))), "to the pod itself");
        assert!(!ends(flow(17, (NODE, 53), (POD, 99))));
    }

    #[test]
    fn a_container_without_ports_costs_nothing() {
        let plain = super::super::tests::record();
        assert!(!concerns(&plain, Moment::Added) && !concerns(&plain, Moment::Removed));
        assert!(concerns(&record(), Moment::Added) && concerns(&record(), Moment::Removed));
        let mut tcp = record();
        tcp.host_ports.remove(0);
        assert!(!concerns(&tcp, Moment::Added) && concerns(&tcp, Moment::Removed));
    }
}
