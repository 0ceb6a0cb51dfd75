//! `cargo xtask bench bgp`: bgpd beside every other BGP speaker that is found, on the same workloads.
//!
//! The generator plays all peers from one thread, in a namespace of its own; the speaker runs in another one. Speakers take turns in
//! each round, so that all meet the same machine, and the table shows medians. Every delivered prefix is checked: it was sent, and
//! its AS path is the one that was sent. Ratios compare bgpd with whoever of the others is best at that figure.
//!
//! The other speakers come from the host, or from a root directory with newer ones in it (`--root`), such as
//! `debootstrap trixie` makes.

// Numbers become octets of messages and places of tables; what is cut off is meant to be.
#![allow(clippy::cast_possible_truncation)]

#[path = "bgp/floor.rs"]
mod floor;
#[path = "bgp/growth.rs"]
mod growth;
#[path = "bgp/monitor.rs"]
mod monitor;
#[path = "bgp/peers.rs"]
mod peers;
#[path = "bgp/plot.rs"]
mod plot;
#[path = "bgp/report.rs"]
mod report;
#[path = "bgp/speaker.rs"]
mod speaker;
#[path = "bgp/table.rs"]
mod table;
#[path = "bgp/usage.rs"]
mod usage;
#[path = "bgp/wire.rs"]
mod wire;
#[path = "bgp/workload.rs"]
mod workload;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use report::Run;
use speaker::{Kind, Speaker};
use wire::Wire;
use workload::{Figures, Workload};

/// What the benchmark takes.
#[derive(Parser)]
#[command(name = "bgp", about = "bgpd beside other BGP speakers")]
struct Arguments {
    /// Workloads, w1 to w7, in this order; all unless given
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Speakers: cairn, bird2, bird3, frr, gobgp, openbgpd, rustybgp; all that are found unless given
    #[arg(long, value_delimiter = ',')]
    speakers: Vec<String>,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Directory that holds the other speakers as a root file system does (BIRD 3 in opt/bird3)
    #[arg(long, env = "CAIRN_BENCH_ROOT", default_value = "/")]
    root: PathBuf,
    /// Small tables: shows that everything works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Instead: how cost grows with prefixes and with peers; writes plots (SVG) into this directory
    #[arg(long, value_name = "DIRECTORY")]
    growth: Option<PathBuf>,
    /// Said by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    end_on_signals()?;
    let own =
        std::env::var_os("CAIRN_BIN").context("CAIRN_BIN names no directory: use cargo xtask bench bgp")?;
    let speakers = find(&arguments, &PathBuf::from(own))?;
    let result = match &arguments.growth {
        Some(directory) => growth::run(&speakers, arguments.rounds, directory),
        None => compare(&arguments, &speakers),
    };
    wire::remove_own();
    result
}

/// The speakers that take part; says which were not found.
fn find(arguments: &Arguments, own: &std::path::Path) -> Result<Vec<Speaker>> {
    let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    for name in &arguments.speakers {
        ensure!(
            known.contains(&name.as_str()),
            "there is no speaker {name:?}; there are {}",
            known.join(", ")
        );
    }
    let wanted = |kind: &Kind| {
        arguments.speakers.is_empty() || arguments.speakers.iter().any(|name| name == kind.name())
    };
    let mut speakers = Vec::new();
    for kind in Kind::ALL.into_iter().filter(wanted) {
        match Speaker::find(kind, &arguments.root, own) {
            Some(speaker) => {
                println!("{:<10} {}", kind.name(), speaker.version);
                speakers.push(speaker);
            }
            None => println!("{:<10} not found in {}", kind.name(), arguments.root.display()),
        }
    }
    if speakers.is_empty() {
        bail!("no speaker was found");
    }
    Ok(speakers)
}

fn compare(arguments: &Arguments, speakers: &[Speaker]) -> Result<()> {
    let all = if arguments.quick { Workload::QUICK } else { Workload::FULL };
    for name in &arguments.workloads {
        ensure!(all.iter().any(|(known, _)| known == name), "there is no workload {name:?}: w1 to w7");
    }
    let chosen = all.into_iter().filter(|(name, _)| {
        arguments.workloads.is_empty() || arguments.workloads.iter().any(|wanted| wanted == name)
    });
    let mut runs = Vec::new();
    for (name, workload) in chosen {
        for round in 0..arguments.rounds {
            for speaker in speakers.iter().filter(|speaker| workload.suits(speaker.kind)) {
                let load = usage::load();
                eprintln!("{name}, round {} of {}, load {load:.1}", round + 1, arguments.rounds);
                let result = run(speaker, workload, None).map_err(|error| format!("{error:#}"));
                if let Err(error) = &result {
                    eprintln!("  {}: {error}", speaker.kind.name());
                }
                runs.push(Run { workload: name, speaker: speaker.kind, load, result });
            }
        }
    }
    report::print(&all, speakers, &runs);
    let lost = runs.iter().filter(|run| run.speaker == Kind::Cairn && run.result.is_err()).count();
    ensure!(lost == 0, "bgpd failed {lost} runs");
    Ok(())
}

/// One run of one speaker, in namespaces of its own, on the first so many processors.
fn run(speaker: &Speaker, workload: Workload, cores: Option<usize>) -> Result<Figures> {
    let wire = Wire::new()?;
    let running =
        on_cores(cores, || speaker.start(&wire.speaker, &workload.neighbours(), workload.installs()))??;
    let pids = running.pids();
    let figures = wire.generator.run(|| workload.run(speaker.kind, &pids))?;
    let mut figures = figures.with_context(|| running.tail())?;
    drop(running);
    if let Workload::Fib { prefixes } = workload {
        figures.extend(wire.speaker.run(|| floor::run(prefixes))??);
    }
    Ok(figures)
}

/// Calls this while this thread, and with it what it starts, has the first so many processors alone.
fn on_cores<T>(cores: Option<usize>, body: impl FnOnce() -> T) -> Result<T> {
    let Some(cores) = cores else { return Ok(body()) };
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut fewer = CpuSet::new();
    (0..CpuSet::count())
        .filter(|cpu| before.is_set(*cpu) == Ok(true))
        .take(cores)
        .try_for_each(|cpu| fewer.set(cpu))?;
    sched_setaffinity(this, &fewer)?;
    let result = body();
    sched_setaffinity(this, &before)?;
    Ok(result)
}

/// Ctrl-C ends the speakers, too, and takes the namespaces away.
fn end_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            speaker::end_all();
            wire::remove_own();
            std::process::exit(130);
        });
    })?;
    Ok(())
}
