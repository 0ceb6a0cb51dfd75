//! Pods and each other.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::world::{WEB, World};

pub(crate) fn all_reach_all_and_are_seen_by_their_own_address(world: &World) -> Result<()> {
    let pods = world.pods()?;
    let families = if world.cluster.families().wants("::") { 2 } else { 1 };
    for from in &pods {
        ensure!(from.addresses.len() == families, "{from:?}");
        for to in &pods {
            for (own, address) in from.addresses.iter().zip(&to.addresses) {
                let seen: SocketAddr = world.ask(from, &address.to_string(), WEB, "clientip")?.parse()?;
                ensure!(seen.ip() == *own, "{from:?} is seen as {seen} by {to:?}");
            }
        }
    }
    Ok(())
}
