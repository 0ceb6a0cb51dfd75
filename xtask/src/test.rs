//! `cargo xtask test`: installs what the tests need, runs every tier, and says how many passed.
//!
//! Tiers: `unit` is whatever a plain `cargo test --workspace` runs, without root; `lab` is every test marked
//! `#[ignore = "needs root ..."]`: real daemons in network namespaces; `vm` runs those of them whose names say that they need more than
//! every kernel has, and a choice of the others, under a kernel that has it all; `k8s` is whatever a real Kubernetes is needed for
//! (`tests/k8s`: the API server alone, and whole clusters), which is built first where it is not there. The last line is always `N passed, M failed`.

pub(crate) mod install;
mod machine;
mod needs;
mod suite;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::beside::Beside;
use crate::progress::bold;
use crate::{check, fuzz, process, workspace};
use machine::Machine;
use needs::Features;
use suite::{Count, Place, Suite};

/// Seconds that each fuzz target gets.
const FUZZ_SECONDS: u64 = 60;
/// Where the fuzz targets' random numbers begin: what one run of the tests finds, the next one finds too.
/// `cargo xtask fuzz` begins somewhere else each time.
const FUZZ_SEED: u32 = 1;

/// What `test` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this tier
    #[arg(long)]
    tier: Option<Tier>,
    /// Only tests whose name contains this; leaves out checks and fuzzing
    filter: Option<String>,
    /// Tests of the lab, vm and k8s tiers that run at a time in one suite
    #[arg(long, default_value_t = 2)]
    lab_threads: usize,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Tier {
    Unit,
    Lab,
    Vm,
    K8s,
}

/// Runs the chosen tiers; the exit code says whether everything passed.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let (mut total, mut flaky) = (Count::default(), Vec::new());
    if let Err(error) = tiers(arguments, &mut total, &mut flaky) {
        eprintln!("error: {error:#}");
        total.failed += 1;
    }
    println!("\nall of it took {}", minutes(started.elapsed()));
    if !flaky.is_empty() {
        println!("flaky, passed on the second try only: {}", flaky.join(", "));
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 && total.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tiers(arguments: &Arguments, total: &mut Count, flaky: &mut Vec<String>) -> Result<()> {
    let chosen = |tier| arguments.tier.is_none_or(|only| only == tier);
    let (unit, lab, vm, k8s) = (chosen(Tier::Unit), chosen(Tier::Lab), chosen(Tier::Vm), chosen(Tier::K8s));
    if (lab || vm || k8s) && !process::is_root() {
        bail!("the lab, vm and k8s tiers make network namespaces: run as root, or take `--tier unit`");
    }
    if lab || vm || k8s {
        heading("what the tests need");
        install::for_lab()?;
        if vm {
            install::for_machine()?;
        }
        if k8s {
            install::for_kubernetes()?;
        }
        println!("  all of it is here");
    }
    if unit && arguments.filter.is_none() {
        heading("checks");
        one("check", total, || check::run(&check::Arguments {}));
    }
    heading("building tests and programs");
    let suites = Suite::build_all()?;
    let programs = workspace::programs("debug")?;
    // Most tests of the lab wait: what is built for the last tiers gets the time that they leave.
    let mut prepare = Command::new(programs.join("cairn-k8s"));
    let kubernetes = k8s.then(|| Beside::start(prepare.arg("prepare"))).transpose()?;
    let fuzzes = unit && arguments.filter.is_none();
    let instrumented = fuzzes.then(|| Beside::start(&fuzz::build_all()?)).transpose()?;
    if unit {
        unit_tier(&suites, arguments.filter.as_deref(), &programs, total);
    }
    if lab {
        flaky.extend(lab_tier(&suites, arguments, &programs, total)?);
    }
    if vm {
        flaky.extend(vm_tier(&suites, arguments, &programs, total)?);
    }
    if let Some(kubernetes) = kubernetes {
        heading("k8s tier: a real API server, and clusters whose pod network is Cairn");
        kubernetes.finish()?;
        flaky.extend(k8s_tier(&suites, arguments, &programs, total)?);
    }
    if let Some(instrumented) = instrumented {
        heading(&format!("fuzzing, {FUZZ_SECONDS} seconds for each target"));
        instrumented.finish()?;
        let (passed, failed) = fuzz::all(None, FUZZ_SECONDS, Some(FUZZ_SEED))?;
        total.add(Count { passed, failed });
    }
    Ok(())
}

/// Runs on this machine's kernel what it can; says what it cannot.
fn lab_tier(
    suites: &[Suite],
    arguments: &Arguments,
    programs: &Path,
    total: &mut Count,
) -> Result<Vec<String>> {
    heading(&format!("lab tier: real daemons in namespaces, {} tests at a time", arguments.lab_threads));
    let features = Features::of_host(programs)?;
    let (mut flaky, mut left, mut lacked) = (Vec::new(), 0, BTreeSet::new());
    for suite in suites.iter().filter(|suite| !suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter)));
        names.retain(|name| !features.has_too_much_for(name));
        names.retain(|name| {
            let lacks = features.lacks(name);
            left += usize::from(!lacks.is_empty());
            lacked.extend(lacks.iter().map(ToString::to_string));
            lacks.is_empty()
        });
        let (count, unsteady) = suite.run_marked(&names, arguments.lab_threads, programs, &Place::Host);
        total.add(count);
        flaky.extend(unsteady);
    }
    if left > 0 {
        let lacked = lacked.into_iter().collect::<Vec<_>>().join(", ");
        println!(
            "  not here: {left} tests that need {lacked}, which this kernel lacks: cargo xtask test --tier vm"
        );
    }
    Ok(flaky)
}

