//! The kernel's own share of a route: a writer with nothing else to do, in the namespace that a speaker has just left.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_kernel::object::NexthopId;
use cairn_net::Prefix;
use nix::net::if_::if_nametoindex;

#[path = "../routes/raw.rs"]
mod raw;

use crate::table::{Key, internet};
use crate::usage::Usage;
use crate::wire::peer_address;
use crate::workload::Figures;

/// `RTA_OIF`, `RTA_GATEWAY` (linux/rtnetlink.h).
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;

/// Writes the prefixes of the workload and deletes them: through the router that speakers name, and through a nexthop object, which no
/// other daemon knows of.
pub(crate) fn run(count: usize) -> Result<Figures> {
    const LINK: &str = "s0";
    let id = NexthopId::FIRST;
    let router = peer_address(0);
    let hop = format!("nexthop add id {} via {router} dev {LINK}", id.0);
    let made = Command::new("ip").args(hop.split(' ')).status().context("cannot run ip")?;
    ensure!(made.success(), "ip {hop}");
    let prefixes: Vec<Prefix> = internet(count, 42).into_iter().map(prefix).collect::<Result<_>>()?;
    let interface = raw::word(INTERFACE, if_nametoindex(LINK)?.to_ne_bytes());
    let mut figures = Figures::new();
    let names = [
        (vec![raw::word(GATEWAY, router.octets()), interface], "raw_installed_cpu", "raw_removed_cpu"),
        (vec![raw::nexthop(id)], "object_installed_cpu", "object_removed_cpu"),
    ];
    for (way, installed, removed) in names {
        let mut writer = raw::Writer::open()?;
        let before = Usage::of_this_thread();
        writer.add(&prefixes, &way)?;
        let between = Usage::of_this_thread();
        writer.delete(&prefixes)?;
        figures.insert(installed, between - before);
        figures.insert(removed, Usage::of_this_thread() - between);
    }
    Ok(figures)
}

fn prefix(Key(key): Key) -> Result<Prefix> {
    let (addr, len) = ((key >> 8) as u32, key as u8);
    Prefix::new(IpAddr::V4(addr.into()), len).context("a prefix with host bits")
}
