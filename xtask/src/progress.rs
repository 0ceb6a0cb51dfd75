//! Steps with their times, so that nobody wonders whether a long run still lives.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::Result;

/// Numbered steps of one command.
pub(crate) struct Steps {
    done: usize,
    total: usize,
    started: Instant,
}

impl Steps {
    /// Starts a run of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { done: 0, total, started: Instant::now() }
    }

    /// Runs one step, and says its name before and its time after.
    pub(crate) fn step<T>(&mut self, name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done += 1;
        println!("{}", bold(&format!("[{}/{}] {name}", self.done, self.total)));
        flush();
        let started = Instant::now();
        let result = body();
        let word = if result.is_ok() { "done" } else { "FAILED" };
        println!(
            "      {word} in {:.1} s (since the start: {:.0} s)",
            started.elapsed().as_secs_f64(),
            self.started.elapsed().as_secs_f64()
        );
        flush();
        result
    }
}

/// Bold on a terminal, plain elsewhere.
pub(crate) fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Makes what was printed visible now.
pub(crate) fn flush() {
    // A closed standard output is no reason to stop the work.
    let _ = std::io::stdout().flush();
}
