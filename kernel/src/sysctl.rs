//! Kernel settings under `/proc/sys`, of the namespace of the calling thread.
//!
//! Invariant: a path is made of a closed set of names and a checked interface name, so it cannot leave the tree.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cairn_net::Family;

use crate::Error;
use crate::error::Refusal;
use crate::object::LinkName;

/// Whose setting: `all`, `default` (copied into new interfaces) or one interface's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Combined with the interface's own, differently for each setting.
    All,
    /// What new interfaces start with.
    Default,
    /// One interface.
    Link(LinkName),
}

/// A setting of IP, per interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conf {
    /// Forward packets that came in here.
    Forwarding,
    /// Answer ARP for addresses routed elsewhere (IPv4).
    ProxyArp,
    /// Milliseconds (hundredths of a second in the kernel) that a proxied answer may be delayed (IPv4).
    ProxyDelay,
    /// Reverse path filter: 0 off, 1 strict, 2 loose (IPv4).
    RpFilter,
    /// Treat 127.0.0.0/8 as routable (IPv4).
    RouteLocalnet,
    /// Believe ICMP redirects.
    AcceptRedirects,
    /// Send ICMP redirects (IPv4).
    SendRedirects,
    /// Answer neighbour solicitations for listed proxy entries (IPv6).
    ProxyNdp,
    /// Believe router advertisements: 0 no, 1 unless forwarding, 2 always (IPv6).
    AcceptRa,
    /// Duplicate address detection (IPv6).
    AcceptDad,
    /// Tell the neighbours of an address by ARP when the interface comes up (IPv4).
    ArpNotify,
    /// Tell them by unsolicited advertisements (IPv6).
    NdiscNotify,
    /// Neighbour solicitations sent before an address is used (IPv6).
    DadTransmits,
    /// Link-local address by: 0 MAC, 1 none, 2 stable secret, 3 random (IPv6).
    AddrGenMode,
    /// IPv6 switched off on the interface.
    DisableIpv6,
    /// Keep global addresses when the interface goes down (IPv6).
    KeepAddrOnDown,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sysctl {
    /// `net.<family>.conf.<scope>.<conf>`, or under `neigh` where the kernel keeps it there.
    Conf(Family, Scope, Conf),
    /// `net.ipv4.fib_multipath_hash_policy`, `net.ipv6.fib_multipath_hash_policy`: 0 addresses, 1 also ports.
    MultipathHashPolicy(Family),
    /// `net.ipv4.ip_forward`.
    IpForward,
    /// `net.netfilter.nf_conntrack_max`.
    ConntrackMax,
}

impl Conf {
    /// `IPV4_DEVCONF_*`: the number by which rtnetlink knows an IPv4 setting.
    pub(crate) const fn ipv4_number(self) -> Option<u16> {
        Some(match self {
            Self::Forwarding => 1,
            Self::ProxyArp => 3,
            Self::AcceptRedirects => 4,
            Self::SendRedirects => 6,
            Self::RpFilter => 8,
            Self::ArpNotify => 22,
            Self::RouteLocalnet => 26,
            _ => return None,
        })
    }

    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Forwarding => ("conf", "forwarding"),
            Self::ProxyArp => ("conf", "proxy_arp"),
            Self::ProxyDelay => ("neigh", "proxy_delay"),
            Self::RpFilter => ("conf", "rp_filter"),
            Self::RouteLocalnet => ("conf", "route_localnet"),
            Self::AcceptRedirects => ("conf", "accept_redirects"),
            Self::SendRedirects => ("conf", "send_redirects"),
            Self::ProxyNdp => ("conf", "proxy_ndp"),
            Self::AcceptRa => ("conf", "accept_ra"),
            Self::AcceptDad => ("conf", "accept_dad"),
            Self::ArpNotify => ("conf", "arp_notify"),
            Self::NdiscNotify => ("conf", "ndisc_notify"),
            Self::DadTransmits => ("conf", "dad_transmits"),
            Self::AddrGenMode => ("conf", "addr_gen_mode"),
            Self::DisableIpv6 => ("conf", "disable_ipv6"),
            Self::KeepAddrOnDown => ("conf", "keep_addr_on_down"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Default => f.write_str("default"),
            Self::Link(name) => fmt::Display::fmt(name, f),
        }
    }
}

