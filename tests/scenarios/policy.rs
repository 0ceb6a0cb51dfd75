//! Filters against BIRD and FRRouting: each kind of condition on what they announce, each kind of action as they see it.

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, World, play};

/// Rules that mark what they match, one for each kind of condition.
const RULES: u32 = 15;

/// What BIRD says of a route, all attributes included.
fn bird(world: &World, prefix: &str) -> Result<String> {
    world.run("bird", &format!("birdc show route all for {prefix}"))
}

/// What FRRouting says of a route, as JSON without blanks.
fn frr(world: &World, prefix: &str) -> Result<String> {
    let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
    let text = world.run("frr", &format!("vtysh -c 'show bgp {family} unicast {prefix} json'"))?;
    Ok(text.split_whitespace().collect())
}

fn holds(what: &str, prefix: &str, shown: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(shown.contains(part), "{what} does not show {part} for {prefix}: {shown}");
    }
    Ok(())
}

/// A route to exactly this prefix is there; `show route for` would give a shorter one, too.
fn bird_has(world: &World, prefix: &str, parts: &[&str]) -> Result<()> {
    let shown = bird(world, prefix)?;
    holds("BIRD", prefix, &shown, &[prefix])?;
    holds("BIRD", prefix, &shown, parts)
}

fn frr_has(world: &World, prefix: &str, parts: &[&str]) -> Result<()> {
    holds("FRRouting", prefix, &frr(world, prefix)?, &[&[r#""paths":["#], parts].concat())
}

/// Every rule of the import filter has marked the route that is made for it, and the other router sees the mark.
fn conditions(world: &World) -> Result<()> {
    for rule in 1..=RULES {
        frr_has(world, &format!("10.1.{rule}.0/24"), &[&format!("65204:{}", 1000 + rule)])?;
        bird_has(world, &format!("10.2.{rule}.0/24"), &[&format!("(65204,{})", 1000 + rule)])?;
    }
    frr_has(world, "2001:db8:1:1::/64", &["65204:1001"])?;
    bird_has(world, "2001:db8:2:1::/64", &["(65204,1001)"])?;
    for prefix in ["10.1.99.0/24", "2001:db8:99::/48"] {
        ensure!(!frr(world, prefix)?.contains("paths"), "FRRouting has {prefix}, which no rule accepts");
    }
    let table = world.run("bird", "birdc show route protocol cairn")?;
    for prefix in ["10.2.99.0/24", "2001:db8:98::/48"] {
        ensure!(!table.contains(prefix), "BIRD has {prefix}, which no rule accepts: {table}");
    }
    Ok(())
}

/// Every action is seen by both routers.
fn actions(world: &World) -> Result<()> {
    for (n, in_bird, in_frr) in [
        (1, &["BGP.med: 10"][..], &[r#""metric":10,"#][..]),
        (2, &["BGP.med: 12"], &[r#""metric":12,"#]),
        (3, &["BGP.origin: Incomplete"], &[r#""origin":"incomplete""#]),
        (4, &["BGP.as_path: 65204 65204 65204\n"], &[r#""string":"652046520465204""#]),
        (5, &["BGP.as_path: 65204 64555\n"], &[r#""string":"6520464555""#]),
        (6, &["(65204,6)", "(65535,0)"], &["65204:6", "graceful-shutdown"]),
        (7, &["(65204, 0, 7)"], &["65204:0:7"]),
        (8, &["(rt, 65204, 8)", "(ro, 65204, 8)"], &["RT:65204:8", "SoO:65204:8"]),
        (9, &["BGP.community: (65204,8) (65204,9)\n"], &["65204:865204:9"]),
        (10, &["BGP.next_hop: 10.10.4.1"], &[r#""ip":"10.10.5.1""#]),
    ] {
        let prefix = format!("10.3.{n}.0/24");
        bird_has(world, &prefix, in_bird)?;
        frr_has(world, &prefix, in_frr)?;
    }
    for prefix in ["10.3.9.0/24", "10.3.10.0/24"] {
        let shown = bird(world, prefix)?;
        ensure!(!shown.contains("large_community") && !shown.contains("BGP.med"), "left over: {shown}");
    }
    // The AS that is replaced, on the way from one router to the other.
    frr_has(world, "10.1.7.0/24", &[r#""string":"652046520164999""#])?;
    bird_has(world, "10.2.7.0/24", &["BGP.as_path: 65204 65202 64999\n"])?;
    // The internal session.
    let inside = ["BGP.local_pref: 250", "BGP.next_hop: 2001:db8:3::99", "BGP.community: (65204,3)\n"];
    bird_has(world, "2001:db8:3:1::/64", &inside)
}

/// The views name the rules that decided, and a candidate's changes are told without being made.
fn views(world: &World) -> Result<()> {
    let run = |line: &str| world.run("cairn", &format!("cairnctl bgp policy {line}"));
    let explained = run("explain 10.1.8.0/24 --neighbor 10.10.4.0 --direction import")?;
    let steps = ["our-own): does not match", "accepted by received rule 9 (as-path-regex)", "65204:1008"];
    holds("explain", "10.1.8.0/24", &explained, &steps)?;
    let explained = run("explain 10.1.99.0/24 --neighbor 10.10.4.0 --direction import")?;
    holds("explain", "10.1.99.0/24", &explained, &["rejected by received default"])?;
    let explained = run("explain 10.1.14.0/24 --neighbor 10.10.5.0 --direction export")?;
    holds(
        "explain",
        "10.1.14.0/24",
        &explained,
        &["tag rule 1 (tag): matches", "accepted by own rule 11 (learned)"],
    )?;
    let counters = run("counters --neighbor 10.10.4.0 --direction import")?;
    holds("counters", "10.10.4.0", &counters, &["(as-path-regex)", "received default"])?;
    let test = "test /etc/cairn/candidate.yaml --filter candidate --neighbor 10.10.4.0 --direction import";
    let tested = run(test)?;
    let expected = [
        "10.1.1.0/24 from 10.10.4.0: rejected (now received rule 2 (prefix-set), then candidate rule 1 (not-the-first))",
        "MED: 1150 -> 1151",
        "18 routes: 16 would be treated differently; accepted now 16, then 1",
    ];
    holds("test", "the candidate", &tested, &expected)?;
    ensure!(run(test)? == tested, "the test of a candidate changed something");
    conditions(world)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn every_condition_and_action_is_seen_by_bird_and_frr() -> Result<()> {
    play("policy", "policy", Families::Dual, |world| {
        world.await_sessions("cairn", 3)?;
        eventually(SETTLES, || {
            conditions(world)?;
            actions(world)
        })?;
        views(world)
    })
}
