//! What Cairn costs a node: memory of both daemons with 110 pods and 5,000 routes, and what they do when nothing happens: CPU time and
//! voluntary context switches, of which each is an end of waiting.
//!
//! `cargo xtask bench footprint`. The last line is JSON.

#[path = "footprint/process.rs"]
mod process;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use cairn_lab::lab::Options;
use cairn_lab::{Lab, Topology};
use cairn_net::Prefix;
use serde_json::json;

use process::Usage;

/// A full node by Kubernetes' default, and a fabric of some size.
const PODS: usize = 110;
const ROUTES: u32 = 5000;

/// How long the idle daemons are watched.
const IDLE: Duration = Duration::from_secs(60);

/// How long anything may take to settle.
const SETTLES: Duration = Duration::from_secs(60);

const DAEMONS: [&str; 2] = ["bgpd", "felix-lite"];

fn main() -> Result<()> {
    // `cargo bench` adds a flag of its own.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/footprint.clab.yml");
    let topology = Topology::load(&file)?;
    Lab::down_by_name(&topology.name)?;
    let lab = Lab::up(topology, &Options::default())?;
    let result = measure(&lab).map_err(|error| error.context(lab.tails()));
    lab.down()?;
    result
}

fn measure(lab: &Lab) -> Result<()> {
    println!("adding {PODS} pods");
    wait(|| lab.add_pod("node1", "pod0").map(|_| ()))?;
    let empty = Usage::of_all(lab, &DAEMONS)?;
    for number in 1..PODS {
        lab.add_pod("node1", &format!("pod{number}"))?;
    }
    let pods = Usage::of_all(lab, &DAEMONS)?;
    println!("announcing {ROUTES} routes");
    lab.originate("feeder", "bench", routes())?;
    wait(|| {
        let routes = lab.run("node1", "ip route show proto 202")?.lines().count()
            + lab.run("node1", "ip -6 route show proto 202")?.lines().count();
        ensure!(routes >= ROUTES as usize, "{routes} of {ROUTES} routes are in the kernel");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(5));
    println!("watching the idle daemons for {} s", IDLE.as_secs());
    let before = Usage::of_all(lab, &DAEMONS)?;
    std::thread::sleep(IDLE);
    let after = Usage::of_all(lab, &DAEMONS)?;
    report(&empty, &pods, &before, &after);
    Ok(())
}

/// Half of either family, with the lengths that pod blocks have.
fn routes() -> Vec<OriginatedRoute> {
    let four = (0..ROUTES / 2).map(|number| {
        let address = Ipv4Addr::from_bits(0x0b00_0000 + (number << 6));
        Prefix::containing(IpAddr::V4(address), 26).expect("26 bits fit")
    });
    let six = (0..ROUTES / 2).map(|number| {
        let address = Ipv6Addr::from_bits((0xfd0b << 112) + (u128::from(number) << 6));
        Prefix::containing(IpAddr::V6(address), 122).expect("122 bits fit")
    });
    four.chain(six).map(OriginatedRoute::new).collect()
}

fn wait(mut check: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + SETTLES;
    loop {
        match check() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error).context("not in time"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn report(empty: &[Usage], pods: &[Usage], before: &[Usage], after: &[Usage]) {
    println!(
        "\n{:<12} {:>10} {:>12} {:>14} {:>12} {:>14}",
        "", "1 pod", "110 pods", "+ 5000 routes", "idle CPU", "idle switches"
    );
    println!("{:<12} {:>10} {:>12} {:>14} {:>12} {:>14}", "", "MiB", "MiB", "MiB", "%", "per minute");
    let mut daemons = serde_json::Map::new();
    let mut total = 0.0;
    for (index, name) in DAEMONS.iter().enumerate() {
        let (cpu, switches) = after[index].since(&before[index]);
        let cpu = cpu.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        let switches = switches as f64 / (IDLE.as_secs_f64() / 60.0);
        let memory = after[index].mebibytes;
        println!(
            "{name:<12} {:>10.1} {:>12.1} {memory:>14.1} {cpu:>12.3} {switches:>14.1}",
            empty[index].mebibytes, pods[index].mebibytes
        );
        total += memory;
        daemons.insert(
            (*name).to_owned(),
            json!({ "rssMiB": memory, "rssOnePodMiB": empty[index].mebibytes, "idleCpuPercent": cpu, "idleSwitchesPerMinute": switches }),
        );
    }
    println!("{:<12} {:>10} {:>12} {total:>14.1}   (aim: below 30)\n", "together", "", "");
    println!(
        "{}",
        json!({ "bench": "footprint", "pods": PODS, "routes": ROUTES, "rssTotalMiB": total, "daemons": daemons })
    );
}
