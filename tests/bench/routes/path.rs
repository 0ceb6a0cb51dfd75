//! The whole way of a learned route: a neighbour's bgpd, this node's bgpd, felix-lite, kernel.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use cairn_kernel::object::{PROTOCOL, TableId};
use cairn_kernel::{Netns, Rtnl};
use cairn_lab::lab::Options;
use cairn_lab::{Lab, Topology};
use cairn_net::{Family, Prefix};
use nix::unistd::Pid;

const DAEMONS: [&str; 2] = ["bgpd", "felix-lite"];
/// How long the routes may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the kernel is asked how many there are.
const LOOK: Duration = Duration::from_millis(100);

/// What bringing the routes in, or taking them out, took on the node that learns them.
pub(crate) struct Cost {
    /// From the neighbour's announcement to the last route in the kernel. Seconds.
    pub(crate) wall: f64,
    /// CPU time of bgpd and of felix-lite, user and system. Seconds.
    pub(crate) bgpd: f64,
    pub(crate) felix: f64,
}

/// Both ways.
pub(crate) struct Walk {
    pub(crate) add: Cost,
    pub(crate) delete: Cost,
}

/// A node that learns the prefixes of a family from a router, and unlearns them.
pub(crate) fn measure(family: Family, prefixes: &[Prefix]) -> Result<Walk> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/footprint.clab.yml");
    let topology = Topology::load(&file)?;
    Lab::down_by_name(&topology.name)?;
    let lab = Lab::up(topology, &Options::default())?;
    let result = walk(&lab, family, prefixes).map_err(|error| error.context(lab.tails()));
    lab.down()?;
    result
}

fn walk(lab: &Lab, family: Family, prefixes: &[Prefix]) -> Result<Walk> {
    let pid = wait(|| lab.processes("node1", "felix-lite")?.first().copied().context("felix-lite runs"))?;
    let netns = Netns::open(Path::new(&format!("/proc/{pid}/ns/net")))?;
    let mut rtnl = Rtnl::open_in(&netns)?;
    let owner = format!("bench-{family}");
    let mut count = move || Ok::<_, anyhow::Error>(rtnl.routes(TableId::MAIN, PROTOCOL, [family])?.len());
    // One route first: then the session is up, and both daemons serve.
    let own = wait(|| {
        lab.originate("feeder", &owner, Vec::new())?;
        count()
    })?;
    let first: Vec<_> = prefixes.iter().take(1).copied().map(OriginatedRoute::new).collect();
    lab.originate("feeder", &owner, first)?;
    wait(|| {
        ensure!(count()? == own + 1, "the first route is not there");
        Ok(())
    })?;

    let routes: Vec<_> = prefixes.iter().copied().map(OriginatedRoute::new).collect();
    let add = timed(lab, &owner, routes, || Ok(count()? >= own + prefixes.len()))?;
    let delete = timed(lab, &owner, Vec::new(), || Ok(count()? <= own))?;
    Ok(Walk { add, delete })
}

fn timed(
    lab: &Lab,
    owner: &str,
    routes: Vec<OriginatedRoute>,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<Cost> {
    let (before, start) = (cpu(lab)?, Instant::now());
    lab.originate("feeder", owner, routes)?;
    while !done()? {
        ensure!(start.elapsed() < PATIENCE, "the routes take more than {} s", PATIENCE.as_secs());
        std::thread::sleep(LOOK);
    }
    let wall = start.elapsed().as_secs_f64();
    let after = cpu(lab)?;
    Ok(Cost { wall, bgpd: after[0] - before[0], felix: after[1] - before[1] })
}

/// CPU time of the node's daemons until now, with all their threads. Seconds.
fn cpu(lab: &Lab) -> Result<[f64; 2]> {
    let mut spent = [0.0; 2];
    for (name, spent) in DAEMONS.iter().zip(&mut spent) {
        let pid = *lab.processes("node1", name)?.first().with_context(|| format!("{name} runs"))?;
        let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid)).context("no such process")?;
        *spent = Duration::from(clock.now()?).as_secs_f64();
    }
    Ok(spent)
}

fn wait<T>(mut check: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => return Err(error).context("not in time"),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
