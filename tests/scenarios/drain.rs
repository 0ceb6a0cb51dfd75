//! A node is emptied: its routes are told as leaving, those that nothing uses go, and its pods lose nothing.

use anyhow::{Context, Result, ensure};
use bgpd_api::config::Community;
use bgpd_api::route::Table;
use cairn_lab::lab::Families;
use cairn_net::Prefix;
use serde_json::Value;

use crate::egress::{holder, object_path, put, put_gateway};
use crate::flow::Flows;
use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// RFC 8326 section 5.
const GRACEFUL_SHUTDOWN: Community = Community::Standard(0xffff_0000);

/// What a ToR knows of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Plain,
    Leaving,
    Not,
}

/// Pools that come before the others by name, so that each node holds a block of theirs ready.
fn put_early_pools(world: &World) -> Result<Vec<Prefix>> {
    let mut ranges = Vec::new();
    for (name, cidr, family) in
        [("early-ipv4", "10.245.0.0/16", Families::Ipv4), ("early-ipv6", "fd00:245::/48", Families::Ipv6)]
    {
        if world.families == family || world.families == Families::Dual {
            let text = format!(
                "apiVersion: cairn.network/v1alpha1\nkind: IPPool\nmetadata: {{name: {name}}}\nspec: {{cidr: '{cidr}'}}\n"
            );
            put(world, "ippools", name, &text)?;
            ranges.push(cidr.parse()?);
        }
    }
    Ok(ranges)
}

/// The node's blocks in these ranges, one of each.
fn blocks(world: &World, node: &str, ranges: &[Prefix]) -> Result<Vec<Prefix>> {
    let directory = world.directory().join("volumes/objects/blockaffinities");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let object: Value = serde_yaml::from_str(&std::fs::read_to_string(&path)?)?;
            let spec = &object["spec"];
            let cidr: Prefix = spec["cidr"].as_str().context("an affinity has a range")?.parse()?;
            let is_own = spec["node"] == node && spec["state"] == "confirmed";
            found.extend(Some(cidr).filter(|cidr| is_own && ranges.iter().any(|range| range.covers(*cidr))));
        }
    }
    ensure!(found.len() == ranges.len(), "{node} has {found:?} of {ranges:?}");
    Ok(found)
}

/// What BIRD knows of a prefix.
fn bird(world: &World, prefix: Prefix) -> Result<Known> {
    let text = world.run("tor1", &format!("sh -c 'birdc show route all {prefix} || true'"))?;
    let marked = text.lines().any(|line| line.contains("BGP.community") && line.contains("(65535,0)"));
    Ok(match (text.contains("BGP.next_hop"), marked) {
        (false, _) => Known::Not,
        (true, true) => Known::Leaving,
        (true, false) => Known::Plain,
    })
}

/// What FRRouting knows of it.
fn frr(world: &World, prefix: Prefix) -> Result<Known> {
    let family = if prefix.addr().is_ipv6() { "ipv6" } else { "ipv4" };
    let text =
        world.run("tor2", &format!("sh -c 'vtysh -c \"show bgp {family} unicast {prefix}\" || true'"))?;
    Ok(match (text.contains(&prefix.to_string()), text.contains("graceful-shutdown")) {
        (false, _) => Known::Not,
        (true, true) => Known::Leaving,
        (true, false) => Known::Plain,
    })
}

/// What the bgpd of another rack's node makes of it: the last choice, where it is marked.
fn far_node(world: &World, prefix: Prefix) -> Result<Known> {
    let routes = world.table("node3", Table::LocRib)?;
    let Some(route) = routes.into_iter().find(|route| route.prefix == prefix) else { return Ok(Known::Not) };
    let mut marks = route.paths.iter().map(|path| {
        (
            path.attributes.communities.contains(&GRACEFUL_SHUTDOWN),
            path.attributes.local_preference == Some(0),
        )
    });
    let first = marks.next().context("a route has a path")?;
    ensure!(first.0 == first.1 && marks.all(|mark| mark == first), "{route:?}");
    Ok(if first.0 { Known::Leaving } else { Known::Plain })
}

/// Waits until all three know of the prefixes what they should.
fn await_known(world: &World, prefixes: &[Prefix], wanted: Known) -> Result<()> {
    eventually(SETTLES, || {
        for prefix in prefixes {
            let found = [bird(world, *prefix)?, frr(world, *prefix)?, far_node(world, *prefix)?];
            ensure!(
                found == [wanted; 3],
                "{prefix} is {found:?} to BIRD, FRRouting and node3, not {wanted:?}"
            );
        }
        Ok(())
    })
    .map(drop)
}

