//! Thousands of networks of speakers in virtual time, each with its own troubles, each compared with a reference model at its end.
//!
//! A run is a function of its seed: topology, filters between ASes, originated prefixes, delays, cuts, crashes, restarts, stalled
//! sockets and resets all come from it. When the troubles are over and the network is quiet, every session must be up, what each end says it told is what
//! the other end has, and every route is the one that the reference model computes without messages and without time.
//!
//! A program of its own and not `#[test]`s, so that every run counts: `cargo xtask sim --minutes M` for long ones.

#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/troubles.rs"]
mod troubles;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs unless told otherwise: some tens of seconds of a debug build.
const RUNS: u64 = 2000;
/// The first seed unless told otherwise, so that a red run of CI can be repeated.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The words of the usual test harness, as far as `cargo test` and `cargo xtask test` use them.
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        if !has("--ignored") {
            println!("simulation: test");
        }
        return ExitCode::SUCCESS;
    }
    let filter =
        arguments.iter().find(|argument| !argument.starts_with('-') && argument.parse::<u64>().is_err());
    if has("--ignored") || filter.is_some_and(|filter| !"simulation".contains(filter.as_str())) {
        println!("test result: ok. 0 passed; 0 failed;");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let first = number("--seed").unwrap_or(SEED);
    let time = number("--minutes").map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let runs = match (number("--runs"), time) {
        (Some(runs), _) => runs,
        (None, Some(_)) => u64::MAX,
        (None, None) => RUNS,
    };
    match time {
        Some(time) => println!("simulated networks from seed {first}, for {} min", time.as_secs() / 60),
        None => println!("{runs} simulated networks from seed {first}"),
    }
    let began = Instant::now();
    let (mut passed, mut failed, mut told) = (0_u64, 0_u64, 0);
    for seed in first..first.saturating_add(runs) {
        let minutes = began.elapsed().as_secs() / 60;
        if time.is_some_and(|time| began.elapsed() >= time) {
            break;
        }
        if minutes > told {
            told = minutes;
            println!("after {minutes} min: {passed} passed, {failed} failed");
        }
        let result = catch_unwind(|| network::run(seed));
        if matches!(result, Ok(Ok(()))) {
            passed += 1;
        } else {
            failed += 1;
            if let Ok(Err(fault)) = result {
                println!("{fault}");
            }
            println!("seed {seed} FAILED; again: cargo xtask sim --runs 1 --seed {seed}");
        }
        if failed >= 5 {
            println!("enough failures for now");
            break;
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    println!("test result: {word}. {passed} passed; {failed} failed;");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
