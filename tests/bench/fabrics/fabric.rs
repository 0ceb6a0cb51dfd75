//! The fabrics, as Cairn is asked for them and as they are made by hand.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::Lab;
use cairn_lab::feature::Feature;
use cairn_net::Family;

/// How pods' packets get from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fabric {
    /// As they are.
    None,
    /// In VXLAN.
    Vxlan,
    /// In IPv4.
    Ipip,
    /// Encrypted.
    Wireguard,
}

impl fmt::Display for Fabric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Vxlan => "vxlan",
            Self::Ipip => "ipip",
            Self::Wireguard => "wireguard",
        })
    }
}

impl Fabric {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Vxlan, Self::Ipip, Self::Wireguard];

    /// What the kernel must have.
    pub(crate) fn needs(self) -> Option<Feature> {
        match self {
            Self::None => None,
            Self::Vxlan => Some(Feature::Vxlan),
            Self::Ipip => Some(Feature::Ipip),
            Self::Wireguard => Some(Feature::Wireguard),
        }
    }

    /// The families of pods that it carries.
    pub(crate) const fn families(self) -> &'static [Family] {
        match self {
            Self::None | Self::Vxlan | Self::Wireguard => &Family::ALL,
            Self::Ipip => &[Family::Ipv4],
        }
    }

    /// The interface of a node that leads to pods of others.
    const fn device(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::None, _) => "eth1",
            (Self::Vxlan, Family::Ipv4) => "cairn-vxlan",
            (Self::Vxlan, Family::Ipv6) => "cairn-vxlan6",
            (Self::Ipip, _) => "cairn-ipip",
            (Self::Wireguard, _) => "cairn-wg",
        }
    }

    /// Makes it the mode of the pools that can have it.
    pub(crate) fn set_mode(self, lab: &Lab) -> Result<()> {
        let mode = match self {
            Self::None => return Ok(()),
            Self::Vxlan => "vxlanMode: Always",
            Self::Ipip => "ipipMode: Always",
            Self::Wireguard => {
                return configure(lab, "default", "wireguardEnabled: true, wireguardEnabledV6: true");
            }
        };
        self.families().iter().try_for_each(|family| set_in_pool(lab, *family, mode))
    }

    /// Fails unless a node sends packets to the address by this fabric.
    pub(crate) fn is_used(self, lab: &Lab, node: &str, address: IpAddr) -> Result<()> {
        let route = lab.run(node, &format!("ip route get {address}"))?;
        let device = self.device(Family::of(address));
        ensure!(route.contains(&format!("dev {device} ")), "not by {device}: {route}");
        Ok(())
    }

    /// Makes the same between the plain nodes, for packets of a family, and gives the ends the MTU of pods.
    pub(crate) fn by_hand(self, lab: &Lab, family: Family, mtu: u32) -> Result<()> {
        let keys = match self {
            Self::Wireguard => Some([Keys::make(lab)?, Keys::make(lab)?]),
            Self::None | Self::Vxlan | Self::Ipip => None,
        };
        for (own, other) in [(1, 2), (2, 1)] {
            let node = format!("plain{own}");
            let network = match family {
                Family::Ipv4 => format!("10.250.{other}.0/24"),
                Family::Ipv6 => format!("fd00:250:{other}::/64"),
            };
            let (local, remote) = match family {
                Family::Ipv4 => (format!("10.0.0.1{own}"), format!("10.0.0.1{other}")),
                Family::Ipv6 => (format!("fd10::1{own}"), format!("fd10::1{other}")),
            };
            let ends = format!("local {local} remote {remote}");
            // A device for each family, as Cairn has: outer packets are of the pods' family.
            let (device, gateway, length) = match family {
                Family::Ipv4 => ("tunnel4", format!("10.251.0.{other}"), 24),
                Family::Ipv6 => ("tunnel6", format!("fd00:251::{other}"), 64),
            };
            let kind = match self {
                Self::None => None,
                Self::Vxlan => Some(format!("vxlan id 42 dstport 4789 {ends} dev eth1 nolearning")),
                Self::Ipip => Some(format!("ipip {ends} ttl 64")),
                Self::Wireguard => Some("wireguard".to_owned()),
            };
            match kind {
                None => lab.run(&node, &format!("ip route replace {network} via {remote}"))?,
                Some(kind) => {
                    let address = gateway.strip_suffix(&other.to_string()).unwrap_or_default();
                    lab.run(&node, &format!("ip link add {device} type {kind}"))?;
                    lab.run(&node, &format!("ip address add {address}{own}/{length} dev {device}"))?;
                    if let Some(keys) = &keys {
                        // As with Cairn, encrypted packets are of IPv4.
                        let remote = format!("10.0.0.1{other}");
                        let (own, theirs) = (&keys[own - 1], &keys[other - 1]);
                        encrypt(lab, &node, device, own, theirs, &remote, &network)?;
                    }
                    lab.run(&node, &format!("ip link set {device} up"))?;
                    let via = if self == Self::Wireguard { String::new() } else { format!("via {gateway} ") };
                    lab.run(&node, &format!("ip route replace {network} {via}dev {device}"))?
                }
            };
            lab.run(&node, &format!("ip link set end mtu {mtu}"))?;
            lab.run(&format!("end{own}"), &format!("ip link set eth1 mtu {mtu}"))?;
        }
        Ok(())
    }
}

