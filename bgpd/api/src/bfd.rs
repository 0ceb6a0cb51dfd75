//! BFD sessions as other programs see them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Some of the sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdPage {
    /// The sessions.
    pub sessions: Vec<BfdSession>,
    /// Packets that belonged to no session or could not be read. In the first page.
    pub discarded: Vec<BfdDiscard>,
    /// Packets that the system would not send. In the first page.
    pub send_errors: u64,
}

/// Packets that were discarded for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BfdDiscard {
    /// Such as `time to live`.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// The state of a session (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the names are the RFC's
pub enum BfdState {
    AdminDown,
    Down,
    Init,
    Up,
}

impl fmt::Display for BfdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// One side's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdOffer {
    /// Discriminator; 0: not known.
    pub discriminator: u32,
    /// State as that side says.
    pub state: BfdState,
    /// Desired Min TX Interval.
    #[serde(rename = "desiredMinTxMicroseconds", serialize_with = "micros")]
    pub desired_min_tx: Duration,
    /// Required Min RX Interval.
    #[serde(rename = "requiredMinRxMicroseconds", serialize_with = "micros")]
    pub required_min_rx: Duration,
    /// Required Min Echo RX Interval; zero: no echo.
    #[serde(rename = "requiredMinEchoRxMicroseconds", serialize_with = "micros")]
    pub required_min_echo_rx: Duration,
    /// Detect Mult; 0: not known.
    pub detect_multiplier: u8,
    /// The D bit.
    pub demand: bool,
    /// The C bit.
    pub control_plane_independent: bool,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdSession {
    /// The neighbour.
    pub peer: IpAddr,
    /// Our address; `None`: the kernel chooses.
    pub local_address: Option<IpAddr>,
    /// RFC 5883 rather than RFC 5881.
    pub multihop: bool,
    /// Since when the state is what it is.
    #[serde(rename = "stateMilliseconds", serialize_with = "millis")]
    pub state_for: Duration,
    /// Why it left Up last.
    pub diagnostic: String,
    /// The same from the other side.
    pub remote_diagnostic: String,
    /// This side.
    pub local: BfdOffer,
    /// The other side.
    pub remote: BfdOffer,
    /// Time between our packets before jitter, as negotiated; zero: none are sent periodically.
    #[serde(rename = "transmitIntervalMicroseconds", serialize_with = "micros")]
    pub transmit_interval: Duration,
    /// After so long without a packet it goes down; zero: nothing was heard yet.
    #[serde(rename = "detectionTimeMicroseconds", serialize_with = "micros")]
    pub detection_time: Duration,
    /// A Poll Sequence is under way.
    pub polling: bool,
    /// Such as `keyed SHA1`. Empty: none.
    pub authentication: String,
    /// Since the last packet.
    #[serde(rename = "lastPacketMilliseconds", serialize_with = "optional_millis")]
    pub last_packet_age: Option<Duration>,
    /// Packets accepted.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets discarded.
    pub packets_discarded: Vec<BfdDiscard>,
    /// How often it came up.
    pub up_count: u64,
    /// How often it left Up.
    pub down_count: u64,
    /// The last changes of state, the oldest first.
    pub history: Vec<BfdTransition>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdTransition {
    /// How long ago.
    #[serde(rename = "millisecondsAgo", serialize_with = "millis")]
    pub age: Duration,
    /// From this state.
    pub from: BfdState,
    /// To this one.
    pub to: BfdState,
    /// Our diagnostic then.
    pub diagnostic: String,
    /// The other side's state then.
    pub remote_state: BfdState,
    /// The other side's diagnostic then.
    pub remote_diagnostic: String,
}

fn micros<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX))
}

fn millis<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

fn optional_millis<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => millis(value, serializer),
        None => serializer.serialize_none(),
    }
}
