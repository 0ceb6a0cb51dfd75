//! Routes in a node's kernel.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::world::World;

/// The protocol number of Cairn's routes.
const PROTOCOL: &str = "202";

/// How many next hops a node's learned route to an address has; 0 where there is no such route.
pub(crate) fn learned(world: &World, node: &str, address: IpAddr) -> Result<usize> {
    let version = if address.is_ipv6() { "-6" } else { "-4" };
    let text = world.run(node, &format!("ip {version} -json route show match {address} proto {PROTOCOL}"))?;
    let routes: Vec<Value> = serde_json::from_str(&text).context("`ip -json` did not print JSON")?;
    let length = |route: &Value| {
        let destination = route["dst"].as_str().unwrap_or_default();
        destination.split_once('/').and_then(|(_, length)| length.parse::<u8>().ok()).unwrap_or(128)
    };
    let Some(best) =
        routes.iter().filter(|route| route["type"] != "blackhole").max_by_key(|route| length(route))
    else {
        return Ok(0);
    };
    Ok(best["nexthops"].as_array().map_or(1, Vec::len))
}
