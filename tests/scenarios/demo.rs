//! The demo as a newcomer runs it: everything on show, all pairs reached, nothing left behind.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_lab::Lab;
use cairn_lab::lab::{lab_program, programs};

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_lab_whose_programs_are_missing_says_which_and_leaves_nothing() -> Result<()> {
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/pair.clab.yml");
    let output = Command::new(lab_program()?)
        .args(["up", topology, "--name", "no-programs"])
        .env("CAIRN_BIN", "/nonexistent")
        .output()
        .context("cannot start cairn-lab")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && text.contains("/nonexistent/"), "{text}");
    ensure!(!text.contains("cannot remove"), "{text}");
    ensure!(!Lab::names().iter().any(|name| name == "no-programs"), "the lab is still there");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_demo_reaches_all_pairs_and_leaves_nothing() -> Result<()> {
    let output = Command::new(lab_program()?)
        .arg("demo")
        .env("CAIRN_BIN", programs()?)
        .output()
        .context("cannot start cairn-lab")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let context = || format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}", context());
    ensure!(text.lines().last() == Some("reachability: 30/30 pairs"), "{}", context());
    ensure!(text.contains("Established"), "no session is on show: {}", context());
    ensure!(text.contains("10.244."), "no route is on show: {}", context());
    ensure!(!Lab::names().iter().any(|name| name == "demo"), "the lab is still there");
    Ok(())
}