/// The path under `/proc/sys`.
impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conf(family, scope, conf) => {
                let (room, name) = conf.place();
                write!(f, "net/{}/{room}/{scope}/{name}", directory(*family))
            }
            Self::MultipathHashPolicy(family) => {
                write!(f, "net/{}/fib_multipath_hash_policy", directory(*family))
            }
            Self::IpForward => f.write_str("net/ipv4/ip_forward"),
            Self::ConntrackMax => f.write_str("net/netfilter/nf_conntrack_max"),
        }
    }
}

const fn directory(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

/// Where settings are unless [`use_root`] says otherwise.
pub const ROOT: &str = "/proc/sys";

static OTHER_ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Has this process read and write settings below another directory, once and for all: in a container [`ROOT`] is read-only, and the
/// host's is mounted elsewhere. It shows each thread the settings of the namespace that it is in, as [`ROOT`] does.
///
/// Errors: it has no directory `net`.
pub fn use_root(root: &Path) -> io::Result<()> {
    if !fs::metadata(root.join("net"))?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    OTHER_ROOT.get_or_init(|| root.to_owned());
    Ok(())
}

fn file(sysctl: &Sysctl) -> PathBuf {
    OTHER_ROOT.get().map_or(Path::new(ROOT), PathBuf::as_path).join(sysctl.to_string())
}

/// Reads a setting.
///
/// Errors: `ENOENT` if the interface or the setting does not exist; a value that is not a number.
pub fn read(sysctl: &Sysctl) -> Result<i64, Error> {
    let text = fs::read_to_string(file(sysctl))
        .map_err(|error| Error::refused("read", format_args!("sysctl {sysctl}"), Refusal::from(error)))?;
    text.trim().parse().map_err(|_| Error::Malformed { what: "sysctl", rule: "one decimal number" })
}

/// Writes a setting.
///
/// Errors: `ENOENT` if the interface or the setting does not exist; `EROFS` where `/proc/sys` is read-only.
pub fn write(sysctl: &Sysctl, value: i64) -> Result<(), Error> {
    fs::write(file(sysctl), value.to_string())
        .map_err(|error| Error::refused("write", format_args!("sysctl {sysctl}"), Refusal::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_must_have_settings_of_the_network() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(use_root(directory.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(directory.path().join("net"), "").unwrap();
        assert_eq!(use_root(directory.path()).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(file(&Sysctl::IpForward), Path::new("/proc/sys/net/ipv4/ip_forward"));
    }

    #[test]
    fn paths_are_those_of_the_kernel() {
        let link = Scope::Link("eth0.5".parse().unwrap());
        let cases = [
            (Sysctl::Conf(Family::Ipv4, link, Conf::ProxyArp), "net/ipv4/conf/eth0.5/proxy_arp"),
            (Sysctl::Conf(Family::Ipv6, Scope::Default, Conf::AcceptRa), "net/ipv6/conf/default/accept_ra"),
            (Sysctl::Conf(Family::Ipv4, Scope::All, Conf::ProxyDelay), "net/ipv4/neigh/all/proxy_delay"),
            (Sysctl::MultipathHashPolicy(Family::Ipv6), "net/ipv6/fib_multipath_hash_policy"),
        ];
        for (sysctl, path) in cases {
            assert_eq!(sysctl.to_string(), path);
        }
    }

    #[test]
    fn a_setting_is_read_as_a_number() {
        assert!(read(&Sysctl::IpForward).is_ok_and(|value| value == 0 || value == 1));
        let missing = Scope::Link("nosuchlink0".parse().unwrap());
        assert!(read(&Sysctl::Conf(Family::Ipv4, missing, Conf::Forwarding)).unwrap_err().is_not_found());
    }
}
