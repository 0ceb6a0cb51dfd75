//! Links: veth pairs between nodes, in containerlab's brief and extended forms.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::file::{EndpointEntry, LinkEntry};

/// The kernel's IFNAMSIZ without the closing zero.
const LONGEST_NAME: usize = 15;

/// A point-to-point link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// The two ends.
    pub ends: [Endpoint; 2],
    /// The MTU of both ends in bytes, where the file names one.
    pub mtu: Option<u32>,
}

/// One end of a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// The node's name.
    pub node: String,
    /// The interface's name in the node.
    pub interface: String,
    /// A fixed MAC address.
    pub mac: Option<String>,
    /// `address/length` of either family, to be configured on the interface.
    pub addresses: Vec<String>,
}

impl Link {
    pub(super) fn from_entry(entry: &LinkEntry) -> Result<Self> {
        if let Some(kind) = entry.r#type.as_deref().filter(|kind| *kind != "veth") {
            bail!("links of type `{kind}` are not supported by the lab; `veth` is");
        }
        let [left, right] = entry.endpoints.as_slice() else {
            bail!("a link has 2 endpoints, not {}", entry.endpoints.len());
        };
        let mut ends = [Endpoint::from_entry(left)?, Endpoint::from_entry(right)?];
        for (end, index) in ends.iter_mut().zip(0..) {
            let listed = [entry.ipv4.get(index), entry.ipv6.get(index)];
            end.addresses.extend(listed.into_iter().flatten().filter(|text| !text.is_empty()).cloned());
            end.check().with_context(|| format!("endpoint {}:{}", end.node, end.interface))?;
        }
        Ok(Self { ends, mtu: entry.mtu })
    }
}

impl Endpoint {
    fn from_entry(entry: &EndpointEntry) -> Result<Self> {
        match entry {
            EndpointEntry::Brief(text) => {
                let (node, interface) = text
                    .split_once(':')
                    .with_context(|| format!("endpoint `{text}`: the form is `node:interface`"))?;
                Ok(Self { node: node.into(), interface: interface.into(), mac: None, addresses: Vec::new() })
            }
            EndpointEntry::Extended(end) => Ok(Self {
                node: end.node.clone(),
                interface: end.interface.clone(),
                mac: end.mac.clone(),
                addresses: end.ipv4.iter().chain(&end.ipv6).cloned().collect(),
            }),
        }
    }

    fn check(&self) -> Result<()> {
        let name = &self.interface;
        let plain = name.chars().all(|letter| letter.is_ascii_graphic() && letter != '/');
        ensure!(
            plain && (1..=LONGEST_NAME).contains(&name.len()),
            "interface `{name}`: a name has 1 to {LONGEST_NAME} printable characters and no slash"
        );
        for text in &self.addresses {
            let (address, length) = text.split_once('/').unwrap_or((text, ""));
            let address: std::net::IpAddr = address.parse().with_context(|| format!("address `{text}`"))?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let fits = length.parse::<u8>().is_ok_and(|length| length <= longest);
            ensure!(fits, "address `{text}`: the length after the slash is 0 to {longest}");
        }
        Ok(())
    }
}