/// Sets a field of a family's pool. A node that writes a status at that moment may undo it: then it is done again.
pub(crate) fn set_in_pool(lab: &Lab, family: Family, field: &str) -> Result<()> {
    let path = pool(lab, family);
    crate::wait(|| {
        let text = std::fs::read_to_string(&path)?;
        if !text.contains(field) {
            let draft = path.with_extension("draft");
            std::fs::write(&draft, text.replacen("\nspec:\n", &format!("\nspec:\n  {field}\n"), 1))?;
            std::fs::rename(&draft, &path)?;
        }
        std::thread::sleep(Duration::from_millis(500));
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(field), "{}: {text}", path.display());
        Ok(())
    })
    .with_context(|| format!("{field} in {}", path.display()))
}

/// Makes this a configuration of the nodes.
pub(crate) fn configure(lab: &Lab, name: &str, spec: &str) -> Result<()> {
    let text = format!(
        "apiVersion: cairn.network/v1alpha1\nkind: NodeConfiguration\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    );
    let directory = lab.directory().join("volumes/objects/nodeconfigurations");
    std::fs::create_dir_all(&directory)?;
    let draft = directory.join(format!("{name}.draft"));
    std::fs::write(&draft, text)?;
    Ok(std::fs::rename(&draft, directory.join(format!("{name}.yaml")))?)
}

/// Those of one end.
struct Keys {
    private: String,
    public: String,
}

impl Keys {
    fn make(lab: &Lab) -> Result<Self> {
        let make = "key=$(wg genkey) && echo $key && echo $key | wg pubkey";
        let output = lab.exec("plain1", &["sh", "-c", make])?;
        let mut lines = output.stdout.lines().map(str::to_owned);
        match (lines.next(), lines.next()) {
            (Some(private), Some(public)) if output.success => Ok(Self { private, public }),
            _ => bail!("no keys: {}", output.text()),
        }
    }
}

/// Gives a WireGuard device its key, and the other plain node as its peer.
fn encrypt(
    lab: &Lab,
    node: &str,
    device: &str,
    own: &Keys,
    theirs: &Keys,
    remote: &str,
    network: &str,
) -> Result<()> {
    let port = if device == "tunnel4" { 51_821 } else { 51_822 };
    let set = format!("echo {} | wg set {device} listen-port {port} private-key /dev/stdin", own.private);
    let output = lab.exec(node, &["sh", "-c", &set])?;
    ensure!(output.success, "{}", output.text());
    let peer = format!("peer {} endpoint {remote}:{port} allowed-ips {network}", theirs.public);
    lab.run(node, &format!("wg set {device} {peer}")).map(drop)
}

/// The file of a family's pool.
fn pool(lab: &Lab, family: Family) -> PathBuf {
    let name = match family {
        Family::Ipv4 => "pods-ipv4",
        Family::Ipv6 => "pods-ipv6",
    };
    lab.directory().join(format!("volumes/objects/ippools/{name}.yaml"))
}
