//! `cargo xtask fuzz`: every fuzz target for a bounded time, on the stable toolchain.
//!
//! A package whose directory is named `fuzz` holds targets, each a program of it. Its seeds lie in
//! `../testdata/<target>/`: `.hex` files of hex digits and `#` comments, `.txt` files with one input on each line, and `learned.lines`, which
//! `--keep` writes (`corpus`).
//! Coverage is LLVM's own pass, which needs no nightly flag, only the linked libFuzzer (and so a C++ compiler).
//! As many targets run at a time as there are processors. What a run learns is kept under `target/fuzz/corpus`; what crashes, under `target/fuzz/crashes`.

mod corpus;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{process, progress, workspace};

/// What makes rustc instrument everything for libFuzzer, and check arithmetic as in a debug build.
const RUSTFLAGS: &str = "--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C codegen-units=1 -C debug-assertions=on -C overflow-checks=on";

/// Longest input, in octets: one BGP message of the usual kind, and more than any text needs.
const MAX_LEN: usize = 4096;
/// The same for [`LONG`]: one message of RFC 8654.
const EXTENDED_MAX_LEN: usize = 65535;
/// Targets whose input is such a message, or some.
const LONG: [&str; 2] = ["bgp-stream", "bgp-update"];
/// Seconds that one input may take before it counts as a hang.
const INPUT_SECONDS: u32 = 5;
/// Memory that a target may take, in MiB: growth beyond is a failure.
const MEMORY_MIB: u32 = 512;

/// What `fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only targets whose name contains this; `all` or nothing for all
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the random numbers begin, 1 to 4294967295; otherwise somewhere else each time
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seed: Option<u32>,
    /// Put what reaches code that the seeds do not reach into the targets' directories of seeds, as `learned.lines`
    #[arg(long)]
    keep: bool,
}

/// Runs the targets.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let filter = arguments.target.as_deref().filter(|name| *name != "all");
    let (passed, failed) = all(filter, arguments)?;
    println!("{passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("fuzz targets failed: {}", failed.join(", "))
    }
    if passed == 0 {
        bail!("no fuzz target's name contains {:?}", filter.unwrap_or_default())
    } else {
        Ok(())
    }
}

/// This program, to run all targets for so long with random numbers that begin at `seed`.
pub(crate) fn command(seconds: u64, seed: u32) -> Result<Command> {
    let mut command = workspace::own()?;
    command.args(["fuzz", "all", "--seconds", &seconds.to_string(), "--seed", &seed.to_string()]);
    Ok(command)
}

/// How many targets passed, by what [`run`] printed last.
pub(crate) fn passed(printed: &str) -> Option<usize> {
    printed.lines().last()?.split_once(" passed, ")?.0.parse().ok()
}

/// Runs every target whose name contains `filter`; returns how many passed, and the names of those that failed.
fn all(filter: Option<&str>, arguments: &Arguments) -> Result<(usize, Vec<String>)> {
    let metadata = workspace::metadata()?;
    let targets: Vec<Target> = targets(&metadata)?
        .into_iter()
        .filter(|target| filter.is_none_or(|part| target.name.contains(part)))
        .collect();
    if targets.is_empty() {
        return Ok((0, Vec::new()));
    }
    let (directory, host) = (directory(&metadata)?, workspace::host()?);
    println!("building {} instrumented fuzz targets", targets.len());
    process::run(&mut build(&targets, &directory, &host))?;
    let programs = directory.join(host).join("release");
    let (waiting, failed) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    // A target is one thread: as many at a time as there are processors.
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().map_or(None, |mut targets| targets.next());
            let Some(target) = next else { return Ok(()) };
            if !target.fuzz(&programs, &directory, arguments.seconds, arguments.seed)? {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(target.name.clone());
            } else if arguments.keep {
                target.keep(&programs, &directory)?;
            }
        }
    };
    let workers = available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((targets.len() - failed.len(), failed))
}

/// A fuzz target.
struct Target {
    name: String,
    package: String,
    seeds: PathBuf,
}

