//! The capability `portMappings`: ports of the node that lead to the pod.

use std::net::IpAddr;
use std::num::NonZeroU16;

use cairn_net::{Family, HostPort, Transport};
use felix_api::Refusal;
use serde_json::{Map, Value};

use super::fields::{self, Fields};

const KEY: &str = "runtimeConfig.portMappings";
const KEYS: [&str; 4] = ["hostPort", "containerPort", "protocol", "hostIP"];
const PORT_RULE: &str = "a port from 1 to 65535";
/// More than all pods of a node have together, as a rule.
const MAX: usize = 1024;

/// The mappings. One without `hostPort` is none, as in Kubernetes; one that is there twice counts once.
pub(crate) fn host_ports(runtime: &Map<String, Value>) -> Result<Vec<HostPort>, Refusal> {
    let list = match runtime.get("portMappings") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(fields::wrong_type(KEY, other, "a list")),
    };
    if list.len() > MAX {
        return Err(fields::invalid(KEY, list.len(), "at most 1024 mappings"));
    }
    let mut found: Vec<HostPort> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let Some(mapping) = one(&format!("{KEY}[{index}]"), value)? else { continue };
        if let Some(before) =
            found.iter().find(|before| before.port != mapping.port && are_same(before, &mapping))
        {
            let path = format!("{KEY}[{index}].hostPort");
            let rule = format!("{before} leads to port {} of the pod already", before.port);
            return Err(fields::invalid(&path, mapping.host_port, &rule));
        }
        if !found.contains(&mapping) {
            found.push(mapping);
        }
    }
    Ok(found)
}

/// Are some connections for both of them, and neither more exact than the other?
fn are_same(one: &HostPort, other: &HostPort) -> bool {
    let both = |family| one.is_of(family) && other.is_of(family);
    (one.transport, one.host_port, one.address()) == (other.transport, other.host_port, other.address())
        && Family::ALL.into_iter().any(both)
}

fn one(path: &str, value: &Value) -> Result<Option<HostPort>, Refusal> {
    let Value::Object(map) = value else { return Err(fields::wrong_type(path, value, "an object")) };
    let mut fields = Fields::in_any_case(path, map.clone(), &KEYS);
    let host_port = match fields.number("hostPort")? {
        None | Some(0) => return Ok(None),
        Some(number) => port(path, "hostPort", number)?,
    };
    let target = port(path, "containerPort", fields.number("containerPort")?.unwrap_or(0))?;
    let transport = match fields.text("protocol")?.filter(|text| !text.is_empty()) {
        None => Transport::Tcp,
        Some(text) => {
            let named = text.parse();
            named.map_err(|_| fields::invalid(&format!("{path}.protocol"), &text, "tcp, udp or sctp"))?
        }
    };
    let host_ip = match fields.text("hostIP")?.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(address(&format!("{path}.hostIP"), &text)?),
    };
    Ok(Some(HostPort { transport, host_ip, host_port, port: target }))
}

fn port(path: &str, key: &str, number: u64) -> Result<NonZeroU16, Refusal> {
    let port = u16::try_from(number).ok().and_then(NonZeroU16::new);
    port.ok_or_else(|| fields::invalid(&format!("{path}.{key}"), number, PORT_RULE))
}

fn address(path: &str, text: &str) -> Result<IpAddr, Refusal> {
    let address: Option<IpAddr> = text.parse().ok().filter(|address: &IpAddr| !address.is_multicast());
    address.ok_or_else(|| {
        fields::invalid(path, text, "an address of the node, or 0.0.0.0 or :: for all of a family")
    })
}

#[cfg(test)]
mod tests {
    use felix_api::Code;
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Vec<HostPort>, Refusal> {
        host_ports(&[("portMappings".to_owned(), value)].into_iter().collect())
    }

    fn texts(value: Value) -> Vec<String> {
        let ports = parse(value).unwrap();
        ports.iter().map(|found| format!("{found} to {}", found.port)).collect()
    }

    #[test]
    fn mappings_are_read_in_the_conventions_spelling_and_in_containerds() {
        let conventions = json!([{"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": ""}]);
        let containerd = json!([{"HostPort": 80, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": ""}]);
        for list in [conventions, containerd] {
            assert_eq!(texts(list), ["tcp port 80 to 8080"]);
        }
        let addressed = json!([{"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "::"}]);
        assert_eq!(texts(addressed), ["udp port 53 of :: to 53"]);
    }

    #[test]
    fn what_has_no_port_of_the_node_is_none_and_what_is_there_twice_counts_once() {
        let twice = json!([
            {"containerPort": 9}, {"hostPort": 0, "containerPort": 9},
            {"hostPort": 80, "containerPort": 8080}, {"hostPort": 80, "containerPort": 8080},
            {"hostPort": 80, "containerPort": 8081, "protocol": "sctp"},
            {"hostPort": 80, "containerPort": 8082, "hostIP": "192.0.2.1"},
        ]);
        let expected = ["tcp port 80 to 8080", "sctp port 80 to 8081", "tcp port 80 of 192.0.2.1 to 8082"];
        assert_eq!(texts(twice), expected);
        assert_eq!(texts(Value::Null), [""; 0]);
    }

    #[test]
    fn what_breaks_a_rule_is_named_with_field_value_and_rule() {
        for (mapping, field, rule) in [
            (json!({"hostPort": 65536, "containerPort": 1}), r#"[1].hostPort: "65536""#, "1 to 65535"),
            (json!({"hostPort": 1, "containerPort": 0}), r#"[1].containerPort: "0""#, "1 to 65535"),
            (json!({"hostPort": 1}), r#"[1].containerPort: "0""#, "1 to 65535"),
            (
                json!({"hostPort": 1, "containerPort": 1, "protocol": "dccp"}),
                r#"[1].protocol: "dccp""#,
                "tcp, udp or sctp",
            ),
            (
                json!({"hostPort": 1, "containerPort": 1, "hostIP": "node1"}),
                r#"[1].hostIP: "node1""#,
                "an address",
            ),
            (
                json!({"hostPort": 1, "containerPort": 1, "hostIP": "ff02::1"}),
                r#"[1].hostIP: "ff02::1""#,
                "an address",
            ),
            (
                json!({"hostPort": 7, "containerPort": 8}),
                r#"[1].hostPort: "7""#,
                "tcp port 7 leads to port 7 of the pod already",
            ),
        ] {
            let first = json!({"hostPort": 7, "containerPort": 7});
            let error = parse(json!([first, mapping])).unwrap_err();
            assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
            assert!(error.msg.contains(&format!("{KEY}{field}")) && error.details.contains(rule), "{error}");
        }
        let of_all = json!({"hostPort": 7, "containerPort": 7});
        let of_ipv4 = json!({"hostPort": 7, "containerPort": 8, "hostIP": "0.0.0.0"});
        assert!(parse(json!([of_all, of_ipv4])).is_err(), "IPv4 connections are for both");
        for wrong in [json!({}), json!([1]), json!([{"hostPort": "80"}]), json!([{"hostPort": -1}])] {
            assert_eq!(parse(wrong).unwrap_err().code, Code::DECODE);
        }
        let many = vec![json!({"hostPort": 1, "containerPort": 1}); MAX + 1];
        assert!(parse(many.into()).unwrap_err().details.contains("at most 1024"));
    }
}
