//! Whose a thing is.

use std::fmt;

use cairn_kernel::nftables::{Table, TableFamily};
use cairn_kernel::object::{Kind, Link};
use felix_api::{TUNNEL_GROUP, WORKLOAD};
use serde::Serialize;

/// A pod network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Product {
    /// Calico with its own dataplane: iptables, nftables or eBPF.
    Calico,
    /// flannel with the VXLAN, WireGuard or IP-in-IP back end.
    Flannel,
    /// This one.
    Cairn,
}

impl fmt::Display for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Calico => "calico",
            Self::Flannel => "flannel",
            Self::Cairn => "cairn",
        })
    }
}

const CALICO_TABLES: [Table; 2] =
    [Table { family: TableFamily::Ip, name: "calico" }, Table { family: TableFamily::Ip6, name: "calico" }];
const FLANNEL_TABLES: [Table; 2] = [
    Table { family: TableFamily::Ip, name: "flannel-ipv4" },
    Table { family: TableFamily::Ip6, name: "flannel-ipv6" },
];

impl Product {
    /// Names of its daemons, at most 15 letters as in `/proc/PID/comm`.
    pub(super) const fn daemons(self) -> &'static [&'static str] {
        match self {
            Self::Calico => &["calico-node", "calico-felix"],
            Self::Flannel => &["flanneld"],
            Self::Cairn => &["felix-lite", "bgpd"],
        }
    }

    /// Whose interface it is. That of others may have the same name: ours are marked by their group, and what no mark tells apart is not named here.
    pub(super) fn of_link(link: &Link) -> Option<Self> {
        const CALICO: [&str; 8] = [
            "vxlan.calico",
            "vxlan-v6.calico",
            "wireguard.cali",
            "wg-v6.cali",
            "bpfin.cali",
            "bpfout.cali",
            "calico_tmp_A",
            "calico_tmp_B",
        ];
        const FLANNEL: [&str; 3] = ["flannel-wg", "flannel-wg-v6", "flannel.ipip"];
        let (name, veth) = (link.name.as_str(), link.kind == Kind::Veth);
        let numbered = |prefix: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if CALICO.contains(&name) || (veth && name.starts_with("cali")) {
            Some(Self::Calico)
        } else if FLANNEL.contains(&name) || numbered("flannel.") || numbered("flannel-v6.") {
            Some(Self::Flannel)
        } else if link.group == TUNNEL_GROUP || (veth && name.starts_with(WORKLOAD)) {
            Some(Self::Cairn)
        } else {
            None
        }
    }

    /// Its tables of nf_tables.
    pub(super) const fn tables(self) -> &'static [Table] {
        match self {
            Self::Calico => &CALICO_TABLES,
            Self::Flannel => &FLANNEL_TABLES,
            Self::Cairn => &[Table::CAIRN, Table::CAIRN_INTERFACES, Table::CAIRN_FAST_PATH],
        }
    }

    /// How the names of its chains in iptables begin, and the comments of its rules in chains of others. Cairn has none.
    pub(super) const fn iptables(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Calico => Some(("cali-", "cali:")),
            Self::Flannel => Some(("FLANNEL-", "flanneld ")),
            Self::Cairn => None,
        }
    }

    /// Whose IP set is called so.
    pub(super) fn of_ipset(name: &str) -> Option<Self> {
        const CALICO: [&str; 4] = ["cali40", "cali60", "cali4t", "cali6t"];
        CALICO.iter().any(|prefix| name.starts_with(prefix)).then_some(Self::Calico)
    }

    /// Its files and directories. What an operator wrote is not among them.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Calico => &[
                "etc/cni/net.d/10-calico.conflist",
                "etc/cni/net.d/calico-kubeconfig",
                "etc/cni/net.d/calico-tls",
                "opt/cni/bin/calico",
                "opt/cni/bin/calico-ipam",
                "run/calico",
                "var/lib/calico",
                "var/log/calico",
            ],
            Self::Flannel => &[
                "etc/cni/net.d/10-flannel.conflist",
                "opt/cni/bin/flannel",
                "run/flannel",
                "var/lib/cni/flannel",
            ],
            Self::Cairn => {
                &["etc/cni/net.d/10-cairn.conflist", "opt/cni/bin/cairn-cni", "run/cairn", "var/lib/cairn"]
            }
        }
    }

    pub(super) const ALL: [Self; 3] = [Self::Calico, Self::Flannel, Self::Cairn];
}

#[cfg(test)]
mod tests {
    use cairn_kernel::object::{IfIndex, Kind, Link, LinkFlags};
    use felix_api::TUNNEL_GROUP;

    use super::Product;

    fn of(name: &str, kind: Kind, group: u32) -> Option<Product> {
        Product::of_link(&Link {
            index: IfIndex(1),
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            flags: LinkFlags::default(),
            group,
            kind,
            master: None,
            peer: None,
            alias: None,
        })
    }

    #[test]
    fn interfaces_are_told_by_their_names_and_marks() {
        let other = || Kind::Other("dummy".to_owned());
        assert_eq!(of("vxlan.calico", other(), 0), Some(Product::Calico));
        assert_eq!(of("flannel.1", other(), 0), Some(Product::Flannel));
        assert_eq!(of("cairn-vxlan", other(), TUNNEL_GROUP), Some(Product::Cairn));
        assert_eq!(of("cali123", Kind::Veth, 0), Some(Product::Calico));
        assert_eq!(of("crn123", Kind::Veth, 0), Some(Product::Cairn));
        let foreign = [
            "eth0",
            "calico",
            "cali123",
            "crn0",
            "flannel.",
            "flannel.x",
            "tunl0",
            "docker0",
            "cairn-vxlan",
            "cni0",
        ];
        for name in foreign {
            assert_eq!(of(name, other(), 0), None, "{name}");
        }
    }

    #[test]
    fn ipsets_are_told_by_their_names() {
        assert_eq!(Product::of_ipset("cali40all-ipam-pools"), Some(Product::Calico));
        assert_eq!(Product::of_ipset("KUBE-CLUSTER-IP"), None);
    }
}
