//! Waiting for what must come true, never for longer than it may take.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Repeats a check until it succeeds; its last error is the message when it does not in time. Returns the time it took.
pub(crate) fn eventually(limit: Duration, mut check: impl FnMut() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    loop {
        match check() {
            Ok(()) => return Ok(started.elapsed()),
            Err(error) if started.elapsed() > limit => {
                return Err(error.context(format!("still not so after {} s", limit.as_secs())));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
