//! `cargo xtask test`: installs what the tests need, runs every tier, and says how many passed.
//!
//! Tiers: `unit` is whatever a plain `cargo test --workspace` runs, without root; `lab` is every test marked
//! `#[ignore = "needs root ..."]`: real daemons in network namespaces; `vm` runs those of them whose names say that they need more than
//! every kernel has, and a choice of the others, under a kernel that has it all; `k8s` is whatever a real Kubernetes is needed for
//! (`tests/k8s`: the API server alone, and whole clusters), which is built first where it is not there. The last line is always `N passed, M failed`.

pub(crate) mod install;
mod machine;
mod needs;
mod report;
mod suite;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::beside::Beside;
use crate::{check, fuzz, process, workspace};
use machine::Machine;
use needs::Features;
use report::{Count, Report};
use suite::{Place, Suite};

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
    let mut report = Report::new();
    // What stopped it is in the report.
    let _: Option<()> = tiers(arguments, &mut report);
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all of it; returns nothing where something went wrong without which the rest makes no sense.
fn tiers(arguments: &Arguments, report: &mut Report) -> Option<()> {
    let chosen = |tier| arguments.tier.is_none_or(|only| only == tier);
    let (unit, lab, vm, k8s) = (chosen(Tier::Unit), chosen(Tier::Lab), chosen(Tier::Vm), chosen(Tier::K8s));
    let whole = unit && arguments.filter.is_none();
    if lab || vm || k8s {
        report.part("what the tests need", "what the tests need", |_| install_for(vm, k8s))?;
    }
    if whole {
        report.part("checks", "checks of what is read", |report| {
            report.one("source", check::read);
            Ok(())
        })?;
    }
    let (suites, programs, kubernetes, fuzzing) =
        report.part("building", "building tests and programs", |_| {
            let (suites, programs) = (Suite::build_all()?, workspace::programs("debug")?);
            // Most tests of the lab wait: fuzzing, and what is built for the last tier, get the time that they leave.
            let mut prepare = Command::new(programs.join("cairn-k8s"));
            let kubernetes = k8s.then(|| Beside::start(prepare.arg("prepare"))).transpose()?;
            let fuzzing =
                whole.then(|| Beside::start(&fuzz::command(FUZZ_SECONDS, FUZZ_SEED)?)).transpose()?;
            Ok((suites, programs, kubernetes, fuzzing))
        })?;
    if unit {
        report.part("unit", "unit tier: units, properties, simulations", |report| {
            unit_tier(&suites, arguments.filter.as_deref(), &programs, report);
            Ok(())
        })?;
    }
    let threads = arguments.lab_threads;
    if lab {
        let heading = format!("lab tier: real daemons in namespaces, {threads} tests at a time");
        report.part("lab", &heading, |report| lab_tier(&suites, arguments, &programs, report));
    }
    if let Some(fuzzing) = fuzzing {
        report.part("fuzzing", &format!("fuzzing, {FUZZ_SECONDS} seconds for each target"), |report| {
            let printed = fuzzing.finish()?;
            print!("{printed}");
            let passed = fuzz::passed(&printed).context("xtask fuzz: how many passed?")?;
            report.add(Count { passed, failed: 0 }, Vec::new());
            Ok(())
        });
    }
    if vm {
        let heading =
            format!("vm tier: the same under a kernel with every feature, {threads} tests at a time");
        report.part("vm", &heading, |report| vm_tier(&suites, arguments, &programs, report));
    }
    // Its clusters wait as much as the lab does.
    let lints = whole.then(|| check::lints_command().and_then(|command| Beside::start(&command)));
    if let Some(kubernetes) = kubernetes {
        let heading = "k8s tier: a real API server, and clusters whose pod network is Cairn";
        report.part("k8s", heading, |report| {
            kubernetes.finish()?;
            k8s_tier(&suites, arguments, &programs, report)
        });
    }
    if let Some(lints) = lints {
        report.part("lints", "checks of what is compiled", |report| {
            report.one("lints", || lints?.finish().map(|printed| print!("{printed}")));
            Ok(())
        });
    }
    Some(())
}

/// Installs what the tiers that need root need.
fn install_for(vm: bool, k8s: bool) -> Result<()> {
    ensure!(
        process::is_root(),
        "the lab, vm and k8s tiers make network namespaces: run as root, or take `--tier unit`"
    );
    install::for_lab()?;
    if vm {
        install::for_machine()?;
    }
    if k8s {
        install::for_kubernetes()?;
    }
    println!("  all of it is here");
    Ok(())
}

/// Runs on this machine's kernel what it can; says what it cannot.
fn lab_tier(suites: &[Suite], arguments: &Arguments, programs: &Path, report: &mut Report) -> Result<()> {
    let features = Features::of_host(programs)?;
    let (mut left, mut nowhere, mut lacked) = (0, 0, BTreeSet::new());
    for suite in suites.iter().filter(|suite| !suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter)));
        names.retain(|name| !features.has_too_much_for(name));
        names.retain(|name| {
            let lacks = features.lacks(name);
            if !lacks.is_empty() && needs::runs_in_no_machine(name) {
                nowhere += 1;
            } else {
                left += usize::from(!lacks.is_empty());
                lacked.extend(lacks.iter().map(ToString::to_string));
            }
            lacks.is_empty()
        });
        suite.run_marked(&names, arguments.lab_threads, programs, &Place::Host, report);
    }
    if left > 0 {
        let lacked = lacked.into_iter().collect::<Vec<_>>().join(", ");
        println!(
            "  not here: {left} tests that need {lacked}, which this kernel lacks: cargo xtask test --tier vm"
        );
    }
    if nowhere > 0 {
        println!("  nowhere: {nowhere} tests that need what neither this kernel nor the machine's has");
    }
    Ok(())
}

/// Runs under another kernel what needs one, and a choice of the rest, or whatever the filter names.
fn vm_tier(suites: &[Suite], arguments: &Arguments, programs: &Path, report: &mut Report) -> Result<()> {
    let machine = Machine::prepare(programs)?;
    let mut choice = needs::Choice::new(arguments.filter.as_deref());
    for suite in suites.iter().filter(|suite| !suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| choice.takes(name));
        let (alone, together): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| needs::own_machine(name));
        for names in std::iter::once(together).chain(alone.into_iter().map(|name| vec![name])) {
            let place = Place::Machine(&machine);
            suite.run_marked(&names, arguments.lab_threads, programs, &place, report);
        }
    }
    choice.finish()
}

/// Runs what needs a real Kubernetes, which is built by then.
fn k8s_tier(suites: &[Suite], arguments: &Arguments, programs: &Path, report: &mut Report) -> Result<()> {
    for suite in suites.iter().filter(|suite| suite.needs_kubernetes()) {
        let mut names = suite.marked(programs)?;
        names.retain(|name| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter)));
        suite.run_marked(&names, arguments.lab_threads, programs, &Place::Host, report);
    }
    Ok(())
}

fn unit_tier(suites: &[Suite], filter: Option<&str>, programs: &Path, report: &mut Report) {
    for suite in suites {
        suite.run_plain(filter, programs, report);
    }
    if filter.is_none() {
        report.one("examples in the documentation", || {
            process::run(workspace::cargo().args(["test", "--workspace", "--doc", "--quiet", "--locked"]))
        });
    }
}
