//! What a runtime asks for by capabilities, against the addresses and the network that the container got: ports of the node, limits of traffic.

use std::net::IpAddr;

use cairn_net::Family;
use felix_api::{Add, Code, Refusal};

/// Can all of it be had? `passing`: the interface of the node's own network that the container is on, past the node's firewall.
pub(super) fn check(add: &Add, addresses: &[IpAddr], passing: Option<&str>) -> Result<(), Refusal> {
    let invalid = |msg: String| Refusal::new(Code::INVALID_CONFIG, msg);
    if let Some(interface) = passing {
        let why =
            format!("its packets go by {interface} past the node's firewall, as its pool's attachment says");
        if let Some(port) = add.host_ports.first() {
            let msg = format!("portMappings: {port} of the node cannot lead to this container");
            return Err(invalid(msg).because(why));
        }
        if let Some((direction, rate)) = add.bandwidth.limits().next() {
            let msg = format!("bandwidth: {direction:?} of {rate} cannot be kept for this container");
            return Err(invalid(msg).because(why));
        }
    }
    let has = |family: Family| addresses.iter().any(|address| Family::of(*address) == family);
    let without = add.host_ports.iter().find_map(|port| {
        let host_ip = port.host_ip.filter(|host_ip| !has(Family::of(*host_ip)))?;
        Some((port, host_ip))
    });
    let Some((port, host_ip)) = without else { return Ok(()) };
    let msg = format!(
        "portMappings: hostIP {host_ip} of {} port {} cannot lead to this container",
        port.transport, port.host_port
    );
    let why = format!(
        "a port leads to an address of the same family, and the container has none of {}",
        Family::of(host_ip)
    );
    Err(invalid(msg).because(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(json: &str) -> Add {
        let text = format!(
            r#"{{"attachment":{{"container":"c","ifname":"eth0"}},"network":"pods","netns":"/run/netns/p"{json}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn with_port(host_ip: &str) -> Add {
        add(&format!(r#","host_ports":[{{"transport":"tcp"{host_ip},"host_port":80,"port":8080}}]"#))
    }

    #[test]
    fn a_port_is_of_a_family_that_the_container_has() {
        let four: &[IpAddr] = &["10.0.0.1".parse().unwrap()];
        for good in ["", r#","host_ip":"0.0.0.0""#, r#","host_ip":"192.0.2.1""#] {
            assert_eq!(check(&with_port(good), four, None), Ok(()), "{good}");
        }
        let refusal = check(&with_port(r#","host_ip":"2001:db8::1""#), four, None).unwrap_err();
        assert_eq!(refusal.code, Code::INVALID_CONFIG);
        let text = refusal.to_string();
        assert!(
            text.contains("hostIP 2001:db8::1 of tcp port 80") && text.contains("none of ipv6"),
            "{text}"
        );
    }

    #[test]
    fn what_passes_by_the_firewall_has_neither_ports_nor_limits() {
        let addresses: &[IpAddr] = &["192.0.2.7".parse().unwrap()];
        assert_eq!(check(&add(""), addresses, Some("eth1")), Ok(()));
        let limited = add(r#","bandwidth":{"ingress":{"bits_per_second":8000000}}"#);
        for (add, word) in [(with_port(""), "tcp port 80"), (limited, "8000000 bit/s")] {
            assert_eq!(check(&add, addresses, None), Ok(()));
            let text = check(&add, addresses, Some("eth1")).unwrap_err().to_string();
            assert!(text.contains(word) && text.contains("by eth1 past"), "{text}");
        }
    }
}