/// The programs of all packages in directories named `fuzz`.
fn targets(metadata: &Value) -> Result<Vec<Target>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| package["source"].is_null()) {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata lacks a name");
        let manifest = PathBuf::from(text(&package["manifest_path"])?);
        let Some(directory) = manifest.parent().filter(|directory| directory.ends_with("fuzz")) else {
            continue;
        };
        for target in package["targets"].as_array().into_iter().flatten() {
            if target["kind"] == serde_json::json!(["bin"]) {
                let name = text(&target["name"])?;
                let seeds = directory.with_file_name("testdata").join(&name);
                found.push(Target { name, package: text(&package["name"])?, seeds });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Where instrumented programs are, beside all others: they share nothing with them.
fn directory(metadata: &Value) -> Result<PathBuf> {
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?;
    Ok(Path::new(target).join("fuzz"))
}

/// What builds the targets' packages instrumented, into a directory.
fn build(targets: &[Target], directory: &Path, host: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--release", "--bins", "--target", host]);
    cargo
        .env("RUSTFLAGS", RUSTFLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", directory);
    let mut packages: Vec<&str> = targets.iter().map(|target| target.package.as_str()).collect();
    packages.dedup();
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo
}

impl Target {
    /// Runs the target; false if it found something.
    fn fuzz(&self, programs: &Path, directory: &Path, seconds: u64, seed: Option<u32>) -> Result<bool> {
        let corpus = directory.join("corpus").join(&self.name);
        let crashes = directory.join("crashes").join(&self.name);
        fs::create_dir_all(&crashes)?;
        let seeds = corpus::plant(&self.seeds, &corpus, corpus::Which::All)
            .with_context(|| format!("seeds of {}", self.name))?;
        let log = crashes.join("log");
        let output = fs::File::create(&log)?;
        let status = Command::new(programs.join(&self.name))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.max_len()))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .args(seed.map(|seed| format!("-seed={seed}")))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(&corpus)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .with_context(|| format!("cannot start the fuzz target {}", self.name))?;
        let text = fs::read(&log)?;
        let text = String::from_utf8_lossy(&text);
        if status.success() {
            println!("{}: {seconds} s, {seeds} seeds\n  {}", self.name, summary(&text));
            progress::flush();
            return Ok(true);
        }
        let said: String = failure(&text).map(|line| format!("  {line}\n")).collect();
        println!(
            "{} FAILED\n{said}  to run one input again: {}/{} FILE\n  inputs and log: {}",
            self.name,
            programs.display(),
            self.name,
            crashes.display()
        );
        progress::flush();
        Ok(false)
    }

    fn max_len(&self) -> usize {
        if LONG.contains(&self.name.as_str()) { EXTENDED_MAX_LEN } else { MAX_LEN }
    }

    /// Writes `learned.lines` anew: of all that is known, as little as reaches what the other seeds do not reach. Longer inputs than the
    /// usual ones stay outside of the repository.
    fn keep(&self, programs: &Path, directory: &Path) -> Result<()> {
        let kept = directory.join("kept").join(&self.name);
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        corpus::plant(&self.seeds, &kept, corpus::Which::ByHand)?;
        let log = directory.join("crashes").join(&self.name).join("merge.log");
        let output = fs::File::create(&log)?;
        let status = Command::new(programs.join(&self.name))
            .args(["-merge=1", &format!("-max_len={MAX_LEN}"), &format!("-timeout={INPUT_SECONDS}")])
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(&kept)
            .arg(directory.join("corpus").join(&self.name))
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .with_context(|| format!("cannot start the fuzz target {}", self.name))?;
        ensure!(status.success(), "{}: cannot merge: {}", self.name, log.display());
        let count = corpus::write(&kept, &self.seeds)?;
        println!("{}: {count} inputs kept in {}", self.name, self.seeds.display());
        progress::flush();
        Ok(())
    }
}

/// libFuzzer's last word: executions, coverage, corpus.
fn summary(log: &str) -> String {
    let done = log.lines().rev().find(|line| line.contains("DONE"));
    done.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

/// The lines that say what went wrong: from the panic, or from libFuzzer's own error.
fn failure(log: &str) -> impl Iterator<Item = &str> {
    log.lines()
        .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: libFuzzer"))
        .take(12)
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn the_last_line_says_how_many_passed() {
        assert_eq!(passed("a: 60 s, 1 seeds\n  #7 DONE\n11 passed, 0 failed\n"), Some(11));
        assert_eq!(passed("11 passed, 0 failed\nand more\n"), None);
    }
}
