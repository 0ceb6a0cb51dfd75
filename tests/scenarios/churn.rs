//! Many pods come and go on one node, and nothing is left of them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cairn_lab::lab::Families;

use crate::wait::eventually;
use crate::world::{SETTLES, play};

/// Pods to add; more than one block of the default size holds.
const PODS: usize = 200;

fn two_hundred_pods_come_and_go(families: Families) -> Result<()> {
    play("mesh", "churn", families, |world| {
        let far = world.pod("node2", "far")?;
        let mut pods = vec![world.pod("node1", "p0")?];
        let started = std::time::Instant::now();
        for number in 1..PODS {
            pods.push(world.pod("node1", &format!("p{number}"))?);
        }
        println!("{}: {PODS} pods added in {:?}", world.name(), started.elapsed());
        let addresses: BTreeSet<_> = pods.iter().flat_map(|pod| &pod.pod.addresses).collect();
        let count: usize = pods.iter().map(|pod| pod.pod.addresses.len()).sum();
        ensure!(addresses.len() == count, "an address was given twice: {} of {count}", addresses.len());
        for index in [0, PODS / 2, PODS - 1] {
            world.all_reach_all(&[far.clone(), pods[index].clone()])?;
        }
        let started = std::time::Instant::now();
        for pod in &pods {
            world.delete_pod("node1", &pod.pod.name)?;
        }
        println!("{}: {PODS} pods deleted in {:?}", world.name(), started.elapsed());
        eventually(SETTLES, || {
            let links = world.run("node1", "ip -oneline link show")?;
            ensure!(!links.contains("crn"), "links are left: {links}");
            let routes = world.run("node1", "ip route show table all")?
                + &world.run("node1", "ip -6 route show table all")?;
            ensure!(!routes.contains("dev crn"), "routes are left: {routes}");
            Ok(())
        })?;
        Ok(())
    })
}

crate::scenario!(two_hundred_pods_come_and_go);
