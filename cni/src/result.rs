//! What is printed (specification section 5): results in the format of each version, errors, and VERSION's answer.

use std::net::IpAddr;

use cairn_net::Family;
use felix_api::{Attached, Code, IfName, Network, Refusal, gateway};
use serde_json::{Map, Value, json};

use crate::SpecVersion;

/// What a result is made of besides felix-lite's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// In which format.
    pub(crate) version: SpecVersion,
    /// `CNI_IFNAME`.
    pub(crate) ifname: &'a str,
    /// `CNI_NETNS`.
    pub(crate) netns: &'a str,
    /// `dns` of the configuration.
    pub(crate) dns: Option<&'a Value>,
    /// The result of the plugin before, to which ours is added.
    pub(crate) prev_result: Option<&'a Map<String, Value>>,
}

/// ADD's result. Errors: `prevResult` is not of the shape it should be.
pub(crate) fn success_json(shape: Shape<'_>, attached: &Attached) -> Result<Value, Refusal> {
    let mut result = shape.prev_result.cloned().unwrap_or_default();
    result.insert("cniVersion".to_owned(), shape.version.as_str().into());
    let interfaces = list(&mut result, "interfaces")?;
    let host = json!({ "name": attached.host_ifname, "mac": attached.host_mac.to_string() });
    let pod = json!({ "name": shape.ifname, "mac": attached.pod_mac.to_string(), "sandbox": shape.netns });
    let pod_index = interfaces.len() + 1;
    for mut interface in [host, pod] {
        if shape.version >= SpecVersion::V1_1_0 {
            set(&mut interface, "mtu", attached.mtu.into());
        }
        interfaces.push(interface);
    }
    let networks = attached.addresses.iter().enumerate().map(|(at, addr)| {
        let network = attached.networks.get(at).copied();
        (*addr, network.unwrap_or_else(|| routed(*addr)))
    });
    list(&mut result, "ips")?
        .extend(networks.clone().map(|(addr, network)| address(shape.version, addr, network, pod_index)));
    list(&mut result, "routes")?.extend(networks.filter(|(_, network)| network.has_default).map(
        |(addr, network)| {
            let everything = format!("{}/0", Family::of(addr).unspecified());
            let mut route = json!({ "dst": everything });
            if let Some(gateway) = network.gateway {
                set(&mut route, "gw", gateway.to_string().into());
            }
            route
        },
    ));
    if let Some(dns) = shape.dns {
        result.insert("dns".to_owned(), dns.clone());
    }
    Ok(Value::Object(result))
}

/// Where the node routes.
const fn routed(addr: IpAddr) -> Network {
    let family = Family::of(addr);
    Network { prefix_len: family.bits(), has_default: true, gateway: Some(gateway(family)) }
}

fn address(version: SpecVersion, addr: IpAddr, network: Network, interface: usize) -> Value {
    let family = Family::of(addr);
    let mut ip = json!({ "address": format!("{addr}/{}", network.prefix_len), "interface": interface });
    if let Some(gateway) = network.gateway {
        set(&mut ip, "gateway", gateway.to_string().into());
    }
    if version < SpecVersion::V1_0_0 {
        set(&mut ip, "version", if family == Family::Ipv4 { "4" } else { "6" }.into());
    }
    ip
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}

/// A list of a result, made if it is not there.
fn list<'a>(result: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>, Refusal> {
    let entry = result.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if entry.is_null() {
        *entry = Value::Array(Vec::new());
    }
    match entry {
        Value::Array(list) => Ok(list),
        _ => Err(Refusal::new(Code::DECODE, format!("prevResult.{key} is not a list"))),
    }
}

/// The addresses that a result gives to the container's interface of a name.
pub(crate) fn addresses_of(result: &Map<String, Value>, ifname: &IfName) -> Result<Vec<IpAddr>, Refusal> {
    let bad = |what: &str| Refusal::new(Code::DECODE, format!("prevResult.{what}"));
    let interfaces = match result.get("interfaces") {
        None | Some(Value::Null) => &[][..],
        Some(value) => value.as_array().ok_or_else(|| bad("interfaces is not a list"))?,
    };
    let ours = |index: u64| {
        let interface = usize::try_from(index).ok().and_then(|index| interfaces.get(index));
        let text =
            |key: &str| interface.and_then(|interface| interface.get(key)?.as_str()).unwrap_or_default();
        text("name") == ifname.as_str() && !text("sandbox").is_empty()
    };
    let ips = match result.get("ips") {
        None | Some(Value::Null) => &[][..],
        Some(value) => value.as_array().ok_or_else(|| bad("ips is not a list"))?,
    };
    let mut addresses = Vec::new();
    for ip in ips.iter().filter(|ip| ip.get("interface").and_then(Value::as_u64).is_some_and(ours)) {
        let text = ip.get("address").and_then(Value::as_str).unwrap_or_default();
        let address = crate::args::address(text).ok_or_else(|| bad("ips has an address that is none"))?;
        addresses.push(address);
    }
    Ok(addresses)
}

/// An error.
pub(crate) fn error_json(version: SpecVersion, refusal: &Refusal) -> Value {
    let mut error = json!({ "cniVersion": version.as_str(), "code": refusal.code, "msg": refusal.msg });
    if !refusal.details.is_empty() {
        set(&mut error, "details", refusal.details.clone().into());
    }
    error
}

/// VERSION's answer.
pub(crate) fn versions_json(version: SpecVersion) -> Value {
    json!({ "cniVersion": version.as_str(), "supportedVersions": SpecVersion::ALL.map(SpecVersion::as_str) })
}

#[cfg(test)]
mod tests;
