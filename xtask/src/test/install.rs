//! Installs the programs that the lab tier runs, from Debian's packages, and none of their services.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Program, and the Debian package that has it.
const NEEDED: [(&str, &str); 24] = [
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("wg", "wireguard-tools"),
    ("bird", "bird2"),
    ("zebra", "frr"),
    ("vtysh", "frr"),
    ("gobgpd", "gobgpd"),
    ("gobgp", "gobgpd"),
    ("go", "golang-go"),
    ("git", "git"),
    ("promtool", "prometheus"),
    ("tshark", "tshark"),
    ("bgpdump", "bgpdump"),
    ("mrt-print-all", "mrtparse"),
    ("systemd-networkd", "systemd"),
    ("dbus-daemon", "dbus"),
    ("NetworkManager", "network-manager"),
    ("nmcli", "network-manager"),
    ("firewalld", "firewalld"),
    // libFuzzer is C++.
    ("c++", "g++"),
];

/// As [`NEEDED`], for the virtual machine.
const MACHINE: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
    ("setpriv", "util-linux"),
    ("tc", "iproute2"),
];

/// As [`NEEDED`], for what needs a real Kubernetes.
const KUBERNETES: [(&str, &str); 5] = [
    ("go", "golang-go"),
    ("curl", "curl"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
];

/// Package, and the service that comes along with it: it must run neither now nor after the next boot.
const SERVICES: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("bird2", "bird"),
    ("frr", "frr"),
    ("gobgpd", "gobgpd"),
    ("prometheus", "prometheus"),
    ("network-manager", "NetworkManager"),
    ("firewalld", "firewalld"),
];

/// While this file says 101, Debian's packages start no service (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing for the scenarios, after saying so.
pub(crate) fn for_lab() -> Result<()> {
    install(&NEEDED)
}

/// Installs what is missing for the virtual machine, after saying so.
pub(crate) fn for_machine() -> Result<()> {
    install(&MACHINE)
}

/// Installs what is missing to build and run Kubernetes, after saying so.
pub(crate) fn for_kubernetes() -> Result<()> {
    install(&KUBERNETES)
}

fn install(programs: &[(&str, &str)]) -> Result<()> {
    let missing = || programs.iter().filter(|(program, _)| process::find(program).is_none());
    let mut packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let packages = packages.join(" ");
    if process::find("apt-get").is_none() || !process::is_root() {
        bail!("missing, to be installed by root with apt-get: {packages}");
    }
    println!("  installing with apt-get: {packages}");
    let policy = Policy::forbid_services()?;
    let result = apt(&["update", "-qq"]).and_then(|()| {
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend(packages.split(' '));
        apt(&arguments)
    });
    drop(policy);
    result?;
    disable_services(&packages);
    match missing().next() {
        Some((program, package)) => {
            bail!("package {package} was installed, yet there is no program `{program}`")
        }
        None => Ok(()),
    }
}

fn apt(arguments: &[&str]) -> Result<()> {
    process::run(
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("NEEDRESTART_MODE", "l"),
    )
}

/// On a machine with systemd a package's service would start at the next boot.
fn disable_services(packages: &str) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for (_, service) in
        SERVICES.iter().filter(|(package, _)| packages.split(' ').any(|name| name == *package))
    {
        // A package that brings no such service leaves nothing to disable.
        let _ = Command::new("systemctl").args(["disable", "--now", "--quiet", service]).status();
    }
}

/// The temporary ban on starting services; lifted when dropped.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid_services() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            // Nothing better can be done about a file that was there a moment ago.
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
