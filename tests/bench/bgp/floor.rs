//! The kernel's own share of a route: a writer with nothing else to do, in the namespace that a speaker has just left.

use std::net::IpAddr;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cairn_kernel::object::NexthopId;
use cairn_net::Prefix;

#[path = "../routes/raw.rs"]
mod raw;

use crate::table::{Key, internet};
use crate::usage::Usage;
use crate::wire::peer_address;
use crate::workload::Figures;

/// Writes the prefixes of the workload through one nexthop object, and deletes them.
pub(crate) fn run(count: usize) -> Result<Figures> {
    let id = NexthopId::FIRST;
    let hop = format!("nexthop add id {} via {} dev s0", id.0, peer_address(0));
    let made = Command::new("ip").args(hop.split(' ')).status().context("cannot run ip")?;
    ensure!(made.success(), "ip {hop}");
    let prefixes: Vec<Prefix> = internet(count, 42).into_iter().map(prefix).collect::<Result<_>>()?;
    let mut writer = raw::Writer::open()?;
    let mut figures = Figures::new();
    let (began, cpu) = (Instant::now(), Usage::of_this_thread());
    writer.add(&prefixes, id)?;
    let (between, between_cpu) = (Instant::now(), Usage::of_this_thread());
    writer.delete(&prefixes)?;
    figures.insert("raw_installed", (between - began).as_secs_f64());
    figures.insert("raw_removed", between.elapsed().as_secs_f64());
    figures.insert("raw_installed_cpu", between_cpu - cpu);
    figures.insert("raw_removed_cpu", Usage::of_this_thread() - between_cpu);
    Ok(figures)
}

fn prefix(Key(key): Key) -> Result<Prefix> {
    let (addr, len) = ((key >> 8) as u32, key as u8);
    Prefix::new(IpAddr::V4(addr.into()), len).context("a prefix with host bits")
}
