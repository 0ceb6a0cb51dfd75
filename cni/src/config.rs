//! The plugin's configuration on standard input (specification section 1, and section 3, "Deriving request configuration").
//!
//! Keys of other plugins and of later versions are passed over; ours are checked, and the inside of `ipam`, which is ours alone,
//! must hold nothing else: a mistyped `ipv4_pools` would silently take addresses from any pool.

mod bandwidth;
mod fields;
mod host_ports;
mod ipam;

use std::path::PathBuf;

use cairn_net::Mac;
use felix_api::{Attachment, Code, DEFAULT_SOCKET, DEFAULT_SPOOL, Refusal};
use serde_json::{Map, Value};

use crate::{Level, SpecVersion};
pub(crate) use bandwidth::bandwidth;
use fields::Fields;
pub(crate) use host_ports::host_ports;
pub(crate) use ipam::{Ipam, mac, requested};

/// A validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The version selected by the runtime; results are in its format.
    pub(crate) version: SpecVersion,
    /// `name`: the network's.
    pub(crate) network: String,
    /// `socket`: felix-lite's. Default: [`DEFAULT_SOCKET`].
    pub(crate) socket: PathBuf,
    /// `spool`: where DELs wait for felix-lite. Default: [`DEFAULT_SPOOL`].
    pub(crate) spool: PathBuf,
    /// `log_level`: what goes to standard error. Default: `warn`.
    pub(crate) log_level: Level,
    /// `mtu` in bytes; absent or 0: felix-lite's choice by the node's path.
    pub(crate) mtu: Option<u32>,
    /// `ipam`.
    pub(crate) ipam: Ipam,
    /// `dns`, handed on in the result.
    pub(crate) dns: Option<Value>,
    /// `runtimeConfig`: what the runtime gave for the capabilities that were declared.
    pub(crate) runtime: Map<String, Value>,
    /// `runtimeConfig.mac`.
    pub(crate) mac: Option<Mac>,
    /// `args.cni.ips`.
    pub(crate) args_ips: Option<Value>,
    /// `prevResult`: of the plugin before in the chain, or of ADD for CHECK and DEL.
    pub(crate) prev_result: Option<Map<String, Value>>,
    /// `cni.dev/valid-attachments`, for GC.
    pub(crate) valid_attachments: Option<Vec<Attachment>>,
}

/// The JSON object of a configuration, and its version: as much as an error's format needs.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SpecVersion, Map<String, Value>), Refusal> {
    let map: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
        Refusal::new(Code::DECODE, "the network configuration is not a JSON object").because(error)
    })?;
    let version = match map.get("cniVersion") {
        None => SpecVersion::parse(None),
        Some(Value::String(text)) => SpecVersion::parse(Some(text)),
        Some(other) => Err(fields::wrong_type("cniVersion", other, "a string")),
    }?;
    Ok((version, map))
}

impl Config {
    pub(crate) fn parse(version: SpecVersion, map: Map<String, Value>) -> Result<Self, Refusal> {
        let mut fields = Fields::new("", map);
        let mut runtime = fields.object("runtimeConfig")?.unwrap_or_default();
        let mac = fields::text("runtimeConfig.mac", runtime.remove("mac"))?;
        let args_ips = match fields.object("args")?.unwrap_or_default().remove("cni") {
            Some(Value::Object(mut cni)) => cni.remove("ips"),
            _ => None,
        };
        Ok(Self {
            version,
            network: network(fields.text("name")?)?,
            socket: path("socket", fields.text("socket")?, DEFAULT_SOCKET)?,
            spool: path("spool", fields.text("spool")?, DEFAULT_SPOOL)?,
            log_level: level(fields.text("log_level")?)?,
            mtu: mtu(fields.number("mtu")?)?,
            ipam: Ipam::parse(fields.object("ipam")?.unwrap_or_default())?,
            dns: dns(fields.object("dns")?)?,
            runtime,
            mac: mac.map(|text| ipam::unicast_mac("runtimeConfig.mac", &text)).transpose()?,
            args_ips,
            prev_result: fields.object("prevResult")?,
            // libcni gives the list under a second name too, which an early text of the specification had.
            valid_attachments: valid_attachments(
                fields.take("cni.dev/valid-attachments").or(fields.take("cni.dev/attachments")),
            )?,
        })
    }
}

/// Names are at most 253 bytes here: the specification names no bound, but they are kept on disk.
fn network(name: Option<String>) -> Result<String, Refusal> {
    let name = name.unwrap_or_default();
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && name.len() <= 253 {
        return Ok(name);
    }
    let rule = "1 to 253 letters, digits, '_', '.' and '-', the first a letter or a digit";
    Err(fields::invalid("name", &name, rule))
}

fn path(key: &str, text: Option<String>, default: &str) -> Result<PathBuf, Refusal> {
    // The socket's path must fit into sockaddr_un (unix(7)); the spool's is held to the same.
    let text = text.unwrap_or_else(|| default.to_owned());
    if text.starts_with('/') && text.len() < 108 && !text.contains('\0') {
        return Ok(PathBuf::from(text));
    }
    Err(fields::invalid(key, &text, "an absolute path of at most 107 bytes"))
}

fn level(text: Option<String>) -> Result<Level, Refusal> {
    let Some(text) = text else { return Ok(Level::Warn) };
    Level::parse(&text)
        .ok_or_else(|| fields::invalid("log_level", &text, "error, warn, info or debug, in any case"))
}

fn mtu(number: Option<u64>) -> Result<Option<u32>, Refusal> {
    match number {
        None | Some(0) => Ok(None),
        Some(mtu) => u32::try_from(mtu)
            .ok()
            .filter(|mtu| (68..=65535).contains(mtu))
            .map(Some)
            .ok_or_else(|| fields::invalid("mtu", mtu, "68 to 65535 bytes, or 0 for the node's own")),
    }
}

fn dns(object: Option<Map<String, Value>>) -> Result<Option<Value>, Refusal> {
    let Some(object) = object.filter(|object| !object.is_empty()) else { return Ok(None) };
    for (key, value) in &object {
        let strings = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        match key.as_str() {
            "domain" if !value.is_string() => {
                return Err(fields::wrong_type("dns.domain", value, "a string"));
            }
            "nameservers" | "search" | "options" if !strings(value) => {
                return Err(fields::wrong_type(&format!("dns.{key}"), value, "a list of strings"));
            }
            _ => {}
        }
    }
    Ok(Some(Value::Object(object)))
}

fn valid_attachments(value: Option<Value>) -> Result<Option<Vec<Attachment>>, Refusal> {
    const KEY: &str = "cni.dev/valid-attachments";
    let Some(value) = value else { return Ok(None) };
    let Value::Array(list) = value else { return Err(fields::wrong_type(KEY, &value, "a list")) };
    let one = |value: Value| {
        let Value::Object(map) = value else {
            return Err(fields::wrong_type(KEY, &value, "a list of objects"));
        };
        let mut fields = Fields::new(KEY, map);
        let container = fields.text("containerID")?.unwrap_or_default();
        let ifname = fields.text("ifname")?.unwrap_or_default();
        Ok(Attachment {
            container: container.parse().map_err(|error| fields::rule(KEY, error))?,
            ifname: ifname.parse().map_err(|error| fields::rule(KEY, error))?,
        })
    };
    list.into_iter().map(one).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests;
