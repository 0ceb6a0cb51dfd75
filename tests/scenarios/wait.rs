//! Waiting for what must come true, never for longer than it may take.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How many times longer all may take in a virtual machine whose instructions are translated: a new process costs many times more.
const TRANSLATED: u32 = 5;

/// How many times longer than usual all may take here.
pub(crate) static PATIENCE: LazyLock<u32> = LazyLock::new(|| match std::env::var("CAIRN_VM").as_deref() {
    Ok("tcg") => TRANSLATED,
    _ => 1,
});

/// Repeats a check until it succeeds; its last error is the message when it does not in time. Returns the time it took.
pub(crate) fn eventually(limit: Duration, mut check: impl FnMut() -> Result<()>) -> Result<Duration> {
    let limit = limit * *PATIENCE;
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
