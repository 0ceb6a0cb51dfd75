//! `cargo xtask bench routes`: what it costs to bring many learned prefixes into the kernel, and to take them out.
//!
//! `raw` is the floor: a loop that fills a buffer with 512 messages made beforehand in its shape, sends it and waits for
//! one acknowledgement, with no memory of what it wrote. `reconciler` is Cairn's path: desired state, difference, batches,
//! an answer for each object. Both write the same routes through one nexthop object into a fresh namespace, one after
//! the other in each round, so that they meet the same machine; ratios are of rounds, then their median.
//!
//! Then the whole way: a router announces the prefixes to a node, whose bgpd and felix-lite bring them into its kernel.

#[path = "routes/namespace.rs"]
mod namespace;
#[path = "routes/path.rs"]
mod path;
#[path = "routes/raw.rs"]
mod raw;
#[path = "routes/report.rs"]
mod report;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cairn_kernel::Rtnl;
use cairn_kernel::object::{NexthopId, Object, Route, TableId};
use cairn_kernel::reconciler::{BackOff, Reconciler, Rtnetlink};
use cairn_net::{Family, Prefix};
use clap::Parser;

use namespace::Namespace;
use report::{Cost, Round};

/// What the benchmark takes.
#[derive(Parser)]
#[command(name = "routes", about = "Costs of routes in the kernel")]
struct Arguments {
    /// Prefixes of each family
    #[arg(long, default_value_t = 100_000)]
    prefixes: u32,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Said by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((1..=1 << 18).contains(&arguments.prefixes), "--prefixes must be 1 to {}", 1 << 18);
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        for family in Family::ALL {
            eprintln!("round {} of {}, {family} ...", number + 1, arguments.rounds);
            let prefixes = prefixes(family, arguments.prefixes)?;
            // Whoever goes second finds warm caches: take turns.
            let (raw, ours) = if number % 2 == 0 {
                let raw = raw(&prefixes)?;
                (raw, reconciler(&prefixes)?)
            } else {
                let ours = reconciler(&prefixes)?;
                (raw(&prefixes)?, ours)
            };
            rounds.push(Round { family, raw, ours });
        }
    }
    let mut walks = Vec::new();
    for family in Family::ALL {
        eprintln!("the whole way from a neighbour to the kernel, {family} ...");
        walks.push((family, path::measure(family, &prefixes(family, arguments.prefixes)?)?));
    }
    report::print(&rounds, &walks, arguments.prefixes);
    Ok(())
}

/// Blocks as the address manager cuts them: /26 and /122.
fn prefixes(family: Family, count: u32) -> Result<Vec<Prefix>> {
    let (all, len) = match family {
        Family::Ipv4 => ("10.0.0.0/8", 26),
        Family::Ipv6 => ("fd00::/64", 122),
    };
    let all: Prefix = all.parse()?;
    (0..count).map(|number| all.subnet(len, number.into()).context("too many prefixes")).collect()
}

fn raw(prefixes: &[Prefix]) -> Result<Cost> {
    let mut host = Namespace::new("raw")?;
    let mut writer = host.netns.run(raw::Writer::open)??;
    let add = timed(|| writer.add(prefixes, &[raw::nexthop(NexthopId::FIRST)]))?;
    host.expect(prefixes)?;
    let delete = timed(|| writer.delete(prefixes))?;
    host.expect(&[])?;
    Ok(Cost { add, delete, one: None })
}

fn reconciler(prefixes: &[Prefix]) -> Result<Cost> {
    let mut host = Namespace::new("ours")?;
    let rtnl = Rtnl::open_in(&host.netns)?;
    let mut routes = Reconciler::new(Rtnetlink::new(rtnl, TableId::MAIN.into()), BackOff::default());
    routes.resync()?;
    let add = timed(|| {
        for prefix in prefixes {
            routes.set_object(Route::nexthop(*prefix, NexthopId::FIRST));
        }
        let report = routes.reconcile(Instant::now())?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures.first());
        Ok(())
    })?;
    host.expect(prefixes)?;
    let one = one_change(&mut routes, prefixes)?;
    let delete = timed(|| {
        for prefix in prefixes {
            routes.unset(&Route::nexthop(*prefix, NexthopId::FIRST).key());
        }
        let report = routes.reconcile(Instant::now())?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures.first());
        Ok(())
    })?;
    host.expect(&[])?;
    Ok(Cost { add, delete, one: Some(one) })
}

/// Seconds for one route to change among all of them: the mean of a hundred.
fn one_change(routes: &mut Reconciler<Rtnetlink<Route>>, prefixes: &[Prefix]) -> Result<f64> {
    let some: Vec<_> = prefixes.iter().step_by(prefixes.len().div_ceil(100)).collect();
    let all = timed(|| {
        for prefix in &some {
            routes.set_object(Route::blackhole(**prefix));
            ensure!(routes.reconcile(Instant::now())?.updated == 1, "{prefix} was not changed");
        }
        Ok(())
    })?;
    #[allow(clippy::cast_precision_loss)] // at most a hundred
    Ok(all / some.len() as f64)
}

/// Seconds that the work took.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}
