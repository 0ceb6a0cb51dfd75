//! BFD sessions.

use std::time::Duration;

use super::{FieldError, address, address_bytes, all, each, optional_address};
use crate::bfd::{BfdDiscard, BfdOffer, BfdPage, BfdSession, BfdState, BfdTransition};
use crate::proto;

impl From<BfdState> for proto::BfdState {
    fn from(state: BfdState) -> Self {
        match state {
            BfdState::AdminDown => Self::AdminDown,
            BfdState::Down => Self::Down,
            BfdState::Init => Self::Init,
            BfdState::Up => Self::Up,
        }
    }
}

fn number(state: BfdState) -> i32 {
    proto::BfdState::from(state).into()
}

fn state(field: &'static str, number: i32) -> Result<BfdState, FieldError> {
    Ok(match proto::BfdState::try_from(number) {
        Ok(proto::BfdState::AdminDown) => BfdState::AdminDown,
        Ok(proto::BfdState::Down) => BfdState::Down,
        Ok(proto::BfdState::Init) => BfdState::Init,
        Ok(proto::BfdState::Up) => BfdState::Up,
        Ok(proto::BfdState::Unspecified) | Err(_) => {
            return Err(FieldError::new(field, number, "is not a known state"));
        }
    })
}

/// As on BFD's own wire, which has 32 bits.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn long_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn from_micros(number: u32) -> Duration {
    Duration::from_micros(number.into())
}

fn multiplier(field: &'static str, number: u32) -> Result<u8, FieldError> {
    u8::try_from(number).map_err(|_| FieldError::new(field, number, "is at most 255"))
}

impl From<BfdDiscard> for proto::BfdDiscard {
    fn from(BfdDiscard { reason, count }: BfdDiscard) -> Self {
        Self { reason, count }
    }
}

impl From<proto::BfdDiscard> for BfdDiscard {
    fn from(proto::BfdDiscard { reason, count }: proto::BfdDiscard) -> Self {
        Self { reason, count }
    }
}

impl From<BfdPage> for proto::ListBfdSessionsResponse {
    fn from(page: BfdPage) -> Self {
        Self { sessions: each(page.sessions), discarded: each(page.discarded), send_errors: page.send_errors }
    }
}

impl TryFrom<proto::ListBfdSessionsResponse> for BfdPage {
    type Error = FieldError;

    fn try_from(message: proto::ListBfdSessionsResponse) -> Result<Self, FieldError> {
        Ok(Self {
            sessions: all(message.sessions)?,
            discarded: each(message.discarded),
            send_errors: message.send_errors,
        })
    }
}

impl From<BfdSession> for proto::BfdSession {
    fn from(session: BfdSession) -> Self {
        let (local, remote) = (session.local, session.remote);
        Self {
            peer: address_bytes(session.peer),
            local_address: session.local_address.map(address_bytes).unwrap_or_default(),
            multihop: session.multihop,
            state: number(local.state),
            state_milliseconds: millis(session.state_for),
            diagnostic: session.diagnostic,
            local_discriminator: local.discriminator,
            remote_discriminator: remote.discriminator,
            remote_state: number(remote.state),
            remote_diagnostic: session.remote_diagnostic,
            desired_min_tx_microseconds: micros(local.desired_min_tx),
            required_min_rx_microseconds: micros(local.required_min_rx),
            detect_multiplier: local.detect_multiplier.into(),
            remote_desired_min_tx_microseconds: micros(remote.desired_min_tx),
            remote_required_min_rx_microseconds: micros(remote.required_min_rx),
            remote_required_min_echo_rx_microseconds: micros(remote.required_min_echo_rx),
            remote_detect_multiplier: remote.detect_multiplier.into(),
            remote_demand: remote.demand,
            remote_control_plane_independent: remote.control_plane_independent,
            transmit_interval_microseconds: long_micros(session.transmit_interval),
            detection_time_microseconds: long_micros(session.detection_time),
            polling: session.polling,
            authentication: session.authentication,
            last_packet_milliseconds: session.last_packet_age.map(millis),
            packets_received: session.packets_received,
            packets_sent: session.packets_sent,
            packets_discarded: each(session.packets_discarded),
            up_count: session.up_count,
            down_count: session.down_count,
            history: each(session.history),
        }
    }
}

impl TryFrom<proto::BfdSession> for BfdSession {
    type Error = FieldError;

    fn try_from(message: proto::BfdSession) -> Result<Self, FieldError> {
        let local = BfdOffer {
            discriminator: message.local_discriminator,
            state: state("state", message.state)?,
            desired_min_tx: from_micros(message.desired_min_tx_microseconds),
            required_min_rx: from_micros(message.required_min_rx_microseconds),
            required_min_echo_rx: Duration::ZERO,
            detect_multiplier: multiplier("detect_multiplier", message.detect_multiplier)?,
            demand: false,
            control_plane_independent: false,
        };
        let remote = BfdOffer {
            discriminator: message.remote_discriminator,
            state: state("remote_state", message.remote_state)?,
            desired_min_tx: from_micros(message.remote_desired_min_tx_microseconds),
            required_min_rx: from_micros(message.remote_required_min_rx_microseconds),
            required_min_echo_rx: from_micros(message.remote_required_min_echo_rx_microseconds),
            detect_multiplier: multiplier("remote_detect_multiplier", message.remote_detect_multiplier)?,
            demand: message.remote_demand,
            control_plane_independent: message.remote_control_plane_independent,
        };
        Ok(Self {
            peer: address("peer", &message.peer)?,
            local_address: optional_address("local_address", &message.local_address)?,
            multihop: message.multihop,
            state_for: Duration::from_millis(message.state_milliseconds),
            diagnostic: message.diagnostic,
            remote_diagnostic: message.remote_diagnostic,
            local,
            remote,
            transmit_interval: Duration::from_micros(message.transmit_interval_microseconds),
            detection_time: Duration::from_micros(message.detection_time_microseconds),
            polling: message.polling,
            authentication: message.authentication,
            last_packet_age: message.last_packet_milliseconds.map(Duration::from_millis),
            packets_received: message.packets_received,
            packets_sent: message.packets_sent,
            packets_discarded: each(message.packets_discarded),
            up_count: message.up_count,
            down_count: message.down_count,
            history: all(message.history)?,
        })
    }
}

impl From<BfdTransition> for proto::BfdTransition {
    fn from(transition: BfdTransition) -> Self {
        Self {
            milliseconds: millis(transition.age),
            from: number(transition.from),
            to: number(transition.to),
            diagnostic: transition.diagnostic,
            remote_state: number(transition.remote_state),
            remote_diagnostic: transition.remote_diagnostic,
        }
    }
}

impl TryFrom<proto::BfdTransition> for BfdTransition {
    type Error = FieldError;

    fn try_from(message: proto::BfdTransition) -> Result<Self, FieldError> {
        Ok(Self {
            age: Duration::from_millis(message.milliseconds),
            from: state("from", message.from)?,
            to: state("to", message.to)?,
            diagnostic: message.diagnostic,
            remote_state: state("remote_state", message.remote_state)?,
            remote_diagnostic: message.remote_diagnostic,
        })
    }
}
