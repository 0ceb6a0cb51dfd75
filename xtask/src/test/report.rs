//! What a run of the tests came to: how many passed and failed, by name, and what took the time.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::progress::{self, bold};

/// How many tests passed and failed.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// All that is to be said at the end.
pub(super) struct Report {
    began: Instant,
    total: Count,
    failed: Vec<String>,
    /// Tests that passed at the second try only.
    pub(super) flaky: Vec<String>,
    parts: Vec<(String, Count, Duration)>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            total: Count::default(),
            failed: Vec::new(),
            flaky: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds a suite's count, and the names of what failed in it.
    pub(super) fn add(&mut self, count: Count, failed: Vec<String>) {
        self.total.passed += count.passed;
        self.total.failed += count.failed;
        self.failed.extend(failed);
    }

    /// Runs a part under a heading of its own; an error is one failure, and shown, and nothing is returned.
    pub(super) fn part<T>(
        &mut self,
        name: &str,
        heading: &str,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Option<T> {
        println!("\n{}", bold(&format!("== {heading}")));
        progress::flush();
        let (before, started) = (self.total, Instant::now());
        let result = body(self);
        if let Err(error) = &result {
            println!("error: {error:#}");
            self.add(Count { passed: 0, failed: 1 }, vec![name.to_owned()]);
        }
        let count =
            Count { passed: self.total.passed - before.passed, failed: self.total.failed - before.failed };
        self.parts.push((name.to_owned(), count, started.elapsed()));
        result.ok()
    }

    /// Something that passes or fails as a whole.
    pub(super) fn one(&mut self, name: &str, body: impl FnOnce() -> Result<()>) {
        let started = Instant::now();
        let result = body();
        let failed = usize::from(result.is_err());
        let count = Count { passed: 1 - failed, failed };
        if let Err(error) = result {
            println!("error: {error:#}");
        }
        println!("  {name}: {count} ({:.1} s)", started.elapsed().as_secs_f64());
        progress::flush();
        self.add(count, vec![name.to_owned(); failed]);
    }

    /// Prints all of it, and says whether everything passed.
    pub(super) fn finish(self) -> bool {
        println!("\n{}", bold("== what it came to"));
        for (name, count, time) in &self.parts {
            println!("  {:>11}  {name}: {count}", minutes(*time));
        }
        println!("all of it took {}", minutes(self.began.elapsed()));
        if !self.flaky.is_empty() {
            println!("flaky, passed on the second try only: {}", self.flaky.join(", "));
        }
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
        println!("{}", self.total);
        self.total.failed == 0 && self.total.passed > 0
    }
}

fn minutes(time: Duration) -> String {
    format!("{} min {:>2} s", time.as_secs() / 60, time.as_secs() % 60)
}
