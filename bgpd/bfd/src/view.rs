use std::time::{Duration, Instant};

use crate::packet::Discards;
use crate::{AuthenticationKind, Diagnostic, Key, State};

/// Packets of a session, and how often it came up and went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Accepted packets.
    pub received: u64,
    /// Packets handed out for sending.
    pub sent: u64,
    /// Packets for this session that were discarded, by reason.
    pub discarded: Discards,
    /// How often the session came up.
    pub up: u64,
    /// How often it left Up.
    pub down: u64,
}

/// What the other side said last. Times are in microseconds, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its state; Down before it has said anything.
    pub state: State,
    /// Why it left Up last.
    pub diagnostic: Diagnostic,
    /// Its discriminator; 0: unknown.
    pub discriminator: u32,
    /// Its Desired Min TX Interval.
    pub desired_min_tx: u32,
    /// Its Required Min RX Interval; 1 before it has said anything.
    pub required_min_rx: u32,
    /// Its Required Min Echo RX Interval.
    pub required_min_echo_rx: u32,
    /// Its Detect Mult; 0: unknown.
    pub detect_mult: u8,
    /// Its D bit.
    pub demand: bool,
    /// Its C bit.
    pub control_plane_independent: bool,
}

impl Remote {
    /// Nothing is known (section 6.8.1).
    pub(crate) const UNKNOWN: Self = Self {
        state: State::Down,
        diagnostic: Diagnostic::None,
        discriminator: 0,
        desired_min_tx: 0,
        required_min_rx: 1,
        required_min_echo_rx: 0,
        detect_mult: 0,
        demand: false,
        control_plane_independent: false,
    };
}

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// Our diagnostic then.
    pub diagnostic: Diagnostic,
    /// The other side's state then.
    pub remote: State,
    /// The other side's diagnostic then.
    pub remote_diagnostic: Diagnostic,
}

/// A session as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its name.
    pub key: Key,
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why it left Up last.
    pub diagnostic: Diagnostic,
    /// Our discriminator.
    pub discriminator: u32,
    /// The other side.
    pub remote: Remote,
    /// Our Desired Min TX Interval as it is sent: at least a second unless Up.
    pub desired_min_tx: Duration,
    /// Our Required Min RX Interval.
    pub required_min_rx: Duration,
    /// Our Detect Mult.
    pub detect_mult: u8,
    /// Time between our packets before jitter, as negotiated; `None`: nothing is sent periodically.
    pub transmit_interval: Option<Duration>,
    /// After this time without a packet the session goes down; `None` before the first packet.
    pub detection_time: Option<Duration>,
    /// A Poll Sequence is under way.
    pub polling: bool,
    /// How packets are authenticated.
    pub authentication: Option<AuthenticationKind>,
    /// When the last packet was accepted.
    pub last_received: Option<Instant>,
    /// Packets and changes.
    pub counters: Counters,
    /// The last changes of state, the oldest first; at most 16.
    pub history: Vec<Transition>,
}