/// Runs under another kernel what needs one, and a choice of the rest, or whatever the filter names.
fn vm_tier(
    suites: &[Suite],
    arguments: &Arguments,
    programs: &Path,
    total: &mut Count,
) -> Result<Vec<String>> {
    heading(&format!(
        "vm tier: the same under a kernel with every feature, {} tests at a time",
        arguments.lab_threads
    ));
    let machine = Machine::prepare(programs)?;
    let mut choice = needs::Choice::new(arguments.filter.as_deref());
    let mut flaky = Vec::new();
    for suite in suites.iter().filter(|suite| !suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| choice.takes(name));
        let (alone, together): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| needs::own_machine(name));
        for names in std::iter::once(together).chain(alone.into_iter().map(|name| vec![name])) {
            let place = Place::Machine(&machine);
            let (count, unsteady) = suite.run_marked(&names, arguments.lab_threads, programs, &place);
            total.add(count);
            flaky.extend(unsteady);
        }
    }
    choice.finish()?;
    Ok(flaky)
}

/// Runs what needs a real Kubernetes, which is built by then.
fn k8s_tier(
    suites: &[Suite],
    arguments: &Arguments,
    programs: &Path,
    total: &mut Count,
) -> Result<Vec<String>> {
    let mut flaky = Vec::new();
    for suite in suites.iter().filter(|suite| suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter)));
        let (count, unsteady) = suite.run_marked(&names, arguments.lab_threads, programs, &Place::Host);
        total.add(count);
        flaky.extend(unsteady);
    }
    Ok(flaky)
}

fn unit_tier(suites: &[Suite], filter: Option<&str>, programs: &Path, total: &mut Count) {
    heading("unit tier: units, properties, simulations");
    for suite in suites {
        total.add(suite.run_plain(filter, programs));
    }
    if filter.is_none() {
        one("examples in the documentation", total, || {
            process::run(workspace::cargo().args(["test", "--workspace", "--doc", "--quiet", "--locked"]))
        });
    }
}

/// Something that passes or fails as a whole.
fn one(name: &str, total: &mut Count, body: impl FnOnce() -> Result<()>) {
    let started = Instant::now();
    let result = body();
    let failed = usize::from(result.is_err());
    let count = Count { passed: 1 - failed, failed };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
    }
    println!("  {name}: {count} ({:.1} s)", started.elapsed().as_secs_f64());
    total.add(count);
}

fn heading(text: &str) {
    println!("\n{}", bold(&format!("== {text}")));
    crate::progress::flush();
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}
