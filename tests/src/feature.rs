//! What a kernel may lack, found out by trying: a scenario that needs some of it says so in the name of its module.
//!
//! A module `needs_vrf_netem` holds scenarios that need VRFs and netem. `cargo xtask test` reads that from the names of the tests, and
//! runs them under another kernel where this one lacks something. A module `lacks_vrf` shows what happens where there are none, and runs
//! nowhere else.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};

/// Begins the name of a module whose scenarios need something.
const MARK: &str = "needs_";
/// Begins the name of a module whose scenarios show what happens without something.
const WITHOUT: &str = "lacks_";

/// Something that not every kernel is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Tunnels of IPv4 in IPv4 (`CONFIG_NET_IPIP`).
    Ipip,
    /// Tunnels in IPv6 (`CONFIG_IPV6_TUNNEL`).
    Ip6tnl,
    /// VXLAN (`CONFIG_VXLAN`).
    Vxlan,
    /// WireGuard (`CONFIG_WIREGUARD`).
    Wireguard,
    /// Virtual routing and forwarding (`CONFIG_NET_VRF`).
    Vrf,
    /// Interfaces with MAC addresses of their own on another one (`CONFIG_MACVLAN`).
    Macvlan,
    /// Interfaces with addresses of their own on another one (`CONFIG_IPVLAN`).
    Ipvlan,
    /// Loss, delay, duplication and reordering on purpose (`CONFIG_NET_SCH_NETEM`).
    Netem,
    /// nftables' fast path (`CONFIG_NFT_FLOW_OFFLOAD`).
    Flowtable,
    /// SCTP (`CONFIG_IP_SCTP`).
    Sctp,
    /// The TCP Authentication Option (`CONFIG_TCP_AO`, Linux 6.7 and later).
    Tcpao,
    /// A clock of its own, which may be set: a virtual machine.
    Clock,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Ipip,
        Self::Ip6tnl,
        Self::Vxlan,
        Self::Wireguard,
        Self::Vrf,
        Self::Macvlan,
        Self::Ipvlan,
        Self::Netem,
        Self::Flowtable,
        Self::Sctp,
        Self::Tcpao,
        Self::Clock,
    ];

    /// The word for module names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Ip6tnl => "ip6tnl",
            Self::Vxlan => "vxlan",
            Self::Wireguard => "wireguard",
            Self::Vrf => "vrf",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Netem => "netem",
            Self::Flowtable => "flowtable",
            Self::Sctp => "sctp",
            Self::Tcpao => "tcpao",
            Self::Clock => "clock",
        }
    }

    /// What succeeds only where the kernel has it.
    fn trial(self) -> &'static str {
        match self {
            Self::Ipip => "ip link add probe type ipip local 192.0.2.1 remote 192.0.2.2",
            Self::Ip6tnl => "ip link add probe type ip6tnl local 2001:db8::1 remote 2001:db8::2",
            Self::Vxlan => "ip link add probe type vxlan id 7 dstport 4789 local 192.0.2.1",
            Self::Wireguard => "ip link add probe type wireguard",
            Self::Vrf => "ip link add probe type vrf table 10",
            Self::Macvlan => {
                "ip link add below type veth peer name other && ip link add probe link below type macvlan"
            }
            Self::Ipvlan => {
                "ip link add below type veth peer name other && ip link add probe link below type ipvlan"
            }
            Self::Netem => "tc qdisc add dev lo root netem delay 1ms",
            Self::Flowtable => {
                "nft 'add table inet probe; add flowtable inet probe fast { hook ingress priority 0; devices = { lo }; }; \
                 add chain inet probe through { type filter hook forward priority 0; }; \
                 add rule inet probe through flow add @fast'"
            }
            // The module is loaded when somebody asks for a socket, which no shell does.
            Self::Sctp => "modprobe -q sctp; grep -q '^SCTP' /proc/net/protocols",
            // No shell sets options of sockets: a function of net/ipv4/tcp_ao.c.
            Self::Tcpao => "grep -qw tcp_ao_destroy_sock /proc/kallsyms",
            Self::Clock => "test -n \"$CAIRN_VM\"",
        }
    }

    /// Whether the running kernel has it: tried in a network namespace that ends with the trial.
    ///
    /// # Errors
    /// Where no network namespace can be made.
    pub fn is_there(self) -> Result<bool> {
        // A thread of its own: only it moves into the new namespace, and what it starts.
        let trial = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (root is needed)")?;
            let mut shell = Command::new("sh");
            shell.args(["-c", self.trial()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(shell.status().context("cannot start sh")?.success())
        });
        trial.join().unwrap_or_else(|_| bail!("the trial of {self} panicked"))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What the modules in a path like `lab::vrf::needs_vrf_netem` need.
///
/// # Errors
/// Where a word is no feature.
pub fn named(path: &str) -> Result<Vec<Feature>> {
    marked(path, MARK)
}

fn marked(path: &str, mark: &str) -> Result<Vec<Feature>> {
    let words = path.split("::").filter_map(|part| part.strip_prefix(mark)).flat_map(|list| list.split('_'));
    words
        .map(|word| {
            let found = Feature::ALL.into_iter().find(|feature| feature.name() == word);
            found.with_context(|| format!("{path}: `{word}` is no feature of a kernel that the lab knows"))
        })
        .collect()
}

/// Fails unless the running kernel has what the modules of a path need, and lacks what they are to do without.
///
/// # Errors
/// Says what is missing and where it is not.
pub fn require(path: &str) -> Result<()> {
    for feature in named(path)? {
        ensure!(
            feature.is_there()?,
            "needs {feature}, which this kernel lacks: cargo xtask test --tier vm {}",
            path.split("::").skip(1).collect::<Vec<_>>().join("::")
        );
    }
    for feature in marked(path, WITHOUT)? {
        ensure!(!feature.is_there()?, "shows what happens without {feature}, which this kernel has");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Feature, named};

    #[test]
    fn modules_name_features() {
        let found = named("scenarios::vrf::needs_vrf_netem::a").expect("all are known");
        assert_eq!(found, [Feature::Vrf, Feature::Netem]);
        assert!(named("scenarios::mesh::a").expect("none is named").is_empty());
        let error = named("scenarios::needs_magic").expect_err("there is none");
        assert!(error.to_string().contains("`magic`"), "{error}");
    }

    #[test]
    fn names_are_single_words() {
        for feature in Feature::ALL {
            assert!(!feature.name().contains('_') && named(&format!("needs_{feature}")).is_ok());
        }
    }
}
