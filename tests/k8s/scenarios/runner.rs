//! Runs scenarios one after the other, with the words of the usual test harness as far as `cargo test` and `cargo xtask test` use them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use cairn_lab::lab::Families;

use crate::world::World;

/// A scenario's body and name.
pub(crate) type Named = (&'static str, fn(&World) -> Result<()>);

/// Names functions as they are written.
macro_rules! scenarios {
    ($($room:ident :: $body:ident),* $(,)?) => {
        [$((concat!(stringify!($room), "::", stringify!($body)), $room::$body as fn(&crate::world::World) -> _)),*]
    };
}
pub(crate) use scenarios;

/// What is to hold in a cluster of some address families.
pub(crate) struct Scenario {
    families: Families,
    name: String,
    body: fn(&World) -> Result<()>,
}

impl Scenario {
    pub(crate) fn new(families: Families, (name, body): Named) -> Self {
        Self { families, name: format!("{name}::{}", families.name()), body }
    }
}

/// Runs what the command line chooses. All of it needs root and a real Kubernetes, so without `--ignored` there is nothing to run.
pub(crate) fn run(all: &[Scenario]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |scenario: &&Scenario| {
        let matches = |filter: &&String| {
            if has("--exact") { scenario.name == **filter } else { scenario.name.contains(*filter) }
        };
        filters.is_empty() || filters.iter().any(matches)
    };
    let chosen: Vec<&Scenario> = all.iter().filter(chosen).collect();
    if has("--list") {
        for scenario in &chosen {
            println!("{}: test", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    if !has("--ignored") && !has("--include-ignored") {
        println!("test result: ok. 0 passed; 0 failed; {} ignored;", chosen.len());
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for families in Families::ALL {
        let scenarios: Vec<&Scenario> =
            chosen.iter().filter(|scenario| scenario.families == families).copied().collect();
        let good = in_one_cluster(families, &scenarios);
        passed += good;
        failed += scenarios.len() - good;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed;");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns how many passed.
fn in_one_cluster(families: Families, scenarios: &[&Scenario]) -> usize {
    if scenarios.is_empty() {
        return 0;
    }
    let began = Instant::now();
    let world = match World::up(families) {
        Ok(world) => world,
        Err(error) => {
            println!("no cluster: {error:#}");
            for scenario in scenarios {
                println!("test {} ... FAILED", scenario.name);
            }
            return 0;
        }
    };
    println!("a cluster with {} after {:.1} s", families.name(), began.elapsed().as_secs_f64());
    let mut passed = 0;
    for scenario in scenarios {
        let began = Instant::now();
        // A panic must not leave the cluster behind either.
        let result = catch_unwind(AssertUnwindSafe(|| (scenario.body)(&world)))
            .unwrap_or_else(|panic| Err(anyhow!("{}", words(panic.as_ref()))));
        match result {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok", scenario.name);
            }
            Err(error) => {
                let place = world.cluster.keep_traces();
                println!("test {} ... FAILED", scenario.name);
                println!("{error:#}\ntraces: {}", place.display());
            }
        }
        println!("  in {:.1} s", began.elapsed().as_secs_f64());
    }
    passed
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}
