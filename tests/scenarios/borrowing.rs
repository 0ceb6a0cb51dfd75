//! A node whose blocks are full takes addresses out of other nodes' blocks, and its pods are reached all the same.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use cairn_net::Prefix;
use serde_yaml::Value;

use crate::world::{World, play_with};

/// Pods for one node: more than the two blocks of eight that the others leave to it, fewer than all there are.
const PODS: usize = 20;

/// The blocks that nodes other than `node` own.
fn blocks_of_others(world: &World, node: &str) -> Result<Vec<Prefix>> {
    let directory = world.directory().join("volumes/objects/blockaffinities");
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let object: Value = serde_yaml::from_str(&std::fs::read_to_string(&path)?)?;
        let spec = &object["spec"];
        if spec["node"].as_str().is_some_and(|owner| owner != node) {
            let cidr = spec["cidr"].as_str().with_context(|| format!("{}: no cidr", path.display()))?;
            blocks.push(cidr.parse()?);
        }
    }
    Ok(blocks)
}

fn a_full_node_borrows(families: Families) -> Result<()> {
    let seed = format!("small-{}", families.name());
    play_with("mesh", "borrowing", families, &[("CAIRN_FAMILY", &seed)], |world| {
        let far = [world.pod("node2", "far2")?, world.pod("node3", "far3")?];
        let pods: Vec<_> =
            (0..PODS).map(|number| world.pod("node1", &format!("p{number}"))).collect::<Result<_>>()?;
        let others = blocks_of_others(world, "node1")?;
        let is_borrowed = |address: &IpAddr| others.iter().any(|block| block.contains(*address));
        for version_6 in [false, true] {
            let of_family = |address: &&IpAddr| address.is_ipv6() == version_6;
            let addresses: Vec<_> =
                pods.iter().flat_map(|pod| pod.pod.addresses.iter().filter(of_family)).collect();
            let borrowed = addresses.iter().filter(|address| is_borrowed(address)).count();
            ensure!(
                addresses.is_empty() || borrowed >= 4,
                "{borrowed} of {PODS} are borrowed from {others:?}: {addresses:?}"
            );
        }
        let borrower =
            pods.iter().find(|pod| pod.pod.addresses.iter().any(is_borrowed)).context("there is one")?;
        world.all_reach_all(&[far[0].clone(), far[1].clone(), borrower.clone(), pods[0].clone()])?;
        world.delete_pod("node1", &borrower.pod.name)
    })
}

crate::scenario!(a_full_node_borrows);
