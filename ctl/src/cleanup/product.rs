//! Whose a thing is.

use std::fmt;

use cairn_kernel::nftables::{Table, TableFamily};
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

    /// Whose interface is called so, `veth` if it is one end of a virtual cable.
    pub(super) fn of_link(name: &str, veth: bool) -> Option<Self> {
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
        const FLANNEL: [&str; 4] = ["cni0", "flannel-wg", "flannel-wg-v6", "flannel.ipip"];
        let numbered = |prefix: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if CALICO.contains(&name) || (veth && name.starts_with("cali")) {
            Some(Self::Calico)
        } else if FLANNEL.contains(&name) || numbered("flannel.") || numbered("flannel-v6.") {
            Some(Self::Flannel)
        } else if name.starts_with("cairn-") || (veth && name.starts_with("crn")) {
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
            Self::Cairn => &[Table::CAIRN],
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
    use super::Product;

    #[test]
    fn interfaces_are_told_by_their_names() {
        let of = |name| Product::of_link(name, false);
        assert_eq!(of("vxlan.calico"), Some(Product::Calico));
        assert_eq!(of("flannel.1"), Some(Product::Flannel));
        assert_eq!(of("cni0"), Some(Product::Flannel));
        assert_eq!(of("cairn-vxlan"), Some(Product::Cairn));
        assert_eq!(Product::of_link("cali123", true), Some(Product::Calico));
        assert_eq!(Product::of_link("crn123", true), Some(Product::Cairn));
        for foreign in ["eth0", "calico", "cali123", "crn0", "flannel.", "flannel.x", "tunl0", "docker0"] {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn ipsets_are_told_by_their_names() {
        assert_eq!(Product::of_ipset("cali40all-ipam-pools"), Some(Product::Calico));
        assert_eq!(Product::of_ipset("KUBE-CLUSTER-IP"), None);
    }
}
