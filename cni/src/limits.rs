//! How much is read, and how long is waited.

use std::time::Duration;

use crate::Verb;

/// Longest configuration in bytes. GC's list of attachments is the longest part of any: some 110 bytes each.
pub const MAX_STDIN: usize = 1 << 20;

/// Longest value of one environment variable in bytes: `PATH_MAX`.
pub const MAX_VARIABLE: usize = 4096;

/// How long felix-lite may take for one request.
///
/// Runtimes give up on a pod's sandbox after two minutes or more: each limit leaves time for a whole chain of plugins. ADD is a
/// matter of milliseconds, but may wait for addresses; STATUS is asked every few seconds.
pub const fn limit(verb: Verb) -> Duration {
    match verb {
        Verb::Add | Verb::Gc => Duration::from_secs(30),
        Verb::Del | Verb::Check => Duration::from_secs(10),
        Verb::Status | Verb::Version => Duration::from_secs(5),
    }
}
