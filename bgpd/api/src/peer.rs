//! Neighbours as other programs see them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_net::{Asn, Family, RouterId};
use serde::Serialize;

/// A neighbour with its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its address, which names it.
    pub address: IpAddr,
    /// Its AS; 0 while that of an external neighbour is not known, before the first session with it.
    pub remote_as: Asn,
    /// The AS that it sees.
    pub local_as: Asn,
    /// A text for people.
    pub description: String,
    /// False: it is kept down on purpose.
    pub enabled: bool,
    /// State of the session.
    pub state: SessionState,
    /// Since when the state is what it is.
    #[serde(rename = "stateSeconds", serialize_with = "seconds")]
    pub state_for: Duration,
    /// For how long a session is up, or none is; `None`: none ever was.
    #[serde(rename = "upDownSeconds", serialize_with = "optional_seconds")]
    pub up_down: Option<Duration>,
    /// Why the last session ended, or why none begins. Empty: nothing went wrong yet.
    pub last_error: String,
    /// How long ago that was.
    #[serde(rename = "lastErrorSeconds", serialize_with = "seconds")]
    pub last_error_age: Duration,
    /// Why nothing, or not everything, is exchanged.
    pub notes: Vec<String>,
    /// How often a session was established.
    pub established_count: u64,
    /// How often an established session was lost.
    pub dropped_count: u64,
    /// The neighbour's identifier, once known.
    pub router_id: Option<RouterId>,
    /// The connection's own end, while there is one.
    pub local: Option<SocketAddr>,
    /// The neighbour's end.
    pub remote_port: Option<u16>,
    /// Hold time as negotiated; zero while down.
    #[serde(rename = "holdTimeSeconds", serialize_with = "seconds")]
    pub hold_time: Duration,
    /// Time between KEEPALIVEs as negotiated; zero while down.
    #[serde(rename = "keepaliveTimeSeconds", serialize_with = "seconds")]
    pub keepalive_time: Duration,
    /// Time until the hold timer expires; zero: it does not run.
    #[serde(rename = "holdTimerMilliseconds", serialize_with = "milliseconds")]
    pub hold_timer: Duration,
    /// Time until the next KEEPALIVE; zero: none is due.
    #[serde(rename = "keepaliveTimerMilliseconds", serialize_with = "milliseconds")]
    pub keepalive_timer: Duration,
    /// Time until the next attempt to connect, or the end of the present one; zero: neither.
    #[serde(rename = "connectTimerMilliseconds", serialize_with = "milliseconds")]
    pub connect_timer: Duration,
    /// What both sides can do, as text for people.
    pub capabilities: Vec<String>,
    /// The capabilities in our OPEN, as text for people. Empty while down.
    pub capabilities_sent: Vec<String>,
    /// The capabilities in the neighbour's OPEN.
    pub capabilities_received: Vec<String>,
    /// The last NOTIFICATION to the neighbour.
    pub notification_sent: Option<Notification>,
    /// The last NOTIFICATION of the neighbour.
    pub notification_received: Option<Notification>,
    /// The negotiated families with their counts of prefixes.
    pub families: Vec<PeerFamily>,
    /// Messages since the neighbour was configured.
    pub counters: Counters,
}

/// Message counters of a neighbour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Messages of all kinds from the neighbour.
    pub messages_received: u64,
    /// Messages of all kinds to the neighbour.
    pub messages_sent: u64,
    /// UPDATE messages from the neighbour.
    pub updates_received: u64,
    /// UPDATE messages to the neighbour.
    pub updates_sent: u64,
    /// From the neighbour, by kind.
    pub received: MessageCounters,
    /// To the neighbour, by kind.
    pub sent: MessageCounters,
}

/// Messages of one direction by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct MessageCounters {
    pub opens: u64,
    pub updates: u64,
    pub notifications: u64,
    pub keepalives: u64,
    pub route_refreshes: u64,
}

impl MessageCounters {
    /// Of all kinds.
    pub const fn total(&self) -> u64 {
        self.opens + self.updates + self.notifications + self.keepalives + self.route_refreshes
    }
}

/// A NOTIFICATION (RFC 4271 section 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Both by name, with the operator's text (RFC 9003) or the data.
    pub text: String,
    /// How long ago it was.
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Duration,
}

/// Something that happened to a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEvent {
    /// When; the first time, if it happened several times in a row. Since 1970-01-01 UTC.
    #[serde(rename = "timeMilliseconds", serialize_with = "milliseconds")]
    pub time: Duration,
    /// What kind of event.
    pub kind: EventKind,
    /// What happened, for people.
    pub text: String,
    /// How often it happened in a row.
    pub count: u64,
    /// The last time.
    #[serde(rename = "lastTimeMilliseconds", serialize_with = "milliseconds")]
    pub last_time: Duration,
}

/// Kinds of [`HistoryEvent`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The state changed.
    State,
    /// A session was established.
    Up,
    /// An established session ended.
    Down,
    /// An attempt failed.
    Failure,
    /// Something that needs attention.
    Warning,
    /// Somebody asked for it, or the configuration changed.
    Operator,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::State => "state",
            Self::Up => "up",
            Self::Down => "down",
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Operator => "operator",
        })
    }
}

/// A family of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerFamily {
    /// Which.
    pub family: Family,
    /// Prefixes in Adj-RIB-In, before the import filter.
    pub received: u64,
    /// Of these, what the import filter let pass.
    pub accepted: u64,
    /// Prefixes in Adj-RIB-Out.
    pub sent: u64,
    /// The neighbour has sent its End-of-RIB.
    pub end_of_rib: bool,
    /// Prefixes kept for a neighbour that restarts.
    pub stale: u64,
}

/// State of a session (RFC 4271 section 8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SessionState {
    /// Stopped, or waiting before the next attempt.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the neighbour to connect, or for the next attempt.
    Active,
    /// Connected; OPEN is sent.
    OpenSent,
    /// The neighbour's OPEN is accepted.
    OpenConfirm,
    /// Up.
    Established,
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}

/// What [`crate::Client::watch_peers`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// A neighbour as it is now.
    Changed(Box<Peer>),
    /// A neighbour is no longer configured.
    Removed(IpAddr),
    /// Every neighbour was told once; what follows are changes.
    InSync,
}

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it runs.
    #[serde(rename = "uptimeSeconds", serialize_with = "seconds")]
    pub uptime: Duration,
    /// `None` before the first configuration.
    pub speaker: Option<SpeakerStatus>,
    /// Where connections are accepted.
    pub listening: Vec<String>,
    /// Neighbours.
    pub peers: u32,
    /// Neighbours whose session is up.
    pub peers_established: u32,
    /// The Loc-RIB by family.
    pub families: Vec<FamilyStatus>,
    /// Prefixes in the table, over all families, with those that only a filter keeps from being used.
    pub prefixes: u64,
    /// Distinct sets of path attributes.
    pub attribute_sets: u64,
}

/// Who the daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeakerStatus {
    /// Its identifier.
    pub router_id: RouterId,
    /// Its AS.
    pub local_as: Asn,
}

/// The Loc-RIB of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyStatus {
    /// Which.
    pub family: Family,
    /// The Loc-RIB is complete after the daemon's start.
    pub complete: bool,
}

pub(crate) fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

fn optional_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(serializer)
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
