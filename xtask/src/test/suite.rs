//! One test program of the workspace: built by cargo, run by us, so that each has its own count and time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::machine::{self, Machine};
use super::report::{Count, Report};
use crate::{build, process, progress, workspace};

/// A test program.
pub(super) struct Suite {
    name: String,
    program: PathBuf,
    directory: PathBuf,
}

/// More failures than this in one suite are no accident, and get no second try.
const MOST_SECOND_TRIES: usize = 4;

/// What a run of a test program came to.
struct Outcome {
    count: Count,
    /// Whether it came to its end, so that each test that is not named as failed passed.
    complete: bool,
    /// Whether the virtual machine died under it, so that nothing is known of the tests.
    machine_failed: bool,
    /// What it printed.
    text: String,
}

/// Where tests run.
pub(super) enum Place<'a> {
    /// On this machine's kernel.
    Host,
    /// On another kernel, in a machine of the suite's own.
    Machine(&'a Machine),
}

/// How long one suite may take.
const SUITE_SECONDS: u64 = 1800;

impl Suite {
    /// Builds all test programs of the workspace, and with them what they run.
    pub(super) fn build_all() -> Result<Vec<Self>> {
        let messages = process::capture(build::everything().arg("--message-format=json-render-diagnostics"))?;
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut suites: Vec<Self> = messages.filter_map(|message| Self::from_message(&message)).collect();
        suites.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(suites)
    }

