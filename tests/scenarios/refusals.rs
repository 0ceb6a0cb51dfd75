//! Sessions that cannot be: each says why, to the operator who looks at the status and to the one who reads the log.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// One router's side.
struct Side {
    router_id: &'static str,
    local_as: u32,
    remote_as: u32,
    password: &'static str,
}

const LEFT: Side = Side { router_id: "10.9.0.1", local_as: 65001, remote_as: 65002, password: "same" };
const RIGHT: Side = Side { router_id: "10.9.0.2", local_as: 65002, remote_as: 65001, password: "same" };

/// The address of the other router, in the family that the session is over.
fn peer(families: Families, other: &str) -> IpAddr {
    let text = match (families, other) {
        (Families::Ipv6, "left") => "fd09::",
        (Families::Ipv6, _) => "fd09::1",
        (_, "left") => "10.9.0.0",
        (_, _) => "10.9.0.1",
    };
    text.parse().expect("these are addresses")
}

/// Writes a router's configuration; bgpd takes it up when the file changes.
fn configure(world: &World, node: &str, other: &str, side: &Side) -> Result<()> {
    let families = match world.families {
        Families::Dual => "[ipv4, ipv6]",
        Families::Ipv4 => "[ipv4]",
        Families::Ipv6 => "[ipv6]",
    };
    let text = format!(
        "routerId: {}\nlocalAs: {}\nneighbors:\n  - address: \"{}\"\n    remoteAs: {}\n    password: {}\n    families: {families}\n    \
         import: accept-all\n    export: accept-all\n    timers: {{connectRetryTime: 1}}\n",
        side.router_id,
        side.local_as,
        peer(world.families, other),
        side.remote_as,
        side.password,
    );
    let mut command = world.command(node, None)?;
    command.args(["sh", "-c", "cat > /etc/cairn/bgpd.new && mv /etc/cairn/bgpd.new /etc/cairn/bgpd.yaml"]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("standard input is piped")?.write_all(text.as_bytes())?;
    ensure!(child.wait()?.success(), "cannot write the configuration of {node}");
    Ok(())
}

/// Brings up two routers of which the right one is wrong, checks that a side says why, mends it, and sees the session come up.
fn refused(
    families: Families,
    name: &str,
    [left, wrong, right]: [&Side; 3],
    says: (&str, &str),
) -> Result<()> {
    play("pair", name, families, |world| {
        configure(world, "left", "right", left)?;
        configure(world, "right", "left", wrong)?;
        let (node, word) = says;
        eventually(SETTLES, || {
            let sessions = world.sessions(node)?;
            let session = sessions.first().context("there is no neighbour yet")?;
            ensure!(!session.established, "the session is up: {session:?}");
            let error = session.last_error.clone().unwrap_or_default();
            ensure!(
                error.to_lowercase().contains(word),
                "the status of {node} does not say `{word}`: {session:?}"
            );
            let log = world.log(node)?;
            ensure!(log.to_lowercase().contains(word), "the log of {node} does not say `{word}`:\n{log}");
            Ok(())
        })?;
        configure(world, "right", "left", right)?;
        world.await_sessions("left", 1)?;
        world.await_sessions("right", 1)
    })
}

fn a_wrong_password_is_named(families: Families) -> Result<()> {
    refused(
        families,
        "wrong-md5",
        [&LEFT, &Side { password: "other", ..RIGHT }, &RIGHT],
        ("left", "password"),
    )
}

fn a_wrong_as_is_named(families: Families) -> Result<()> {
    refused(families, "wrong-as", [&LEFT, &Side { remote_as: 65009, ..RIGHT }, &RIGHT], ("right", "65001"))
}

fn a_duplicate_router_id_is_named(families: Families) -> Result<()> {
    // Only inside of an AS must the identifiers differ (RFC 6286).
    let left = Side { remote_as: 65001, ..LEFT };
    let right = Side { local_as: 65001, ..RIGHT };
    let wrong = Side { router_id: LEFT.router_id, ..right };
    refused(families, "same-id", [&left, &wrong, &right], ("right", "router id"))
}

crate::scenario!(a_wrong_password_is_named);
crate::scenario!(a_wrong_as_is_named);
crate::scenario!(a_duplicate_router_id_is_named);
