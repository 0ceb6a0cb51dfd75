//! Interfaces of nodes, as `ip` shows them.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lab::Lab;

/// An interface of a node.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `UP`, `DOWN`, `UNKNOWN` (the loopback) ...
    pub state: String,
    /// All addresses but link-local and loopback ones.
    pub addresses: Vec<IpAddr>,
    /// The other way of writing them: with lengths, for people.
    pub prefixes: Vec<String>,
}

impl Lab {
    /// The interfaces of a node.
    ///
    /// # Errors
    /// Where the node does not run.
    pub fn interfaces(&self, node: &str) -> Result<Vec<Interface>> {
        let text = self.run(node, "ip -json address show")?;
        let list: Vec<Value> = serde_json::from_str(&text).context("`ip -json` did not print JSON")?;
        Ok(list.iter().map(Interface::read).collect())
    }
}

impl Interface {
    fn read(value: &Value) -> Self {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (mut addresses, mut prefixes) = (Vec::new(), Vec::new());
        for entry in value["addr_info"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let Some(address) = entry["local"].as_str().and_then(|text| text.parse::<IpAddr>().ok()) else {
                continue;
            };
            if entry["scope"] == "global" && !address.is_loopback() {
                addresses.push(address);
                prefixes.push(format!("{address}/{}", entry["prefixlen"]));
            }
        }
        Self { name: text(value, "ifname"), state: text(value, "operstate"), addresses, prefixes }
    }
}
