//! BIRD, FRRouting and GoBGP understand each other in the lab: what every interoperability test rests on.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// Waits for the sessions with the two other foreign routers; those with bgpd are another scenario's.
fn await_two(world: &World, node: &str) -> Result<()> {
    eventually(SETTLES, || {
        let sessions = world.sessions(node)?;
        let up = sessions.iter().filter(|session| session.established && session.remote_as != 65204).count();
        ensure!(up == 2, "{node}: {up} sessions are established: {sessions:?}");
        Ok(())
    })
    .map(|_| ())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn foreign_routers_exchange_routes_of_both_families() -> Result<()> {
    play("routers", "routers", Families::Dual, |world| {
        for node in ["bird", "frr", "gobgp"] {
            await_two(world, node)?;
        }
        eventually(SETTLES, || {
            let (four, six) = (world.run("frr", "ip route")?, world.run("frr", "ip -6 route")?);
            ensure!(
                four.contains("192.0.2.0/28 ") && six.contains("2001:db8:1::/48 "),
                "FRR lacks BIRD's: {four}{six}"
            );
            let (four, six) = (world.run("bird", "ip route")?, world.run("bird", "ip -6 route")?);
            ensure!(
                four.contains("192.0.2.16/28 ") && six.contains("2001:db8:2::/48 "),
                "BIRD lacks FRR's: {four}{six}"
            );
            Ok(())
        })?;
        Ok(())
    })
}
