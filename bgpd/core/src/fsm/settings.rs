use std::time::Duration;

use crate::speaker::TimerConfig;
use crate::wire::{Open, OpenCheck};

/// What a state machine needs to know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our OPEN, as it would be sent now.
    pub open: Open,
    /// What the peer's OPEN must be.
    pub check: OpenCheck,
    /// Timers.
    pub timers: TimerConfig,
    /// Never open a connection.
    pub passive: bool,
}

impl Settings {
    /// Hold time before the peer's OPEN is there (RFC 4271 section 8: a large value).
    pub const OPEN_SENT_HOLD: Duration = Duration::from_secs(240);
}