/// Waits for a condition of the node's report, or for its absence.
fn await_condition(world: &World, node: &str, kind: &str, wanted: Option<(&str, &str)>) -> Result<()> {
    eventually(SETTLES, || {
        let text = std::fs::read_to_string(object_path(world, "nodestatuses", node))?;
        let report: Value = serde_yaml::from_str(&text)?;
        let conditions = report["status"]["conditions"].as_array().context("a report has conditions")?;
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        let found = found.and_then(|found| Some((found["status"].as_str()?, found["reason"].as_str()?)));
        ensure!(found == wanted, "{node}: {kind} is {found:?}, not {wanted:?}: {text}");
        Ok(())
    })
    .map(drop)
}

fn cairnctl(world: &World, node: &str, words: &[&str]) -> Result<()> {
    let words: Vec<&str> = ["cairnctl", "node"].iter().chain(words).copied().collect();
    let output = world.exec(node, &words)?;
    ensure!(output.success, "{words:?}: {}", output.text());
    Ok(())
}

fn an_emptied_node_keeps_what_is_in_use_and_gives_back_the_rest(families: Families) -> Result<()> {
    play("two-racks", "drain", families, |world| {
        let configuration = "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata: {name: default}\n\
                             spec: {nodeToNodeMeshEnabled: false, drain: {wait: 20s}}\n";
        put(world, "bgpconfigurations", "default", configuration)?;
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?, world.pod("node3", "c")?];
        world.all_reach_all(&pods)?;
        let ranges = put_early_pools(world)?;
        put_gateway(world)?;
        let mut first = String::new();
        eventually(SETTLES, || {
            first = holder(world)?;
            Ok(())
        })?;
        let leaver = pods.iter().find(|pod| pod.node == first).context("node1 or node2 has the addresses")?;
        let egress: Vec<Prefix> = leaver
            .pod
            .addresses
            .iter()
            .map(|own| crate::egress::egress(own.is_ipv6()).parse().map(Prefix::host))
            .collect::<Result<_, _>>()?;
        let used: Vec<Prefix> = {
            let all = ["10.244.0.0/16".parse()?, "fd00:244::/48".parse()?];
            let held = |range: &Prefix| leaver.pod.addresses.iter().any(|own| range.contains(*own));
            blocks(world, &first, &all.into_iter().filter(held).collect::<Vec<_>>())?
        };
        let mut idle = Vec::new();
        eventually(SETTLES, || {
            idle = blocks(world, &first, &ranges)?;
            Ok(())
        })?;
        let all: Vec<Prefix> = used.iter().chain(&idle).chain(&egress).copied().collect();
        await_known(world, &all, Known::Plain)?;

        // First all is told as leaving; then what nothing uses goes, and the gateway's addresses move.
        let flows = Flows::start(world, &pods[2], leaver)?;
        cairnctl(world, &first, &["drain", &first, "--reason", "new disk"])?;
        await_known(world, &all, Known::Leaving)?;
        await_known(world, &idle, Known::Not)?;
        await_known(world, &used, Known::Leaving)?;
        await_condition(world, &first, "Draining", Some(("True", "Requested")))?;
        await_condition(world, &first, "Drained", Some(("False", "InUse")))?;
        let second = if first == "node1" { "node2" } else { "node1" };
        eventually(SETTLES, || {
            let now = holder(world)?;
            ensure!(now == second, "{now} has the gateway's addresses");
            Ok(())
        })?;
        await_known(world, &egress, Known::Plain)?;

        // A daemon that begins again meanwhile withdraws nothing that is in use.
        world.end_process(&first, "felix-lite", nix::sys::signal::Signal::SIGKILL)?;
        // A pod that starts there all the same is reached, in whichever block it is, and its end is that of the block's announcement.
        let late = world.pod(&first, "late")?;
        let is_idle = |own: &std::net::IpAddr| idle.iter().any(|block| block.contains(*own));
        ensure!(late.pod.addresses.iter().all(is_idle), "{:?} are in none of {idle:?}", late.pod.addresses);
        await_known(world, &idle, Known::Leaving)?;
        world.all_reach_all(&[pods[2].clone(), leaver.clone(), late.clone()])?;
        world.delete_pod(&first, "late")?;
        await_known(world, &idle, Known::Not)?;
        await_known(world, &used, Known::Leaving)?;

        // All comes back but for the gateway's addresses: who has them keeps them.
        cairnctl(world, "node3", &["undrain", &first])?;
        let back: Vec<Prefix> = used.iter().chain(&idle).copied().collect();
        await_known(world, &back, Known::Plain)?;
        await_condition(world, &first, "Draining", None)?;
        await_condition(world, &first, "Drained", None)?;
        ensure!(holder(world)? == second, "the gateway's addresses have moved back");
        flows.end_without_loss()?;
        world.all_reach_all(&pods).map(drop)
    })
}

crate::scenario!(an_emptied_node_keeps_what_is_in_use_and_gives_back_the_rest);
