//! Passwords of sessions that are in a Secret.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_api::GROUP_VERSION;
use serde_json::{Value, json};

use crate::routers;
use crate::told::await_condition;
use crate::world::World;

/// Where passwords are looked for.
const NAMESPACE: &str = "cairn-system";
/// The Secret, and the key in it.
const SECRET: &str = "bgp-passwords";
const KEY: &str = "rack2";
const PASSWORDS: [&str; 2] = ["stone", "trail"];

/// FRRouting, and the node behind it.
const TOR: (&str, &str, u32) = ("tor2", "10.2.0.1", 65002);
const NODE: (&str, &str) = ("node3", "10.2.0.13");
/// Two nodes that have a session with each other: both ends take their password from the Secret.
const PAIR: [(&str, &str); 2] = [("node1", "10.1.0.11"), ("node2", "10.1.0.12")];

/// Between keepalives of the pair: without any answer their session ends after three times that.
const KEEPALIVE: &str = "2s";
/// Longer than their hold time.
const OUTLASTS: Duration = Duration::from_secs(7);

fn peers() -> Vec<Value> {
    let password = json!({ "secretKeyRef": { "name": SECRET, "key": KEY } });
    let peer = |node: &str, mut spec: Value| {
        spec["node"] = node.into();
        spec["password"] = password.clone();
        let metadata = json!({ "name": name(node) });
        json!({ "apiVersion": GROUP_VERSION, "kind": "BGPPeer", "metadata": metadata, "spec": spec })
    };
    let (_, address, asn) = TOR;
    let [one, other] = PAIR;
    let inside = |address: &str| json!({ "peerIP": address, "asNumber": 64512, "keepaliveTime": KEEPALIVE });
    vec![
        peer(NODE.0, json!({ "peerIP": address, "asNumber": asn, "numAllowedLocalASNumbers": 1 })),
        peer(one.0, inside(other.1)),
        peer(other.0, inside(one.1)),
    ]
}

/// The name of a node's BGPPeer.
fn name(node: &str) -> String {
    format!("secret-{node}")
}

fn nodes() -> [&'static str; 3] {
    [NODE.0, PAIR[0].0, PAIR[1].0]
}

fn set_secret(world: &World, password: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET, "namespace": NAMESPACE },
        "stringData": { KEY: password },
    });
    world.cluster.apply(&secret.to_string())
}

/// Has FRRouting take this line for its neighbour, and open a connection anew: of some changes it ends the session by itself, of others not.
fn configure(world: &World, line: &str) -> Result<()> {
    let (tor, _, asn) = TOR;
    let lab = world.cluster.lab();
    lab.run(tor, &format!("vtysh -c 'configure terminal' -c 'router bgp {asn}' -c '{line}'"))?;
    lab.run(tor, &format!("vtysh -c 'clear bgp {}'", NODE.1)).map(drop)
}

/// Whether FRRouting has a session with the node, and how often there was one.
fn seen_by_tor(world: &World) -> Result<(bool, u64)> {
    let (tor, address) = (TOR.0, NODE.1);
    let text = world.cluster.lab().run(tor, &format!("vtysh -c 'show bgp neighbors {address} json'"))?;
    let seen: Value = serde_json::from_str(&text).context("FRRouting did not print JSON")?;
    let seen = &seen[address];
    let times = seen["connectionsEstablished"].as_u64().with_context(|| format!("FRRouting: {text}"))?;
    Ok((seen["bgpState"] == "Established", times))
}

/// Waits until FRRouting has a session with the node that is not one of the first `before`.
fn await_session(world: &World, before: u64) -> Result<()> {
    world.cluster.await_that("FRRouting has a session with the node", || {
        let (established, times) = seen_by_tor(world)?;
        ensure!(established && times > before, "established: {established}, {times} times, {before} before");
        Ok(())
    })
}

/// The one connection between the pair, with the ports of both ends.
fn connection(world: &World) -> Result<String> {
    let [(node, _), (_, other)] = PAIR;
    let line = format!(
        "ss --numeric --tcp --no-header state established dst {other} ( sport = :179 or dport = :179 )"
    );
    let words: Vec<&str> = line.split(' ').collect();
    let found = world.cluster.lab().exec(node, &words)?;
    let mut lines = found.stdout.lines();
    let line = lines.next().with_context(|| format!("{node}: no connection to {other}: {}", found.stderr))?;
    ensure!(lines.next().is_none(), "{node}: several connections to {other}: {}", found.stdout);
    // The lengths of queues come first.
    Ok(line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "))
}

fn without_secret(world: &World) -> Result<()> {
    let items = peers();
    world.cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
    for node in nodes() {
        await_condition(world, &format!("bgppeers/{}", name(node)), "Accepted", "SecretMissing")?;
    }
    world.cluster.await_that("there is no session without the password", || {
        ensure!(!seen_by_tor(world)?.0, "FRRouting still has one with {}", NODE.0);
        Ok(())
    })?;
    ensure!(connection(world).is_err(), "{PAIR:?} have a connection");
    Ok(())
}

/// FRRouting takes nothing without its password from the node any more, so what is established has it.
fn with_secret(world: &World) -> Result<()> {
    let [first, second] = PASSWORDS;
    let neighbor = format!("neighbor {}", NODE.1);
    configure(world, &format!("{neighbor} password {first}"))?;
    let (_, before) = seen_by_tor(world)?;
    set_secret(world, first)?;
    for node in nodes() {
        await_condition(world, &format!("bgppeers/{}", name(node)), "Accepted", "OK")?;
    }
    await_session(world, before)?;
    let mut used = String::new();
    world.cluster.await_that("the pair has one connection that stays", || {
        used = connection(world)?;
        sleep(Duration::from_secs(1));
        ensure!(connection(world)? == used, "{used} gave way to another");
        Ok(())
    })?;

    let (_, before) = seen_by_tor(world)?;
    set_secret(world, second)?;
    let changed = Instant::now();
    configure(world, &format!("{neighbor} password {second}"))?;
    await_session(world, before)?;
    sleep(OUTLASTS.saturating_sub(changed.elapsed()));
    let now = connection(world)?;
    ensure!(now == used, "{PAIR:?} spoke by {used}, and by {now} since the password changed");
    Ok(())
}

fn end(world: &World) -> Result<()> {
    let paths = nodes().map(|node| format!("bgppeers/{}", name(node)));
    let mut words = vec!["delete", "--ignore-not-found"];
    words.extend(paths.iter().map(String::as_str));
    let peers = world.cluster.kubectl(&words);
    let delete = ["--namespace", NAMESPACE, "delete", "secret", SECRET, "--ignore-not-found"];
    let secret = world.cluster.kubectl(&delete);
    let (_, before) = seen_by_tor(world)?;
    configure(world, &format!("no neighbor {} password", NODE.1))?;
    peers.and(secret)?;
    await_session(world, before)?;
    routers::tors_have_the_blocks_of_all_nodes(world)?;
    let pod = world.pod_on(NODE.0)?;
    world.cluster.await_that("pods behind the router are reached again", || {
        world.reach_all_others(std::slice::from_ref(&pod))
    })
}

/// Without it there is a condition and no session; with it, TCP MD5. When it changes, a router that has the new one, too, is answered with that, and
/// a session both of whose ends follow the Secret goes on.
pub(crate) fn a_changed_password_is_followed_and_a_missing_one_is_told(world: &World) -> Result<()> {
    let tried = without_secret(world).and_then(|()| with_secret(world));
    let ended = end(world);
    tried.and(ended)
}
