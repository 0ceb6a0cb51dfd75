//! Links: one veth pair each, made directly in the two nodes, so that none ever shows up on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Lab;
use crate::topology::Link;

/// Makes all links of some nodes, configures their ends and sets them up.
pub(super) fn connect(lab: &Lab, names: &BTreeSet<String>) -> Result<()> {
    let mut pairs = String::new();
    let mut ends: BTreeMap<&str, String> = BTreeMap::new();
    let both_run = |link: &&Link| link.ends.iter().all(|end| lab.process(&end.node).is_ok());
    let wanted = |link: &&Link| link.ends.iter().any(|end| names.contains(&end.node));
    for link in lab.topology().links.iter().filter(wanted).filter(both_run) {
        let [left, right] = &link.ends;
        let (from, to) = (lab.process(&left.node)?.pid, lab.process(&right.node)?.pid);
        writeln!(
            pairs,
            "link add name {} netns {from} type veth peer name {} netns {to}",
            left.interface, right.interface
        )?;
        for end in &link.ends {
            let commands = ends.entry(&end.node).or_default();
            let name = &end.interface;
            if let Some(mtu) = link.mtu {
                writeln!(commands, "link set {name} mtu {mtu}")?;
            }
            let mac = end.mac.clone().unwrap_or_else(|| burned_in(&end.node, name));
            writeln!(commands, "link set {name} address {mac}")?;
            for address in &end.addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                writeln!(commands, "address add {address} dev {name}{nodad}")?;
            }
            writeln!(commands, "link set {name} up")?;
        }
    }
    let mut ip = Command::new("ip");
    ip.args(["-batch", "-"]);
    feed(&mut ip, &pairs).context("cannot make the links")?;
    for (node, commands) in ends {
        let mut ip = lab.command(node, None)?;
        ip.args(["ip", "-batch", "-"]);
        feed(&mut ip, &commands).with_context(|| format!("node {node}: cannot configure its links"))?;
    }
    Ok(())
}

/// The address of an interface as if it were its hardware's: a node that is back after a power loss has it again, so that
/// its neighbours need not wait for their caches.
fn burned_in(node: &str, interface: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (node, interface).hash(&mut hasher);
    let [a, b, c, d, e, ..] = hasher.finish().to_be_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

/// Runs a program on a text; whatever it says is part of the error.
fn feed(command: &mut Command, text: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `ip` (package iproute2)")?;
    child.stdin.take().context("standard input is piped")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ip: {}\n{text}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