    fn from_message(message: &Value) -> Option<Self> {
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            return None;
        }
        let directory = Path::new(message["manifest_path"].as_str()?).parent()?;
        let room = directory.strip_prefix(workspace::root()).ok()?;
        let (kind, target) = (message["target"]["kind"][0].as_str()?, message["target"]["name"].as_str()?);
        Some(Self {
            name: format!("{} {kind} {target}", room.display()),
            program: message["executable"].as_str()?.into(),
            directory: directory.to_owned(),
        })
    }

    /// Is it for the k8s tier?
    pub(super) fn needs_kubernetes(&self) -> bool {
        self.directory.ends_with("tests/k8s")
    }

    /// Runs what needs no root.
    pub(super) fn run_plain(&self, filter: Option<&str>, programs: &Path, report: &mut Report) {
        let mut command = self.command(&Place::Host, programs);
        command.args(filter);
        let number = self.tests(&command).unwrap_or(1);
        if number > 0 {
            let outcome = self.run(&mut command, number);
            report.add(outcome.count, self.failed(&outcome));
        }
    }

    /// The names of the tests that are marked as needing root, or a real Kubernetes.
    pub(super) fn marked(&self, programs: &Path) -> Result<Vec<String>> {
        let mut list = self.command(&Place::Host, programs);
        list.args(["--list", "--ignored", "--format=terse"]);
        let text = process::capture(&mut list)?;
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs some of the marked tests. Daemons, kernel and machine are real and shared, so tests that fail get a second try, one at a
    /// time; those that pass then are named as flaky, in the suite's line and at the end.
    pub(super) fn run_marked(
        &self,
        names: &[String],
        threads: usize,
        programs: &Path,
        place: &Place<'_>,
        report: &mut Report,
    ) {
        if names.is_empty() {
            return;
        }
        let command = |threads: usize, names: &[String]| {
            let mut command = self.command(place, programs);
            command.args(["--ignored", "--exact", &format!("--test-threads={threads}")]).args(names);
            command
        };
        let mut outcome = self.run(&mut command(threads, names), names.len());
        if outcome.machine_failed && matches!(place, Place::Machine(_)) {
            println!("  the machine died, not a test; all of it again in another one:");
            report.flaky.push(format!("the machine of {}", self.name));
            outcome = self.run(&mut command(threads, names), names.len());
        }
        let failed = failures(&outcome.text);
        if !outcome.complete || failed.is_empty() || failed.len() > MOST_SECOND_TRIES {
            report.add(outcome.count, self.failed(&outcome));
            return;
        }
        println!("  again, one at a time: {}", failed.join(", "));
        let again = self.run(&mut command(1, &failed), failed.len());
        let mut both = outcome.count;
        both.passed += again.count.passed;
        both.failed = both.failed.saturating_sub(again.count.passed);
        let still = if again.complete { failures(&again.text) } else { failed.clone() };
        report.flaky.extend(failed.into_iter().filter(|name| !still.contains(name)));
        report.add(both, still.iter().map(|name| self.named(name)).collect());
    }

    /// A test's name among those of all suites.
    fn named(&self, test: &str) -> String {
        format!("{} {test}", self.name)
    }

    /// What failed of a run: its tests by name, or all of it where none is named.
    fn failed(&self, outcome: &Outcome) -> Vec<String> {
        let names = failures(&outcome.text);
        let mut failed: Vec<String> = names.iter().map(|name| self.named(name)).collect();
        if outcome.count.failed > failed.len() || (outcome.count.failed > 0 && !outcome.complete) {
            failed.push(self.name.clone());
        }
        failed
    }

    /// The program, in its own directory, ready for arguments. A test that hangs must fail, not take the whole run's time.
    fn command(&self, place: &Place<'_>, programs: &Path) -> Command {
        let env = [
            ("CARGO_MANIFEST_DIR", self.directory.as_path()),
            ("CAIRN_BIN", programs),
            ("RUST_BACKTRACE", Path::new("0")),
        ];
        let mut command = match place {
            Place::Host => {
                let mut command = Command::new("timeout");
                command.args(["--kill-after=10", &SUITE_SECONDS.to_string()]).envs(env);
                command
            }
            Place::Machine(machine) => machine.command(SUITE_SECONDS, &self.directory, &env),
        };
        command.arg(&self.program).current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    /// Runs to the end and prints the suite's line; failures are shown in full.
    fn run(&self, command: &mut Command, number: usize) -> Outcome {
        if number > 1 {
            print!("  {} ({number} tests) ... ", self.name);
        } else {
            print!("  {} ... ", self.name);
        }
        progress::flush();
        let started = Instant::now();
        let outcome = Self::output(command);
        if outcome.count.failed > 0 {
            println!("FAILED\n{}", outcome.text);
        }
        println!("{} ({:.1} s)", outcome.count, started.elapsed().as_secs_f64());
        progress::flush();
        outcome
    }

    /// Runs to the end. A program that dies or cannot be started counts as one failure.
    fn output(command: &mut Command) -> Outcome {
        match command.stderr(Stdio::piped()).stdout(Stdio::piped()).output() {
            Ok(output) => {
                let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
                let parsed = parse(&text);
                let mut count = parsed.unwrap_or_default();
                if !output.status.success() {
                    count.failed = count.failed.max(1);
                    text = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
                }
                let machine_failed = output.status.code() == Some(machine::FAILED);
                Outcome { count, complete: parsed.is_some(), machine_failed, text }
            }
            Err(error) => {
                let text = format!("cannot start {}: {error}", command.get_program().display());
                let count = Count { passed: 0, failed: 1 };
                Outcome { count, complete: false, machine_failed: false, text }
            }
        }
    }

    /// How many tests the command would run.
    fn tests(&self, command: &Command) -> Result<usize> {
        let mut list = Command::new(command.get_program());
        list.args(command.get_args()).args(["--list", "--format=terse"]).current_dir(&self.directory);
        let output = list.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Without --ignored the list names ignored tests too; they do no harm, only an empty suite is left out.
        Ok(text.lines().filter(|line| line.ends_with(": test")).count())
    }
}

/// The names of the tests that failed, from lines like `test mesh::v4 ... FAILED`.
fn failures(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    lines.map(str::to_owned).collect()
}

/// Reads the line `test result: ok. 12 passed; 0 failed; ...`.
fn parse(text: &str) -> Option<Count> {
    let line = text.lines().rev().find(|line| line.starts_with("test result:"))?;
    let number = |word: &str| -> Option<usize> {
        let before = line.split(word).next()?;
        before.trim_end().rsplit([' ', '.']).next()?.parse().ok()
    };
    Some(Count { passed: number(" passed")?, failed: number(" failed")? })
}

#[cfg(test)]
mod tests {
    use super::{Count, Outcome, Suite, failures, parse};

    #[test]
    fn failures_are_read_by_name() {
        let text = "test mesh::v4 ... ok\ntest mesh::v6 ... FAILED\ntest racks::v4 - should panic ... ok\n\nfailures:";
        assert_eq!(failures(text), ["mesh::v6"]);
    }

    #[test]
    fn a_program_that_died_failed_whatever_it_had_printed_before() {
        let suite = Suite { name: "lab".to_owned(), program: "p".into(), directory: "d".into() };
        let failed = |text: &str, failed: usize| {
            let count = Count { passed: 1, failed };
            let complete = parse(text).is_some();
            suite.failed(&Outcome { count, complete, machine_failed: false, text: text.to_owned() })
        };
        let one = "test mesh::v6 ... FAILED\n";
        assert_eq!(failed(&format!("{one}test result: FAILED. 1 passed; 1 failed;"), 1), ["lab mesh::v6"]);
        assert_eq!(failed(one, 1), ["lab mesh::v6", "lab"]);
        assert_eq!(failed("", 1), ["lab"]);
        assert!(failed("test result: ok. 1 passed; 0 failed;", 0).is_empty());
    }

    #[test]
    fn counts_are_read_from_the_result_line() {
        let text = "running 3 tests\ntest a ... ok\n\ntest result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured";
        let count = parse(text).expect("there is a result line");
        assert_eq!((count.passed, count.failed), (12, 3));
        assert!(parse("thread panicked").is_none());
    }
}
