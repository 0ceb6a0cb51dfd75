//! Services: kube-proxy leads their addresses to pods, CoreDNS their names to addresses.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::world::World;

/// Enough for each of six pods to be chosen with a probability of 99 %.
const QUESTIONS: usize = 36;

pub(crate) fn addresses_and_names_lead_to_pods(world: &World) -> Result<()> {
    let pods = world.pods()?;
    let names: BTreeSet<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    let service = world.cluster.json(&["get", "service", "probe"])?;
    let addresses = service["spec"]["clusterIPs"].as_array().context("the Service has addresses")?;
    let addresses: Vec<&str> = addresses.iter().filter_map(serde_json::Value::as_str).collect();
    let families = if world.cluster.families().wants("::") { 2 } else { 1 };
    ensure!(addresses.len() == families, "the Service has {addresses:?}");
    for address in addresses {
        let mut chosen = BTreeSet::new();
        for from in pods.iter().cycle().take(QUESTIONS) {
            let answer = world.ask(from, address, 80, "hostname")?;
            ensure!(names.contains(answer.as_str()), "{address} is answered by {answer}");
            chosen.insert(answer);
        }
        ensure!(chosen.len() > 1, "{address} leads to {chosen:?} alone");
    }
    // Each pod asks the DNS server, by the server's own Service.
    for from in &pods {
        for name in ["probe", "probe.default.svc.cluster.local"] {
            let answer = world.ask(from, name, 80, "hostname")?;
            ensure!(names.contains(answer.as_str()), "{name} is answered by {answer}");
        }
    }
    Ok(())
}
