//! Installs the programs that the lab tier runs, from Debian's packages, and none of their services.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// How that file begins where it is ours; the number of the process that wrote it follows.
const OURS: &str = "#!/bin/sh\n# No service starts while cairn's xtask installs packages, process ";

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
        if process::is_root() {
            lift_leftover(Path::new(POLICY));
        }
        return Ok(());
    }
    let packages = packages.join(" ");
    if process::find("apt-get").is_none() || !process::is_root() {
        bail!("missing, to be installed by root with apt-get: {packages}");
    }
    println!("  installing with apt-get: {packages}");
    let policy = Policy::forbid_services(Path::new(POLICY))?;
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

/// The temporary ban on starting services; lifted when dropped. Holds the file's path, or nothing where it is somebody else's.
struct Policy(Option<PathBuf>);

impl Policy {
    fn forbid_services(path: &Path) -> Result<Self> {
        lift_leftover(path);
        if path.symlink_metadata().is_ok() {
            return Ok(Self(None));
        }
        // Before the file is there, so that one that could not be finished goes too.
        let policy = Self(Some(path.to_owned()));
        let text = format!("{OURS}{}\nexit 101\n", std::process::id());
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing better can be done about a file that was there a moment ago.
            let _ = fs::remove_file(path);
        }
    }
}

/// Lifts the ban of a run that was killed: no service would ever start again when it is installed.
fn lift_leftover(path: &Path) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let writer = text.strip_prefix(OURS).and_then(|rest| rest.lines().next());
    if writer.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
        println!("  {} was left by a run that was interrupted: removed", path.display());
        // What cannot be removed is found again by the next run.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_with_its_run_or_the_next_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("policy-rc.d");
        let policy = Policy::forbid_services(&path).expect("it is written");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o755);
        let second = Policy::forbid_services(&path).expect("it is another run's, which goes on");
        drop(second);
        assert!(path.exists());
        drop(policy);
        assert!(!path.exists());
        // No process has this number.
        fs::write(&path, format!("{OURS}4194305\nexit 101\n")).expect("a file");
        drop(Policy::forbid_services(&path).expect("it is written anew"));
        assert!(!path.exists());
    }

    #[test]
    fn the_ban_of_an_administrator_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("policy-rc.d");
        let text = "#!/bin/sh\nexit 101\n";
        fs::write(&path, text).expect("a file");
        lift_leftover(&path);
        drop(Policy::forbid_services(&path).expect("it is left alone"));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
    }
}
